package hook

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/trust"
)

// DefaultConfig is where the administrator's configuration is read from. It need not exist.
const DefaultConfig = "/etc/gpu-hook/config.toml"

// maxConfig bounds the configuration, in bytes.
const maxConfig = 1 << 20

// Sources of requests, highest first.
const (
	sourceAnnotation    = "annotation"     // gpu-hook/gpus
	sourceCDIAnnotation = "cdi-annotation" // cdi.k8s.io/*
	sourceEnv           = "env"            // the vendor's visible-devices variable
)

// Config is the administrator's configuration. Every key is optional and unknown ones are errors.
type Config struct {
	Requests struct {
		Sources []string `toml:"sources"`
	} `toml:"requests"`
	Engines map[string]struct {
		Sources []string `toml:"sources"`
	} `toml:"engines"`
	CDI struct {
		SpecDirs []string `toml:"spec-dirs"`
	} `toml:"cdi"`
	Vendors []Vendor `toml:"vendor"`
	NVIDIA  struct {
		RuntimeConfig string `toml:"runtime-config"`
	} `toml:"nvidia"`
	Limits struct {
		Timeout duration `toml:"timeout"`
	} `toml:"limits"`
	Record struct {
		Dir  string `toml:"dir"`
		Keep int    `toml:"keep"`
	} `toml:"record"`
	Process struct {
		CheckParent *bool `toml:"check-parent"`
	} `toml:"process"`
}

// Vendor says how one vendor's devices are asked for and served.
type Vendor struct {
	Name         string   `toml:"name"`
	Kind         string   `toml:"kind"`         // CDI kind that completes a bare id
	Env          string   `toml:"env"`          // visible-devices variable
	Capabilities []string `toml:"capabilities"` // Docker's, for requests that name no driver
	Drivers      []string `toml:"drivers"`      // in order
	RuntimeHook  string   `toml:"runtime-hook"`
}

// duration is written as "30s".
type duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v <= 0 {
		err = errors.New("it must be more than 0s")
	}
	*d = duration(v)
	return err
}

// sources returns the sources that count for a container of the engine and the key that says so.
func (c *Config) sources(engine string) (sources []string, key string) {
	if e, ok := c.Engines[engine]; ok {
		return e.Sources, "[engines." + engine + "] sources"
	}
	return c.Requests.Sources, "[requests] sources"
}

// defaults is the configuration without a file. Whoever starts a container under podman or a bare runtime administers
// it; under CRI-O pods are strangers', and what their authors wrote counts only where the kubelet vouches for it.
func defaults() *Config {
	c := &Config{}
	c.Requests.Sources = []string{sourceAnnotation, sourceCDIAnnotation, sourceEnv}
	c.Engines = map[string]struct {
		Sources []string `toml:"sources"`
	}{state.CRIO: {Sources: []string{sourceCDIAnnotation}}}
	c.CDI.SpecDirs = []string{"/etc/cdi", "/var/run/cdi"}
	c.Vendors = []Vendor{nvidiaVendor()}
	c.NVIDIA.RuntimeConfig = "/etc/nvidia-container-runtime/config.toml"
	c.Limits.Timeout = duration(30 * time.Second)
	c.Record.Keep = 100
	checkParent := true
	c.Process.CheckParent = &checkParent
	return c
}

func nvidiaVendor() Vendor {
	return Vendor{
		Name: "nvidia", Kind: "nvidia.com/gpu", Env: nvidia.VisibleDevices,
		Capabilities: append([]string{"gpu", "nvidia"}, nvidia.Capabilities()...),
		Drivers:      []string{"nvidia" + driverCDI, "nvidia" + driverRuntimeHook},
		RuntimeHook:  "/usr/bin/nvidia-container-runtime-hook",
	}
}

// loadConfig reads the configuration over the defaults. It must be a file that root alone can write. With path "" the
// default file is read if it is there.
func loadConfig(path string, owner trust.Owner) (*Config, error) {
	explicit := path != ""
	if !explicit {
		path = DefaultConfig
	}
	text, err := readTrusted(path, owner)
	if errors.Is(err, os.ErrNotExist) && !explicit {
		return defaults(), nil
	}
	if err != nil {
		return nil, fault.New(fault.Config, path, "%w", err).WithHint("the configuration must be a readable file that root alone may write")
	}
	config, err := parseConfig(text)
	if err != nil {
		return nil, fault.New(fault.Config, path, "%w", err).WithHint("correct the file; the keys are listed in the README")
	}
	return config, nil
}

func readTrusted(path string, owner trust.Owner) (string, error) {
	file, err := owner.OpenFile(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxConfig))
	return string(data), err
}

func parseConfig(text string) (*Config, error) {
	file := &Config{}
	meta, err := toml.Decode(text, file)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("line %d: key %q is not known", lineOf(text, unknown[0]), unknown[0])
	}
	config := defaults()
	config.merge(file, meta)
	return config, config.validate()
}

// merge takes over what the file sets.
func (c *Config) merge(file *Config, meta toml.MetaData) {
	if meta.IsDefined("requests", "sources") {
		c.Requests.Sources = file.Requests.Sources
	}
	for engine, e := range file.Engines {
		c.Engines[engine] = e
	}
	if meta.IsDefined("cdi", "spec-dirs") {
		c.CDI.SpecDirs = file.CDI.SpecDirs
	}
	if file.NVIDIA.RuntimeConfig != "" {
		c.NVIDIA.RuntimeConfig = file.NVIDIA.RuntimeConfig
	}
	if file.Limits.Timeout != 0 {
		c.Limits.Timeout = file.Limits.Timeout
	}
	if file.Record.Dir != "" {
		c.Record.Dir = file.Record.Dir
	}
	if meta.IsDefined("record", "keep") {
		c.Record.Keep = file.Record.Keep
	}
	if file.Process.CheckParent != nil {
		c.Process.CheckParent = file.Process.CheckParent
	}
	for _, v := range file.Vendors {
		i := slices.IndexFunc(c.Vendors, func(o Vendor) bool { return o.Name == v.Name })
		if i < 0 {
			c.Vendors = append(c.Vendors, v)
			continue
		}
		c.Vendors[i].merge(v)
	}
}

func (v *Vendor) merge(o Vendor) {
	if o.Kind != "" {
		v.Kind = o.Kind
	}
	if o.Env != "" {
		v.Env = o.Env
	}
	if o.Capabilities != nil {
		v.Capabilities = o.Capabilities
	}
	if o.Drivers != nil {
		v.Drivers = o.Drivers
	}
	if o.RuntimeHook != "" {
		v.RuntimeHook = o.RuntimeHook
	}
}

func (c *Config) validate() error {
	lists := map[string][]string{"requests.sources": c.Requests.Sources}
	for engine, e := range c.Engines {
		lists["engines."+engine+".sources"] = e.Sources
	}
	known := []string{sourceAnnotation, sourceCDIAnnotation, sourceEnv}
	for key, list := range lists {
		for _, source := range list {
			if !slices.Contains(known, source) {
				return fmt.Errorf("%s: source %q is not one of: %s", key, source, strings.Join(known, ", "))
			}
		}
	}
	if c.Record.Keep < 1 {
		return fmt.Errorf("record.keep: %d is less than 1", c.Record.Keep)
	}
	for _, v := range c.Vendors {
		if err := v.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (v *Vendor) validate() error {
	if v.Name == "" || strings.ContainsAny(v.Name, ". ") {
		return fmt.Errorf("vendor: name %q is empty or has a dot or a space in it", v.Name)
	}
	if len(strings.Split(v.Kind, "/")) != 2 {
		return fmt.Errorf("vendor %s: kind %q is not of the form vendor.com/class", v.Name, v.Kind)
	}
	for _, d := range v.Drivers {
		if d != v.Name+driverCDI && d != v.Name+driverRuntimeHook {
			return fmt.Errorf("vendor %s: driver %q is neither %s nor %s", v.Name, d, v.Name+driverCDI, v.Name+driverRuntimeHook)
		}
	}
	return nil
}

// lineOf finds the line of a key, which the TOML library does not tell.
func lineOf(text string, key toml.Key) int {
	table := ""
	parent, name := strings.Join(key[:len(key)-1], "."), key[len(key)-1]
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			table = strings.Trim(strings.SplitN(line, "#", 2)[0], "[] ")
			if table == strings.Join(key, ".") {
				return n
			}
			continue
		}
		left, _, found := strings.Cut(line, "=")
		if found && table == parent && strings.Trim(left, ` "'`) == name {
			return n
		}
	}
	return 1
}
