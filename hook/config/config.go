// Package config is what the administrator has decided: the configuration file over the built-in rules.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// DefaultPath is where the configuration is read from, after a user's own gpu-hook/config.toml. It need not exist.
const DefaultPath = "/etc/gpu-hook/config.toml"

// Drivers: "cdi" for qualified names of any vendor, and for a vendor NAME the drivers NAME.cdi and NAME.runtime-hook;
// NAME itself is the first of them that can serve.
const (
	DriverAnyCDI      = "cdi"
	DriverCDI         = ".cdi"
	DriverRuntimeHook = ".runtime-hook"
)

// What is done about something: it is a warning, or it keeps the container from starting.
const (
	Warn  = "warn"
	Error = "error"
)

// NextDriver takes a stale Spec for a broken driver: the next one is tried, if on-fallback lets it.
const NextDriver = "next-driver"

// What a bare "all" from the environment counts for.
const (
	AllWeak   = "weak"   // a wish: where no driver can serve it, the container starts without
	AllAccept = "accept" // a request like any other
	AllIgnore = "ignore" // nothing
)

// RequirementsIgnore leaves what images require of the driver out of account.
const RequirementsIgnore = nvidia.RequirementsIgnore

// RequirementsEnforce keeps a container from starting whose image requires what the driver is known not to bring.
const RequirementsEnforce = nvidia.RequirementsEnforce

// Config is the administrator's configuration. Every key is optional and unknown ones are errors.
type Config struct {
	Requests Requests           `toml:"requests"`
	Engines  map[string]*Engine `toml:"engines"`
	CDI      CDI                `toml:"cdi"`
	Drivers  Drivers            `toml:"drivers"`
	Vendors  []Vendor           `toml:"vendor"`
	NVIDIA   NVIDIA             `toml:"nvidia"`
	Limits   Limits             `toml:"limits"`
	Record   Record             `toml:"record"`
	Process  Process            `toml:"process"`

	// Self is who we are, which the default places follow from.
	Self trust.Self `toml:"-"`
}

// Requests says which requests count.
type Requests struct {
	Sources               []string `toml:"sources"` // highest first
	AcceptEnvUnprivileged bool     `toml:"accept-env-unprivileged"`
	EnvAll                string   `toml:"env-all"`
	PreferredEnv          []string `toml:"preferred-env"` // over the first vendor's variable
	OnConflict            string   `toml:"on-conflict"`   // an overridden request asked for something else
	OnRefused             string   `toml:"on-refused"`
}

// Engine says which sources count for the containers of one engine.
type Engine struct {
	Sources    []string            `toml:"sources"`    // in the place of requests.sources
	Namespaces map[string][]string `toml:"namespaces"` // sources that count for pods of a namespace too, below the others
	Own        []string            `toml:"own"`        // sources that the engine serves itself
}

// CDI says where Specs are, and what is done where they and the host do not fit.
type CDI struct {
	SpecDirs []string  `toml:"spec-dirs"` // the last has the highest priority
	OnStale  string    `toml:"on-stale"`  // a Spec that was written for another driver or other devices than the host has
	Optional []Pattern `toml:"optional"`  // edits that are left out where they cannot be made
	OnLate   string    `toml:"on-late"`   // edits that a createRuntime hook cannot make

	AnnotationPrefixes []string `toml:"annotation-prefixes"` // of the keys by which the source cdi-annotation asks
}

// Drivers says what is done where a driver that stands first is broken.
type Drivers struct {
	OnFallback string `toml:"on-fallback"`
}

// Vendor says how one vendor's devices are asked for and served.
type Vendor struct {
	Name         string   `toml:"name"`
	Kind         string   `toml:"kind"`         // CDI kind that completes a bare id
	Env          string   `toml:"env"`          // visible-devices variable, or ""
	EnvKinds     []string `toml:"env-kinds"`    // CDI kinds of other vendors that it may ask for too; "acme.com/*" for all of one
	Dialect      string   `toml:"dialect"`      // grammar of its value
	Capabilities []string `toml:"capabilities"` // Docker's, for requests that name no driver
	Drivers      []string `toml:"drivers"`      // in order
	RuntimeHook  string   `toml:"runtime-hook"`
}

// NVIDIA is what concerns NVIDIA's contract alone.
type NVIDIA struct {
	RuntimeConfig         string   `toml:"runtime-config"` // of nvidia-container-runtime-hook
	SupportedCapabilities []string `toml:"supported-capabilities"`
	Requirements          string   `toml:"requirements"`
	DriverVersionFile     string   `toml:"driver-version-file"`
}

// Limits bounds a run.
type Limits struct {
	Timeout Duration `toml:"timeout"`
}

// Record says where records go and how many stay.
type Record struct {
	Dir  string `toml:"dir"`
	Keep int    `toml:"keep"`
}

// Process says how far the state is doubted.
type Process struct {
	CheckParent bool `toml:"check-parent"`
}

// EnginePrefix begins the keys of CDI annotations that an engine serves itself.
const EnginePrefix = "cdi.k8s.io/"

// Defaults is the configuration without a file. Whoever starts a container under podman or a bare runtime administers
// it; under CRI-O and containerd pods are strangers', and what their authors wrote counts only where the kubelet vouches
// for it. In a build nothing counts that an image brings along.
func Defaults() *Config {
	return &Config{
		Requests: Requests{
			Sources: Sources(), AcceptEnvUnprivileged: true, EnvAll: AllWeak, PreferredEnv: []string{},
			OnConflict: Warn, OnRefused: Warn,
		},
		Engines: engines(),
		CDI: CDI{
			SpecDirs: []string{"/etc/cdi", "/var/run/cdi"}, OnStale: NextDriver, Optional: optional(), OnLate: Warn,
			AnnotationPrefixes: []string{EnginePrefix},
		},
		Drivers: Drivers{OnFallback: Warn},
		Vendors: vendors(),
		NVIDIA: NVIDIA{
			RuntimeConfig: "/etc/nvidia-container-runtime/config.toml", SupportedCapabilities: nvidia.Capabilities(),
			Requirements: RequirementsEnforce, DriverVersionFile: "/sys/module/nvidia/version",
		},
		Limits:  Limits{Timeout: Duration(30 * time.Second)},
		Record:  Record{Keep: 100},
		Process: Process{CheckParent: true},
	}
}

// engines are those whose containers are not all their starter's own.
func engines() map[string]*Engine {
	out := map[string]*Engine{
		state.Buildah: {Sources: []string{SourceAnnotation, SourceCDIAnnotation}, Namespaces: map[string][]string{}, Own: []string{}},
	}
	for _, name := range []string{state.CRIO, state.Containerd} {
		out[name] = &Engine{
			Sources: []string{SourceMount, SourceCDIAnnotation}, Namespaces: map[string][]string{}, Own: []string{SourceCDIAnnotation},
		}
	}
	return out
}

// defaultsFor are the defaults of a user. One who is not the host's root has Specs of their own too, above the host's.
func defaultsFor(self trust.Self) *Config {
	c := Defaults()
	c.Self = self
	if self.Rootless {
		if dir, err := os.UserConfigDir(); err == nil {
			c.CDI.SpecDirs = append(c.CDI.SpecDirs, filepath.Join(dir, "cdi"))
		}
		c.CDI.SpecDirs = append(c.CDI.SpecDirs, fmt.Sprintf("/run/user/%d/cdi", self.UID))
	}
	return c
}

// vendors are those that come built in. Each is data and can be changed, and others added.
func vendors() []Vendor {
	return []Vendor{
		{
			Name: "nvidia", Kind: "nvidia.com/gpu", Env: nvidia.VisibleDevices, EnvKinds: []string{}, Dialect: DialectNVIDIA,
			Capabilities: append([]string{"gpu", "nvidia"}, nvidia.Capabilities()...),
			Drivers:      []string{"nvidia" + DriverCDI, "nvidia" + DriverRuntimeHook},
			RuntimeHook:  "/usr/bin/nvidia-container-runtime-hook",
		},
		{
			Name: "amd", Kind: "amd.com/gpu", Env: "AMD_VISIBLE_DEVICES", EnvKinds: []string{}, Dialect: DialectAMD,
			Capabilities: []string{"gpu", "amd"}, Drivers: []string{"amd" + DriverCDI},
		},
		{
			Name: "intel", Kind: "intel.com/gpu", EnvKinds: []string{}, Dialect: DialectNVIDIA,
			Capabilities: []string{"gpu", "intel"}, Drivers: []string{"intel" + DriverCDI},
		},
	}
}

// RunDir is where records and private bundles go.
func (c *Config) RunDir() string {
	if c.Record.Dir != "" {
		return c.Record.Dir
	}
	return report.RunDir(c.Self)
}

// SourcesFor returns the sources that count for a container of the engine, in a pod of the namespace if it is in one,
// highest first, and what decides it. Where the engine is in doubt, only what counts for every engine does.
func (c *Config) SourcesFor(engine, namespace string, doubted bool) (sources []string, key string) {
	if doubted {
		return c.strictest(), "the strictest policy, which holds where the engine is in doubt,"
	}
	e := c.Engines[engine]
	if e == nil {
		return c.Requests.Sources, "[requests] sources"
	}
	sources = slices.Clone(e.Sources)
	for _, s := range e.Namespaces[namespace] {
		if !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	return sources, "[engines." + engine + "] sources"
}

// strictest are the sources that count everywhere.
func (c *Config) strictest() []string {
	sources := slices.Clone(c.Requests.Sources)
	for _, e := range c.Engines {
		sources = slices.DeleteFunc(sources, func(s string) bool { return !slices.Contains(e.Sources, s) })
	}
	return sources
}

// Owns reports whether the engine serves the source itself.
func (c *Config) Owns(engine, source string) bool {
	e := c.Engines[engine]
	return e != nil && slices.Contains(e.Own, source)
}

// Vendor returns the vendor of this name, or nil.
func (c *Config) Vendor(name string) *Vendor {
	return c.find(func(v *Vendor) bool { return v.Name == name })
}

// OfKind returns the vendor whose kind this is, or nil.
func (c *Config) OfKind(kind string) *Vendor {
	return c.find(func(v *Vendor) bool { return v.Kind == kind })
}

func (c *Config) find(is func(*Vendor) bool) *Vendor {
	for i := range c.Vendors {
		if is(&c.Vendors[i]) {
			return &c.Vendors[i]
		}
	}
	return nil
}

// EnvMayAsk reports whether the vendor's variable may ask for devices of the kind: of its own CDI vendor's, and of those that
// the administrator adds.
func (v *Vendor) EnvMayAsk(kind string) bool {
	domain, _, _ := strings.Cut(kind, "/")
	own, _, _ := strings.Cut(v.Kind, "/")
	return domain == own || slices.Contains(v.EnvKinds, kind) || slices.Contains(v.EnvKinds, domain+"/*")
}
