package nvidia

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/packages"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

// untrustedHint is the hint of errors about a program or a configuration that others than root can write. What it says
// may be theirs, so that nobody is told to make it root's.
const untrustedHint = "find out who could change it and what it says now; then install its package again"

// installHint returns the hint of errors about a program that is missing.
func installHint(program string) string {
	if strings.HasPrefix(path.Base(program), "nvidia-container-") {
		return "install the package " + packages.Hook().Any + ", or let CDI serve the request (driver nvidia.cdi)"
	}
	return "install " + program + ", or correct runtime-hook in gpu-hook's configuration"
}

// configHint is the hint of errors about the contents of the administrator's configuration of the toolkit.
const configHint = "correct the file by the documentation of NVIDIA's container toolkit"

// Names of the files in the private bundle from which the hook is run.
const (
	configFile = "config.toml"
	specFile   = "config.json"
)

// Request is everything that the hook must serve in its one run: it cannot be run twice for a container.
type Request struct {
	Container    *state.Container
	Root         string   // absolute path of the root filesystem; "" if the container has none
	Variable     string   // name of the visible-devices variable
	IDs          []string // as the vendor writes them: index, UUID, MIG form or "all"; none for only the driver's files
	Capabilities []string // driver capabilities, resolved
	Channels     []string // IMEX channels
	MIGConfig    string   // values of the MIG variables
	MIGMonitor   string
	FromEnv      bool // whether the request comes from the container's environment
	NoRequire    bool // whether the hook must ignore what the image requires of the driver
}

// Keys of the administrator's configuration of the hook: by what a container may request devices.
const (
	acceptUnprivileged = "accept-nvidia-visible-devices-envvar-when-unprivileged"
	acceptMounts       = "accept-nvidia-visible-devices-as-volume-mounts"
)

// acceptsUnprivileged reports whether the hook's configuration lets containers without privileges request devices by
// environment. That is so unless it is turned off.
func acceptsUnprivileged(config map[string]any) bool {
	accept, set := config[acceptUnprivileged].(bool)
	return accept || !set
}

// Toolkit is NVIDIA's container toolkit on this host.
type Toolkit struct {
	Hook   string // path of nvidia-container-runtime-hook
	Config string // path of the administrator's config.toml for the hook; "" for another vendor's hook, which has none
	Owner  trust.Owner
}

// Found returns why the hook, or the nvidia-container-cli that it runs, is missing or cannot be used, or nil.
func (t Toolkit) Found() error {
	_, err := t.find()
	return err
}

// onHost is what is installed of a toolkit. Another vendor's hook has neither.
type onHost struct {
	config map[string]any // of the administrator
	cli    string         // path of nvidia-container-cli
}

func (t Toolkit) find() (there onHost, err error) {
	if err := t.executable(t.Hook); err != nil || t.Config == "" {
		return there, err
	}
	if there.config, err = t.readConfig(); err != nil {
		return there, err
	}
	there.cli, err = t.findCLI(there.config)
	return there, err
}

// Delegate plans the run of the hook, or returns why the hook could not serve the request.
//
// The hook runs with a copy of the administrator's configuration, in which pin sets what gpu-hook has already decided.
// The hook runs in its legacy mode, in which it refuses nothing. It leaves cgroups alone: gpu-hook sets the device
// rules itself, because the hook knows neither systemd's rules nor crun's BPF programs. Everything else that the
// administrator has configured applies.
func (t Toolkit) Delegate(r Request) (*contract.Delegation, error) {
	there, err := t.find()
	if err != nil {
		return nil, err
	}
	return t.delegate(there, r)
}

// delegate is [Toolkit.Delegate] for what was found.
func (t Toolkit) delegate(there onHost, r Request) (*contract.Delegation, error) {
	env := r.variables()
	spec, err := json.Marshal(r.spec(env))
	if err != nil {
		return nil, fault.New(fault.Internal, specFile, "%w", err)
	}
	d := &contract.Delegation{
		Path: t.Hook, Env: env, Program: env[:1], Args: []string{filepath.Base(t.Hook), "prestart"},
		Files: map[string][]byte{specFile: spec},
	}
	if len(r.Capabilities) > 0 {
		d.Program = env[:2]
	}
	if t.Config == "" {
		return d, nil
	}
	if r.FromEnv && !r.Container.Privileged() && !acceptsUnprivileged(there.config) {
		return nil, fault.New(fault.Policy, t.Config,
			acceptUnprivileged+" is false, and this container is not privileged").
			WithHint("ask by the annotation gpu-hook/gpus instead of by environment")
	}
	if err := t.supported(there.config, r.Capabilities); err != nil {
		return nil, err
	}
	if d.Files[configFile], err = pin(there.config, there.cli); err != nil {
		return nil, fault.New(fault.Config, t.Config, "%w", err).WithHint(configHint)
	}
	d.Args = []string{filepath.Base(t.Hook), "-config", configFile, "prestart"}
	return d, nil
}

// supported checks the driver capabilities against the administrator's configuration of the hook. The hook itself would
// fail on one that is not supported there.
func (t Toolkit) supported(config map[string]any, capabilities []string) error {
	list, ok := config["supported-driver-capabilities"].(string)
	if !ok || list == CapabilityAll {
		return nil
	}
	var known []string
	for c := range strings.SplitSeq(list, ",") {
		if c = strings.TrimSpace(c); c != "" && !slices.Contains(Capabilities(), c) {
			return fault.New(fault.Config, t.Config,
				"supported-driver-capabilities: %q is not known, and ends the hook without a word", c).
				WithHint(configHint)
		}
		known = append(known, strings.TrimSpace(c))
	}
	if _, err := Within(capabilities, known); err != nil {
		return fault.New(fault.Policy, t.Config, "%w", err).
			WithHint("ask for a supported one, or add it to supported-driver-capabilities there")
	}
	return nil
}

// variables returns the environment variables by which the hook is told the request. The first is the visible-devices
// variable; if the request has driver capabilities, the second is that of the capabilities.
func (r Request) variables() []string {
	ids := "none"
	if len(r.IDs) > 0 {
		ids = strings.Join(r.IDs, ",")
	}
	env := []string{r.Variable + "=" + ids}
	for _, v := range []struct{ name, value string }{
		{DriverCapabilities, strings.Join(r.Capabilities, ",")},
		{IMEXChannels, strings.Join(r.Channels, ",")},
		{MIGConfigDevices, r.MIGConfig},
		{MIGMonitorDevices, r.MIGMonitor},
	} {
		if v.value != "" {
			env = append(env, v.name+"="+v.value)
		}
	}
	if r.NoRequire {
		env = append(env, DisableRequire+"=1")
	}
	return env
}

// hookSpec is the part of config.json that the hook reads. For the whole of [specs.Spec], encoding/json would make an
// encoder of every type in it: a tenth of the processor time of a start by delegation.
type hookSpec struct {
	Version string      `json:"ociVersion"`
	Process hookProcess `json:"process"`
	Root    specs.Root  `json:"root"`
}

// hookProcess is the part of [specs.Process] that the hook reads.
type hookProcess struct {
	User         specs.User               `json:"user"`
	Args         []string                 `json:"args,omitempty"`
	Env          []string                 `json:"env,omitempty"`
	Cwd          string                   `json:"cwd"`
	Capabilities *specs.LinuxCapabilities `json:"capabilities,omitempty"`
}

// spec returns the hook's config.json, in which env replaces the container's own variables that request devices.
func (r Request) spec(env []string) hookSpec {
	var process hookProcess
	if p := r.Container.Spec.Process; p != nil {
		process = hookProcess{p.User, p.Args, slices.Clone(p.Env), p.Cwd, p.Capabilities}
	}
	// The hook must not see requests that were not granted. It fails on an entry without "=", which runtimes ignore.
	ask := []string{r.Variable, VisibleDevices, DriverCapabilities, IMEXChannels, MIGConfigDevices, MIGMonitorDevices}
	process.Env = slices.DeleteFunc(process.Env, func(o string) bool {
		name, _, found := strings.Cut(o, "=")
		return !found || slices.Contains(ask, name)
	})
	process.Env = append(process.Env, env...)
	return hookSpec{r.Container.Spec.Version, process, specs.Root{Path: r.Root}}
}

// executable returns an error with a hint that says why the program must not be run, or nil.
func (t Toolkit) executable(program string) error {
	err := t.Owner.Executable(program)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		return fault.New(fault.Delegate, program, "it is not installed").WithHint("%s", installHint(program))
	case errors.Is(err, trust.ErrUntrusted):
		return fault.New(fault.Trust, "", "%w", err).WithHint(untrustedHint)
	}
	return fault.New(fault.Delegate, program, "%w", err).WithHint("%s", installHint(program))
}

// readConfig reads the administrator's configuration of the hook. A missing file gives an empty table, which stands for
// NVIDIA's defaults.
func (t Toolkit) readConfig() (map[string]any, error) {
	config := map[string]any{}
	file, err := t.Owner.OpenFile(t.Config)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return config, nil
	case errors.Is(err, trust.ErrUntrusted):
		return nil, fault.New(fault.Trust, "", "%w", err).WithHint(untrustedHint)
	case err != nil:
		return nil, fault.New(fault.Delegate, t.Config, "%w", err).WithHint("make the file readable, or remove it")
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(linux.NoWait(file), limits.SmallFile+1))
	if err == nil && len(data) > limits.SmallFile {
		err = fmt.Errorf("it is larger than %d MiB", limits.SmallFile>>20)
	}
	if err == nil {
		err = toml.Unmarshal(data, &config)
	}
	if err != nil {
		return nil, fault.New(fault.Config, t.Config, "%w", err).WithHint(configHint)
	}
	return config, nil
}

// findCLI returns the nvidia-container-cli that the hook would run. It is the configured one or else the first in the
// directories where the hook looks, those below the driver's root first.
func (t Toolkit) findCLI(config map[string]any) (string, error) {
	table, _ := config["nvidia-container-cli"].(map[string]any)
	if configured, _ := table["path"].(string); configured != "" {
		return configured, t.executable(configured)
	}
	dirs := []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	if root, _ := table["root"].(string); root != "" && root != "/" {
		below := make([]string, 0, 2*len(dirs))
		for _, dir := range dirs {
			below = append(below, path.Join(root, dir))
		}
		dirs = append(below, dirs...)
	}
	for _, dir := range dirs {
		cli := path.Join(dir, "nvidia-container-cli")
		if _, err := os.Stat(cli); err == nil {
			return cli, t.executable(cli)
		}
	}
	return "", fault.New(fault.Delegate, "nvidia-container-cli", "it is not installed (looked in %s)",
		strings.Join(dirs, ", ")).
		WithHint("%s", installHint("nvidia-container-cli"))
}

// pin returns the hook's configuration, in which what gpu-hook has already decided is set. It changes config.
func pin(config map[string]any, cli string) ([]byte, error) {
	set := func(table, key string, value any) error {
		t, ok := config[table].(map[string]any)
		if !ok && config[table] != nil {
			return fmt.Errorf("%s is not a table", table)
		}
		if t == nil {
			t = map[string]any{}
			config[table] = t
		}
		t[key] = value
		return nil
	}
	config["swarm-resource"] = ""
	config[acceptUnprivileged] = true
	config[acceptMounts] = false
	err := errors.Join(
		set("nvidia-container-runtime", "mode", "legacy"),
		set("nvidia-container-cli", "no-cgroups", true),
		set("nvidia-container-cli", "path", cli),
	)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := toml.NewEncoder(&out).Encode(config); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
