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

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/trust"
)

// maxConfig bounds the administrator's configuration of NVIDIA's hook, in bytes.
const maxConfig = 1 << 20

// installHint is what to do where a part of the delegate is missing.
const installHint = "install NVIDIA's container toolkit, or make CDI serve the request: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"

// Files of the private bundle that the hook is run from.
const (
	configFile = "config.toml"
	specFile   = "config.json"
)

// Delegation is a run of nvidia-container-runtime-hook that would serve a request.
type Delegation struct {
	Path string
	Args []string // with argv[0]; relative to the private bundle
	// Env are the variables that the request comes to. They stand in the private config.json, where the hook reads
	// them; they are not the environment of the hook's own process.
	Env []string
	// Files of the private bundle, by name.
	Files map[string][]byte
}

// Request is what the hook is to serve.
type Request struct {
	Container    *state.Container
	Root         string   // absolute path of the root filesystem; "" in a plan that is not carried out
	IDs          []string // the vendor's own: index, UUID, MIG form or "all"
	Capabilities []string // asked for beside the devices, or none: then what the image says holds
	FromEnv      bool     // the container's environment is what asks
	Variable     string   // name of the visible-devices variable
}

// Toolkit is NVIDIA's container toolkit on this host.
type Toolkit struct {
	Hook   string // path of nvidia-container-runtime-hook
	Config string // path of the administrator's config.toml for it
	Owner  trust.Owner
}

// Delegate plans the run of the hook, or says why it could not serve the request. The hook is held to its legacy mode,
// where it refuses nothing, and away from cgroups, which are gpu-hook's to set (facts of systemd and of crun's BPF
// programs are not known to it); all else in the administrator's configuration holds.
func (t Toolkit) Delegate(r Request) (*Delegation, error) {
	if err := t.executable(t.Hook); err != nil {
		return nil, err
	}
	config, err := t.readConfig()
	if err != nil {
		return nil, err
	}
	if accept, ok := config["accept-nvidia-visible-devices-envvar-when-unprivileged"].(bool); ok && !accept && r.FromEnv && !r.Container.Privileged() {
		return nil, fault.New(fault.Policy, t.Config, "accept-nvidia-visible-devices-envvar-when-unprivileged is false, and this container is not privileged").
			WithHint("ask by the annotation gpu-hook/gpus instead of by environment")
	}
	cli, err := t.findCLI(config)
	if err != nil {
		return nil, err
	}
	configData, err := pin(config, cli)
	if err != nil {
		return nil, fault.New(fault.Delegate, t.Config, "%w", err).WithHint("correct the file by the documentation of NVIDIA's container toolkit")
	}
	env := []string{r.Variable + "=" + strings.Join(r.IDs, ",")}
	if len(r.Capabilities) > 0 {
		env = append(env, DriverCapabilities+"="+strings.Join(r.Capabilities, ","))
	}
	spec, err := json.Marshal(r.spec(env))
	if err != nil {
		return nil, fault.New(fault.Delegate, specFile, "%w", err)
	}
	return &Delegation{
		Path: t.Hook, Args: []string{filepath.Base(t.Hook), "-config", configFile, "prestart"}, Env: env,
		Files: map[string][]byte{configFile: configData, specFile: spec},
	}, nil
}

// spec is the part of config.json that the hook reads, with the request's variables in place of the container's.
func (r Request) spec(env []string) specs.Spec {
	process := specs.Process{Capabilities: nil}
	if p := r.Container.Spec.Process; p != nil {
		process = specs.Process{User: p.User, Args: p.Args, Cwd: p.Cwd, Capabilities: p.Capabilities, Env: slices.Clone(p.Env)}
	}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		process.Env = slices.DeleteFunc(process.Env, func(o string) bool { return o == name || strings.HasPrefix(o, name+"=") })
	}
	// An entry without "=" is fatal to the hook; a runtime ignores it.
	process.Env = slices.DeleteFunc(process.Env, func(o string) bool { return !strings.Contains(o, "=") })
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
	if _, err := toml.NewDecoder(io.LimitReader(file, maxConfig)).Decode(&config); err != nil {
		return nil, fault.New(fault.Delegate, t.Config, "%w", err).WithHint("correct the file by the documentation of NVIDIA's container toolkit")
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
