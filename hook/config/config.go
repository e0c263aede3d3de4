// Package config holds the administrator's decisions: the configuration file over the built-in defaults.
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

// DefaultPath is the host's configuration file. A user's own gpu-hook/config.toml takes precedence. It need not exist.
const DefaultPath = "/etc/gpu-hook/config.toml"

// Names of drivers, and their endings. "cdi" serves qualified names of any vendor. A vendor NAME has the drivers
// NAME.cdi and NAME.runtime-hook; "NAME" alone means the first of them that can serve the request.
const (
	DriverAnyCDI      = "cdi"
	DriverCDI         = ".cdi"
	DriverRuntimeHook = ".runtime-hook"
)

// Values of the on-* keys: the condition is a warning, or it keeps the container from starting.
const (
	Warn  = "warn"
	Error = "error"
)

// NextDriver is a value of on-stale: a driver with a stale Spec counts as broken, and the next driver is tried as
// on-fallback says.
const NextDriver = "next-driver"

// Ignore is a value of on-incomplete: what Specs lack is left out on purpose, and nothing is reported.
const Ignore = "ignore"

// Values of env-all: what a variable that is just "all" means.
const (
	AllWeak   = "weak"   // an optional request: if no driver can serve it, the container starts without devices
	AllAccept = "accept" // a request like any other
	AllIgnore = "ignore" // no request
)

// Values of requirements: whether an image's NVIDIA_REQUIRE_* variables count.
const (
	RequirementsIgnore = nvidia.RequirementsIgnore
	// RequirementsEnforce keeps a container from starting if the driver is known not to meet its image's requirements.
	RequirementsEnforce = nvidia.RequirementsEnforce
)

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

	// Self is the process's identity, on which the default paths depend.
	Self trust.Self `toml:"-"`
}

// Requests controls which requests count.
type Requests struct {
	Sources               []string `toml:"sources"` // highest first
	AcceptEnvUnprivileged bool     `toml:"accept-env-unprivileged"`
	EnvAll                string   `toml:"env-all"`
	PreferredEnv          []string `toml:"preferred-env"` // over the first vendor's variable
	OnConflict            string   `toml:"on-conflict"`   // an overridden request names other devices
	OnRefused             string   `toml:"on-refused"`    // a request does not count
}

// Engine controls which sources count for the containers of one engine.
type Engine struct {
	Sources []string `toml:"sources"` // replaces requests.sources
	// Namespaces lists, by Kubernetes namespace, further sources that count for its pods. They rank below Sources.
	Namespaces map[string][]string `toml:"namespaces"`
	Own        []string            `toml:"own"` // sources that the engine serves itself
}

// CDI names the Spec directories and controls what happens if a Spec does not fit the host.
type CDI struct {
	SpecDirs []string `toml:"spec-dirs"` // the last has the highest priority
	OnStale  string   `toml:"on-stale"`  // a Spec was written for another driver, or for devices that are not there
	// OnIncomplete is for a Spec that lacks what its vendor's containers need and the host has.
	OnIncomplete string    `toml:"on-incomplete"`
	Optional     []Pattern `toml:"optional"` // edits that are left out if they cannot be made
	OnLate       string    `toml:"on-late"`  // a Spec has edits that a createRuntime hook cannot make

	// AnnotationPrefixes are the prefixes of annotation keys that are requests of the source cdi-annotation.
	AnnotationPrefixes []string `toml:"annotation-prefixes"`
}

// Drivers controls what happens if a preferred driver is broken.
type Drivers struct {
	OnFallback string `toml:"on-fallback"`
}

// Vendor describes how one vendor's devices are requested and served.
type Vendor struct {
	Name string `toml:"name"`
	Kind string `toml:"kind"` // CDI kind that completes a bare id
	Env  string `toml:"env"`  // visible-devices variable, or ""
	// EnvKinds are CDI kinds of other vendors that the variable may request too; "acme.com/*" is every kind of a vendor.
	EnvKinds     []string `toml:"env-kinds"`
	Dialect      string   `toml:"dialect"`      // grammar of the variable's value
	Capabilities []string `toml:"capabilities"` // Docker's capabilities that a request without a driver may name
	Drivers      []string `toml:"drivers"`      // in order of preference
	RuntimeHook  string   `toml:"runtime-hook"`
}

// NVIDIA is the part of the configuration that only concerns NVIDIA's contract.
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

// Record controls where records are written and how many are kept.
type Record struct {
	Dir  string `toml:"dir"` // "" for the default, report.RunDir
	Keep int    `toml:"keep"`
}

// Process controls how strictly the process named in the state is verified.
type Process struct {
	CheckParent bool `toml:"check-parent"`
}

// EnginePrefix is the prefix of the keys of CDI annotations that an engine may serve itself.
const EnginePrefix = "cdi.k8s.io/"

// Defaults returns the configuration without a file. Whoever starts a container under podman or a bare runtime may
// request devices by any source. Under CRI-O and containerd the authors of pods are not trusted, and what they write
// counts only if the kubelet vouches for it. In a build no source counts that the base image can set.
func Defaults() *Config {
	return &Config{
		Requests: Requests{
			Sources: Sources(), AcceptEnvUnprivileged: true, EnvAll: AllWeak, PreferredEnv: []string{},
			OnConflict: Warn, OnRefused: Warn,
		},
		Engines: engines(),
		CDI: CDI{
			SpecDirs: []string{"/etc/cdi", "/var/run/cdi"}, OnStale: NextDriver, OnIncomplete: Warn,
			Optional: optional(), OnLate: Warn,
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

// engines returns the engines whose containers may have other authors than the user who starts them.
func engines() map[string]*Engine {
	out := map[string]*Engine{
		state.Buildah: {
			Sources: []string{SourceAnnotation, SourceCDIAnnotation}, Namespaces: map[string][]string{}, Own: []string{},
		},
	}
	for _, name := range []string{state.CRIO, state.Containerd} {
		out[name] = &Engine{
			Sources: []string{SourceMount, SourceCDIAnnotation}, Namespaces: map[string][]string{},
			Own: []string{SourceCDIAnnotation},
		}
	}
	return out
}

// defaultsFor returns the defaults for a user. A user who is not the host's root also has Spec directories of their
// own, with a higher priority than the host's.
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

// vendors returns the built-in vendors. A configuration file can change each of them and add others.
func vendors() []Vendor {
	return []Vendor{
		{
			Name: "nvidia", Kind: "nvidia.com/gpu", Env: nvidia.VisibleDevices, EnvKinds: []string{}, Dialect: DialectNVIDIA,
			Capabilities: append([]string{"gpu", "nvidia"}, nvidia.Capabilities()...),
			Drivers:      []string{"nvidia" + DriverCDI, "nvidia" + DriverRuntimeHook},
			RuntimeHook:  "/usr/bin/nvidia-container-runtime-hook",
		},
		{
			Name: "amd", Kind: amdKind, Env: "AMD_VISIBLE_DEVICES", EnvKinds: []string{}, Dialect: DialectAMD,
			Capabilities: []string{"gpu", "amd"}, Drivers: []string{"amd" + DriverCDI},
		},
		{
			Name: "intel", Kind: "intel.com/gpu", EnvKinds: []string{}, Dialect: DialectNVIDIA,
			Capabilities: []string{"gpu", "intel"}, Drivers: []string{"intel" + DriverCDI},
		},
	}
}

// RunDir returns the directory of records and private bundles.
func (c *Config) RunDir() string {
	if c.Record.Dir != "" {
		return c.Record.Dir
	}
	return report.RunDir(c.Self)
}

// SourcesFor returns the sources that count for a container of this engine and Kubernetes namespace, highest first, and
// for messages the key of the configuration that says so. If the engine is in doubt, only sources that count for every
// engine are returned.
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

// strictest returns the sources that count for every engine.
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

// OfKind returns the vendor of this CDI kind, or nil.
func (c *Config) OfKind(kind string) *Vendor {
	return c.find(func(v *Vendor) bool { return v.Kind == kind })
}

// find returns the first vendor that matches, or nil.
func (c *Config) find(matches func(*Vendor) bool) *Vendor {
	for i := range c.Vendors {
		if matches(&c.Vendors[i]) {
			return &c.Vendors[i]
		}
	}
	return nil
}

// EnvMayAsk reports whether the vendor's variable may request devices of this CDI kind: one of the vendor's own, or one
// that the administrator has listed in env-kinds.
func (v *Vendor) EnvMayAsk(kind string) bool {
	domain, _, _ := strings.Cut(kind, "/")
	own, _, _ := strings.Cut(v.Kind, "/")
	return domain == own || slices.Contains(v.EnvKinds, kind) || slices.Contains(v.EnvKinds, domain+"/*")
}
