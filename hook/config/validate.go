package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tags.cncf.io/container-device-interface/pkg/parser"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// validate returns an error with every invalid value and its key, in an order that depends on the file alone.
func (c *Config) validate() error {
	var errs []error
	for _, check := range []func() []error{
		c.checkEntries, c.checkEngines, c.checkSources, c.checkChoices, c.checkPrefixes, c.checkPaths, c.checkNumbers,
		c.checkVendors, c.checkCapabilities,
	} {
		errs = append(errs, check()...)
	}
	return errors.Join(errs...)
}

// checkEntries bounds the lists whose elements are looked for in every container.
func (c *Config) checkEntries() (errs []error) {
	for _, list := range []struct {
		key string
		n   int
	}{
		{"vendor", len(c.Vendors)},
		{"engines", len(c.Engines)},
		{"cdi.annotation-prefixes", len(c.CDI.AnnotationPrefixes)},
		{"requests.preferred-env", len(c.Requests.PreferredEnv)},
	} {
		if list.n > limits.Entries {
			errs = append(errs, fmt.Errorf("%s: %d are too many (%d)", list.key, list.n, limits.Entries))
		}
	}
	return errs
}

func (c *Config) checkEngines() (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(c.Engines)) {
		e := c.Engines[name]
		if !slices.Contains(state.Engines(), name) {
			errs = append(errs, notOneOf("engines", name, state.Engines()...))
		}
		if len(e.Namespaces) > 0 && name != state.CRIO && name != state.Containerd {
			errs = append(errs, fmt.Errorf("engines.%s.namespaces: only %s and %s say truly which namespace a pod is of",
				name, state.CRIO, state.Containerd))
		}
		for _, source := range e.Own {
			if source != SourceCDIAnnotation {
				errs = append(errs, notOneOf("engines."+name+".own", source, SourceCDIAnnotation))
			}
		}
	}
	return errs
}

func (c *Config) checkSources() (errs []error) {
	lists := map[string][]string{"requests.sources": c.Requests.Sources}
	for name, e := range c.Engines {
		lists["engines."+name+".sources"] = e.Sources
		for namespace, list := range e.Namespaces {
			lists["engines."+name+".namespaces."+namespace] = list
		}
	}
	for _, key := range slices.Sorted(maps.Keys(lists)) {
		for i, source := range lists[key] {
			switch {
			case slices.Contains(lists[key][:i], source):
				errs = append(errs, fmt.Errorf("%s: source %q is listed twice", key, source))
			case !slices.Contains(Sources(), source):
				errs = append(errs, notOneOf(key, source, Sources()...))
			}
		}
	}
	return errs
}

func (c *Config) checkChoices() (errs []error) {
	for _, k := range []struct {
		key, value string
		choices    []string
	}{
		{"requests.env-all", c.Requests.EnvAll, []string{AllWeak, AllAccept, AllIgnore}},
		{"requests.on-conflict", c.Requests.OnConflict, []string{Warn, Error}},
		{"requests.on-refused", c.Requests.OnRefused, []string{Warn, Error}},
		{"cdi.on-stale", c.CDI.OnStale, []string{NextDriver, Warn, Error}},
		{"cdi.on-incomplete", c.CDI.OnIncomplete, []string{Warn, Ignore}},
		{"cdi.on-late", c.CDI.OnLate, []string{Warn, Error}},
		{"drivers.on-fallback", c.Drivers.OnFallback, []string{Warn, Error}},
		{"nvidia.requirements", c.NVIDIA.Requirements, []string{RequirementsEnforce, Warn, RequirementsIgnore}},
	} {
		if !slices.Contains(k.choices, k.value) {
			errs = append(errs, notOneOf(k.key, k.value, k.choices...))
		}
	}
	return errs
}

// checkPrefixes checks that every prefix ends in a slash. A prefix without one could match keys of somebody else.
func (c *Config) checkPrefixes() (errs []error) {
	for _, prefix := range c.CDI.AnnotationPrefixes {
		if len(prefix) < 2 || !strings.HasSuffix(prefix, "/") {
			errs = append(errs, fmt.Errorf("cdi.annotation-prefixes: %q does not end in a slash behind a name", prefix))
		}
	}
	return errs
}

// checkPaths checks that every path is absolute and clean. It keeps the paths in a list instead of a map by key,
// because two vendors may have the same name, which checkVendors reports.
func (c *Config) checkPaths() (errs []error) {
	type setting struct{ key, path string }
	var settings []setting
	for i, dir := range c.CDI.SpecDirs {
		settings = append(settings, setting{fmt.Sprintf("cdi.spec-dirs[%d]", i), dir})
	}
	settings = append(settings, setting{"nvidia.driver-version-file", c.NVIDIA.DriverVersionFile},
		setting{"nvidia.runtime-config", c.NVIDIA.RuntimeConfig}, setting{"record.dir", c.Record.Dir})
	for _, v := range c.Vendors {
		settings = append(settings, setting{"vendor " + v.Name + ": runtime-hook", v.RuntimeHook})
	}
	for _, s := range settings {
		if s.path != "" && (!filepath.IsAbs(s.path) || filepath.Clean(s.path) != s.path) {
			errs = append(errs, fmt.Errorf("%s: path %q is not absolute and clean", s.key, s.path))
		}
	}
	return errs
}

func (c *Config) checkNumbers() (errs []error) {
	if c.Record.Keep < 1 {
		errs = append(errs, fmt.Errorf("record.keep: %d is less than 1", c.Record.Keep))
	}
	if most := 10 * time.Minute; time.Duration(c.Limits.Timeout) > most {
		errs = append(errs, fmt.Errorf("limits.timeout: %s is more than %s, and engines give up on a container before",
			time.Duration(c.Limits.Timeout), most))
	}
	return errs
}

func (c *Config) checkCapabilities() (errs []error) {
	for _, capability := range c.NVIDIA.SupportedCapabilities {
		if !slices.Contains(nvidia.Capabilities(), capability) {
			errs = append(errs, notOneOf("nvidia.supported-capabilities", capability, nvidia.Capabilities()...))
		}
	}
	return errs
}

func (c *Config) checkVendors() (errs []error) {
	names := []string{}
	for _, v := range c.Vendors {
		errs = append(errs, v.validate()...)
		for _, own := range []string{"name " + v.Name, "kind " + v.Kind, "env " + v.Env} {
			if own != "env " && slices.Contains(names, own) {
				errs = append(errs, fmt.Errorf("vendor %s: %s is another vendor's too", v.Name, own))
			}
			names = append(names, own)
		}
	}
	return errs
}

// validate returns what is wrong with the vendor, apart from other vendors. If its name is invalid, nothing else is
// checked.
func (v *Vendor) validate() (errs []error) {
	if v.Name == "" || strings.ContainsAny(v.Name, ". =/") || v.Name == DriverAnyCDI {
		return []error{fmt.Errorf("vendor: name %q is empty, %q or has one of . = / or a space in it", v.Name, DriverAnyCDI)}
	}
	vendor, class := parser.ParseQualifier(v.Kind)
	if parser.ValidateVendorName(vendor) != nil || parser.ValidateClassName(class) != nil {
		errs = append(errs, fmt.Errorf("vendor %s: kind %q is not of the form vendor.com/class", v.Name, v.Kind))
	}
	if v.Dialect != DialectNVIDIA && v.Dialect != DialectAMD {
		errs = append(errs, notOneOf("vendor "+v.Name+": dialect", v.Dialect, DialectNVIDIA, DialectAMD))
	}
	for _, kind := range v.EnvKinds {
		if !kindPattern(kind) {
			errs = append(errs, fmt.Errorf("vendor %s: env-kinds: %q is not of the form vendor.com/class or vendor.com/*",
				v.Name, kind))
		}
	}
	return append(errs, v.checkDrivers()...)
}

func (v *Vendor) checkDrivers() (errs []error) {
	for _, d := range v.Drivers {
		switch {
		case d != v.Name+DriverCDI && d != v.Name+DriverRuntimeHook:
			errs = append(errs, notOneOf("vendor "+v.Name+": drivers", d, v.Name+DriverCDI, v.Name+DriverRuntimeHook))
		case d == v.Name+DriverRuntimeHook && (v.RuntimeHook == "" || v.Env == ""):
			errs = append(errs, fmt.Errorf("vendor %s: driver %s needs env and runtime-hook", v.Name, d))
		}
	}
	return errs
}

// kindPattern reports whether the text is a CDI kind, or a CDI vendor followed by "/*" for all of its kinds.
func kindPattern(text string) bool {
	vendor, class := parser.ParseQualifier(text)
	return parser.ValidateVendorName(vendor) == nil && (class == "*" || parser.ValidateClassName(class) == nil)
}

// notOneOf returns the error about a value of the key that is not one of those known.
func notOneOf(key, value string, known ...string) error {
	return fmt.Errorf("%s: %q is not one of: %s", key, value, strings.Join(known, ", "))
}
