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
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

// maxConfig bounds the administrator's configuration of NVIDIA's hook, in bytes.
const maxConfig = 1 << 20

// installHint is what to do where a part of the delegate is missing.
const installHint = "install NVIDIA's container toolkit, or make CDI serve the request: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"

const configHint = "correct the file by the documentation of NVIDIA's container toolkit"

// Files of the private bundle that the hook is run from.
const (
	configFile = "config.toml"
	specFile   = "config.json"
)

// Request is what the hook is to serve, all at once: it can be run but once for a container.
type Request struct {
	Container    *state.Container
	Root         string   // absolute path of the root filesystem; "" in a plan that is not carried out
	Variable     string   // name of the visible-devices variable
	IDs          []string // the vendor's own: index, UUID, MIG form or "all"; none for the driver's files alone
	Capabilities []string // driver capabilities, resolved
	Channels     []string // IMEX channels
	MIGConfig    string   // values of the MIG variables
	MIGMonitor   string
	FromEnv      bool // the container's environment is what asks
	NoRequire    bool // what the image requires of the driver is not to be held against it
}

// Toolkit is NVIDIA's container toolkit on this host.
type Toolkit struct {
	Hook   string // path of nvidia-container-runtime-hook
	Config string // path of the administrator's config.toml for it; "" for another vendor's hook, which has none
	Owner  trust.Owner
}

// Found reports whether the hook and what it runs are there, or why not.
func (t Toolkit) Found() error {
	_, err := t.find()
	return err
}

// onHost is what there is of a toolkit on this host. Another vendor's hook has neither.
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

// Delegate plans the run of the hook, or says why it could not serve the request. The hook is held to its legacy mode,
// where it refuses nothing, and away from cgroups, which are gpu-hook's to set (facts of systemd and of crun's BPF
// programs are not known to it); all else in the administrator's configuration holds.
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
	if accept, ok := there.config["accept-nvidia-visible-devices-envvar-when-unprivileged"].(bool); ok && !accept && r.FromEnv && !r.Container.Privileged() {
		return nil, fault.New(fault.Policy, t.Config, "accept-nvidia-visible-devices-envvar-when-unprivileged is false, and this container is not privileged").
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

// supported checks the capabilities against the administrator's configuration of the hook, which is fatal to it there.
func (t Toolkit) supported(config map[string]any, capabilities []string) error {
	list, ok := config["supported-driver-capabilities"].(string)
	if !ok || list == CapabilityAll {
		return nil
	}
	var known []string
	for c := range strings.SplitSeq(list, ",") {
		if c = strings.TrimSpace(c); c != "" && !slices.Contains(Capabilities(), c) {
			return fault.New(fault.Config, t.Config, "supported-driver-capabilities: %q is not known, and ends the hook without a word", c).WithHint(configHint)
		}
		known = append(known, strings.TrimSpace(c))
	}
	if _, err := Within(capabilities, known); err != nil {
		return fault.New(fault.Policy, t.Config, "%w", err).WithHint("ask for a supported one, or add it to supported-driver-capabilities there")
	}
	return nil
}

// variables are what the request comes to in the hook's own terms.
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

// spec is the part of config.json that the hook reads, with the request's variables in place of the container's.
func (r Request) spec(env []string) specs.Spec {
	process := specs.Process{Capabilities: nil}
	if p := r.Container.Spec.Process; p != nil {
		process = specs.Process{User: p.User, Args: p.Args, Cwd: p.Cwd, Capabilities: p.Capabilities, Env: slices.Clone(p.Env)}
	}
	// What was not granted must not ask again; an entry without "=" is fatal to the hook, and a runtime ignores it.
	ask := []string{r.Variable, VisibleDevices, DriverCapabilities, IMEXChannels, MIGConfigDevices, MIGMonitorDevices}
	process.Env = slices.DeleteFunc(process.Env, func(o string) bool {
		name, _, found := strings.Cut(o, "=")
		return !found || slices.Contains(ask, name)
	})
	process.Env = append(process.Env, env...)
	return specs.Spec{Version: r.Container.Spec.Version, Process: &process, Root: &specs.Root{Path: r.Root}}
}

func (t Toolkit) executable(path string) error {
	err := t.Owner.Executable(path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		return fault.New(fault.Delegate, path, "it is not installed").WithHint(installHint)
	case errors.Is(err, trust.ErrUntrusted):
		return fault.New(fault.Trust, "", "%w", err).WithHint("root alone may write the file and its directories")
	}
	return fault.New(fault.Delegate, path, "%w", err).WithHint(installHint)
}

// readConfig reads the administrator's file; a missing one stands for NVIDIA's defaults.
func (t Toolkit) readConfig() (map[string]any, error) {
	config := map[string]any{}
	file, err := t.Owner.OpenFile(t.Config)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return config, nil
	case errors.Is(err, trust.ErrUntrusted):
		return nil, fault.New(fault.Trust, "", "%w", err).WithHint("root alone may write the file and its directories")
	case err != nil:
		return nil, fault.New(fault.Delegate, t.Config, "%w", err).WithHint("make the file readable, or remove it")
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("it is larger than %d MiB", maxConfig>>20)
	}
	if err == nil {
		err = toml.Unmarshal(data, &config)
	}
	if err != nil {
		return nil, fault.New(fault.Config, t.Config, "%w", err).WithHint(configHint)
	}
	return config, nil
}

// findCLI returns the nvidia-container-cli that the hook would run: the configured one, else the first in the
// directories where the hook looks, below the driver's root first.
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
	return "", fault.New(fault.Delegate, "nvidia-container-cli", "it is not installed (looked in %s)", strings.Join(dirs, ", ")).WithHint(installHint)
}

// pin returns the configuration with what gpu-hook has decided already. It changes config.
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
	config["accept-nvidia-visible-devices-envvar-when-unprivileged"] = true
	config["accept-nvidia-visible-devices-as-volume-mounts"] = false
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
