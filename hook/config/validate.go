package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tags.cncf.io/container-device-interface/pkg/parser"

	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// validate says which value cannot be, by its key.
func (c *Config) validate() error {
	for _, check := range []func() error{c.checkSources, c.checkChoices, c.checkPrefixes, c.checkPaths, c.checkNumbers, c.checkVendors, c.checkCapabilities} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkSources() error {
	lists := map[string][]string{"requests.sources": c.Requests.Sources}
	for name, e := range c.Engines {
		if !slices.Contains(state.Engines(), name) {
			return notOneOf("engines", name, state.Engines()...)
		}
		if len(e.Namespaces) > 0 && name != state.CRIO && name != state.Containerd {
			return fmt.Errorf("engines.%s.namespaces: only %s and %s say truly which namespace a pod is of", name, state.CRIO, state.Containerd)
		}
		for _, source := range e.Own {
			if source != SourceCDIAnnotation {
				return notOneOf("engines."+name+".own", source, SourceCDIAnnotation)
			}
		}
		lists["engines."+name+".sources"] = e.Sources
		for namespace, list := range e.Namespaces {
			lists["engines."+name+".namespaces."+namespace] = list
		}
	}
	for key, list := range lists {
		for i, source := range list {
			if !slices.Contains(Sources(), source) {
				return notOneOf(key, source, Sources()...)
			}
			if slices.Contains(list[:i], source) {
				return fmt.Errorf("%s: source %q stands twice", key, source)
			}
		}
	}
	return nil
}

func (c *Config) checkChoices() error {
	for _, k := range []struct {
		key, value string
		choices    []string
	}{
		{"requests.env-all", c.Requests.EnvAll, []string{AllWeak, AllAccept, AllIgnore}},
		{"requests.on-conflict", c.Requests.OnConflict, []string{Warn, Error}},
		{"requests.on-refused", c.Requests.OnRefused, []string{Warn, Error}},
		{"cdi.on-stale", c.CDI.OnStale, []string{NextDriver, Warn, Error}},
		{"cdi.on-late", c.CDI.OnLate, []string{Warn, Error}},
		{"drivers.on-fallback", c.Drivers.OnFallback, []string{Warn, Error}},
		{"nvidia.requirements", c.NVIDIA.Requirements, []string{RequirementsEnforce, Warn, RequirementsIgnore}},
	} {
		if !slices.Contains(k.choices, k.value) {
			return notOneOf(k.key, k.value, k.choices...)
		}
	}
	return nil
}

// checkPrefixes wants prefixes of whole names: what ends in a slash is nobody else's key.
func (c *Config) checkPrefixes() error {
	for _, prefix := range c.CDI.AnnotationPrefixes {
		if len(prefix) < 2 || !strings.HasSuffix(prefix, "/") {
			return fmt.Errorf("cdi.annotation-prefixes: %q does not end in a slash behind a name", prefix)
		}
	}
	return nil
}

func (c *Config) checkPaths() error {
	paths := map[string]string{
		"nvidia.runtime-config": c.NVIDIA.RuntimeConfig, "nvidia.driver-version-file": c.NVIDIA.DriverVersionFile, "record.dir": c.Record.Dir,
	}
	for i, dir := range c.CDI.SpecDirs {
		paths[fmt.Sprintf("cdi.spec-dirs[%d]", i)] = dir
	}
	for _, v := range c.Vendors {
		paths["vendor "+v.Name+": runtime-hook"] = v.RuntimeHook
	}
	for key, path := range paths {
		if path != "" && (!filepath.IsAbs(path) || filepath.Clean(path) != path) {
			return fmt.Errorf("%s: path %q is not absolute and clean", key, path)
		}
	}
	return nil
}

func (c *Config) checkNumbers() error {
	if c.Record.Keep < 1 {
		return fmt.Errorf("record.keep: %d is less than 1", c.Record.Keep)
	}
	if most := 10 * time.Minute; time.Duration(c.Limits.Timeout) > most {
		return fmt.Errorf("limits.timeout: %s is more than %s, and engines give up on a container before", time.Duration(c.Limits.Timeout), most)
	}
	return nil
}

func (c *Config) checkCapabilities() error {
	for _, capability := range c.NVIDIA.SupportedCapabilities {
		if !slices.Contains(nvidia.Capabilities(), capability) {
			return notOneOf("nvidia.supported-capabilities", capability, nvidia.Capabilities()...)
		}
	}
	return nil
}

func (c *Config) checkVendors() error {
	names := []string{}
	for _, v := range c.Vendors {
		if err := v.validate(); err != nil {
			return err
		}
		for _, own := range []string{"name " + v.Name, "kind " + v.Kind, "env " + v.Env} {
			if own != "env " && slices.Contains(names, own) {
				return fmt.Errorf("vendor %s: %s is another vendor's too", v.Name, own)
			}
			names = append(names, own)
		}
	}
	return nil
}

func (v *Vendor) validate() error {
	if v.Name == "" || strings.ContainsAny(v.Name, ". =/") || v.Name == DriverAnyCDI {
		return fmt.Errorf("vendor: name %q is empty, %q or has one of . = / or a space in it", v.Name, DriverAnyCDI)
	}
	vendor, class := parser.ParseQualifier(v.Kind)
	if parser.ValidateVendorName(vendor) != nil || parser.ValidateClassName(class) != nil {
		return fmt.Errorf("vendor %s: kind %q is not of the form vendor.com/class", v.Name, v.Kind)
	}
	if v.Dialect != DialectNVIDIA && v.Dialect != DialectAMD {
		return notOneOf("vendor "+v.Name+": dialect", v.Dialect, DialectNVIDIA, DialectAMD)
	}
	for _, kind := range v.EnvKinds {
		if !kindPattern(kind) {
			return fmt.Errorf("vendor %s: env-kinds: %q is not of the form vendor.com/class or vendor.com/*", v.Name, kind)
		}
	}
	for _, d := range v.Drivers {
		if d != v.Name+DriverCDI && d != v.Name+DriverRuntimeHook {
			return notOneOf("vendor "+v.Name+": drivers", d, v.Name+DriverCDI, v.Name+DriverRuntimeHook)
		}
		if d == v.Name+DriverRuntimeHook && (v.RuntimeHook == "" || v.Env == "") {
			return fmt.Errorf("vendor %s: driver %s needs env and runtime-hook", v.Name, d)
		}
	}
	return nil
}

// kindPattern says whether text is a CDI kind, or all of one CDI vendor's.
func kindPattern(text string) bool {
	vendor, class := parser.ParseQualifier(text)
	return parser.ValidateVendorName(vendor) == nil && (class == "*" || parser.ValidateClassName(class) == nil)
}

func notOneOf(key, value string, known ...string) error {
	return fmt.Errorf("%s: %q is not one of: %s", key, value, strings.Join(known, ", "))
}
