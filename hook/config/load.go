package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/nearest"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Duration is a time span, written in the file as "30s".
type Duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v <= 0 {
		err = errors.New("it must be more than 0s")
	}
	*d = Duration(v)
	return err
}

// Load returns the configuration in the file at path over the defaults. Only root, or for a rootless engine the user,
// may be able to write the file. If path is "", Load reads the default file if it exists; for a user who is not the
// host's root that is the one in the user's configuration directory, or else the host's. On error it returns the
// defaults too.
func Load(path string) (*Config, error) {
	self := trust.Identify()
	if path == "" {
		path = defaultFile(self)
	}
	if path == "" {
		return defaultsFor(self), nil
	}
	text, err := read(path, self.Owner)
	if err != nil {
		return defaultsFor(self), fault.New(fault.Config, path, "%w", err).
			WithHint("%s", mend(path, err, self))
	}
	c, err := parse(text, self)
	if err != nil {
		return defaultsFor(self), fault.New(fault.Config, path, "%w", err).
			WithHint("correct the file; docs/configuration.md lists its keys")
	}
	return c, nil
}

// mend returns what to do about a file that cannot be read or trusted. What it says may be a stranger's.
func mend(path string, err error, self trust.Self) string {
	if !errors.Is(err, trust.ErrUntrusted) {
		return "make " + path + " a file that can be read"
	}
	if dir := filepath.Dir(path); self.Owner.Dir(dir) != nil {
		path = dir
	}
	if self.Rootless {
		return "chmod go-w " + path + " # if it is as it should be: others could write it"
	}
	return "chown root: " + path + " && chmod go-w " + path + " # if it is as it should be: others could write it"
}

// meant says which key was probably meant by one that is not known, or returns "".
func meant(key toml.Key) string {
	at := reflect.TypeFor[Config]()
	for _, name := range key {
		for at.Kind() == reflect.Pointer || at.Kind() == reflect.Slice {
			at = at.Elem()
		}
		if at.Kind() == reflect.Map { // whose keys are names of engines
			at = at.Elem()
			continue
		}
		fields := fieldsOf(at)
		field, known := fields[name]
		if !known {
			if word := nearest.Word(name, slices.Sorted(maps.Keys(fields))); word != "" {
				return fmt.Sprintf("; did you mean %q?", word)
			}
			return ""
		}
		at = field
	}
	return ""
}

// fieldsOf returns the types of a table's keys; none for what is no table.
func fieldsOf(at reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	if at.Kind() != reflect.Struct {
		return out
	}
	for i := range at.NumField() {
		if name := at.Field(i).Tag.Get("toml"); name != "-" {
			out[name] = at.Field(i).Type
		}
	}
	return out
}

// defaultFile returns the default file if one exists, or "". A file that exists and cannot be read or trusted is
// returned too: [Load] must then fail.
func defaultFile(self trust.Self) string {
	paths := []string{DefaultPath}
	if dir, err := os.UserConfigDir(); self.Rootless && err == nil {
		paths = []string{filepath.Join(dir, "gpu-hook", "config.toml"), DefaultPath}
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return path
		}
	}
	return ""
}

// read returns the content of a file that is trusted.
func read(path string, owner trust.Owner) (string, error) {
	file, err := owner.OpenFile(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(linux.NoWait(file), limits.Configuration+1))
	if err == nil && len(data) > limits.Configuration {
		err = fmt.Errorf("it is larger than %d KiB", limits.Configuration>>10)
	}
	return string(data), err
}

// parse returns the configuration in the text over the defaults for the user.
func parse(text string, self trust.Self) (*Config, error) {
	c := defaultsFor(self)
	builtIn := *c
	c.Engines, c.Vendors = nil, nil
	meta, err := toml.Decode(text, c)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("%skey %q is not known%s", lineOf(text, unknown[0]), unknown[0], meant(unknown[0]))
	}
	c.mergeEngines(builtIn, meta)
	c.mergeVendors(builtIn)
	return c, c.validate()
}

// mergeEngines adds the built-in engines that the file does not name, and completes those that it does.
func (c *Config) mergeEngines(builtIn Config, meta toml.MetaData) {
	if c.Engines == nil {
		c.Engines = map[string]*Engine{}
	}
	for name, e := range c.Engines {
		known := builtIn.Engines[name]
		if known == nil {
			known = &Engine{Sources: c.Requests.Sources, Own: []string{}}
		}
		if !meta.IsDefined("engines", name, "sources") {
			e.Sources = known.Sources
		}
		if !meta.IsDefined("engines", name, "own") {
			e.Own = known.Own
		}
	}
	for name, e := range builtIn.Engines {
		if c.Engines[name] == nil {
			c.Engines[name] = e
		}
	}
}

// mergeVendors completes the file's vendors from the built-in ones of the same name, and adds the remaining built-in
// ones after them: the order of the file is the order of preference. The default dialect of a new vendor is NVIDIA's.
func (c *Config) mergeVendors(builtIn Config) {
	for _, known := range builtIn.Vendors {
		if v := c.Vendor(known.Name); v != nil {
			v.complete(known)
			continue
		}
		c.Vendors = append(c.Vendors, known)
	}
	for i := range c.Vendors {
		c.Vendors[i].complete(Vendor{Dialect: DialectNVIDIA})
	}
}

// complete sets the keys that the file leaves out to those of the known vendor.
func (v *Vendor) complete(known Vendor) {
	if v.Kind == "" {
		v.Kind = known.Kind
	}
	if v.Env == "" {
		v.Env = known.Env
	}
	if v.EnvKinds == nil {
		v.EnvKinds = known.EnvKinds
	}
	if v.Dialect == "" {
		v.Dialect = known.Dialect
	}
	if v.Capabilities == nil {
		v.Capabilities = known.Capabilities
	}
	if v.Drivers == nil {
		v.Drivers = known.Drivers
	}
	if v.RuntimeHook == "" {
		v.RuntimeHook = known.RuntimeHook
	}
}

// lineOf returns the line of a key as "line 3: ", since the TOML library does not report it. A key in an inline table
// is not found, and gives "".
func lineOf(text string, key toml.Key) string {
	table := ""
	parent, name, whole := strings.Join(key[:len(key)-1], "."), key[len(key)-1], strings.Join(key, ".")
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			table = strings.Trim(strings.SplitN(line, "#", 2)[0], "[] ")
			if table == whole {
				return fmt.Sprintf("line %d: ", n)
			}
			continue
		}
		left, _, found := strings.Cut(line, "=")
		left = strings.Trim(left, ` "'`)
		if found && (table == parent && left == name || table+"."+left == whole || left == whole) {
			return fmt.Sprintf("line %d: ", n)
		}
	}
	return ""
}
