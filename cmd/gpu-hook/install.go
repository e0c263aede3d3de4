package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/config"
	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

func install(p process, options hook.Options, args []string) error {
	flags := newFlags("install", p, commandUsage("[--config FILE] [--cdi-spec-dir DIR]... install [flags]"))
	var to target
	flags.StringVar(&to.engine, "engine", "", "say what containers of `ENGINE`, podman or crio, may ask for")
	flags.BoolVar(&to.user, "user", false, "install for this user's rootless podman alone, in the home directory")
	flags.StringVar(&to.bin, "bin-dir", "", "put the binary into `DIR` instead of /usr/local/bin, or ~/.local/bin with --user")
	flags.StringVar(&to.hooks, "hooks-dir", "", "put the hook definition into `DIR` instead of "+systemHooks+", or ~/.config/containers/oci/hooks.d with --user")
	flags.StringVar(&to.dest, "destdir", "", "put both below `DIR`, for packages; the definition names the binary without it")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	if err := to.places(); err != nil {
		return err
	}
	engine, known := map[string]string{"": "", "podman": "podman", "crio": "cri-o", "cri-o": "cri-o"}[to.engine]
	if !known {
		_, _ = fmt.Fprintf(p.stderr, "gpu-hook: engine %q is neither podman nor crio\n", to.engine)
		return errUsage
	}
	rules, err := hook.RulesFor(options, engine)
	if err != nil {
		return err
	}
	if err := to.put(p, options, rules); err != nil {
		return err
	}
	if to.engine != "" {
		return tell(p, engine, cmp.Or(options.Config, config.DefaultPath), rules)
	}
	return nil
}

// systemHooks is where podman and CRI-O look by default.
const systemHooks = "/usr/share/containers/oci/hooks.d"

// target is where things go.
type target struct {
	engine, bin, hooks, dest string
	user                     bool
	config                   string // the user's configuration directory, with user
}

// places fills in the default places and makes all of them absolute.
func (to *target) places() error {
	bin, hooks := "/usr/local/bin", systemHooks
	if to.user {
		home, err := os.UserHomeDir()
		if err != nil {
			return installError("home directory", err)
		}
		if to.config, err = os.UserConfigDir(); err != nil {
			return installError("configuration directory", err)
		}
		bin, hooks = filepath.Join(home, ".local", "bin"), filepath.Join(to.config, "containers", "oci", "hooks.d")
	}
	for _, place := range []struct {
		dir      *string
		fallback string
	}{{&to.bin, bin}, {&to.hooks, hooks}} {
		abs, err := filepath.Abs(cmp.Or(*place.dir, place.fallback))
		if err != nil {
			return installError(*place.dir, err)
		}
		*place.dir = abs
	}
	return nil
}

// environment is what the hook of a user's own engine needs to know: an engine gives it nothing but what stands there.
func (to target) environment() []string {
	if !to.user {
		return nil
	}
	return []string{"XDG_CONFIG_HOME=" + to.config}
}

// dropIn makes the user's podman read the definition's directory, after the one that it reads by default: there a
// definition of the same name stands over the host's, so that one hook runs, not two.
func (to target) dropIn() string {
	return fmt.Sprintf("# Written by gpu-hook install --user.\n[engine]\nhooks_dir = [%q, %q]\n", systemHooks, to.hooks)
}

func (to target) put(p process, options hook.Options, rules hook.Rules) error {
	binary := filepath.Join(to.bin, "gpu-hook")
	data, err := definition.For(binary, flagsOf(options), to.environment(), int(rules.Timeout.Seconds()))
	if err != nil {
		return installError(definition.Name, err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return installError(binary, err)
	}
	// The binary first: engines read a definition at once, and one whose binary is missing is passed over in silence.
	if err := put(filepath.Join(to.dest, binary), self, 0o755); err != nil {
		return err
	}
	file := filepath.Join(to.dest, to.hooks, definition.Name)
	if err := put(file, data, 0o644); err != nil {
		return err
	}
	files := []string{filepath.Join(to.dest, binary), file}
	if to.user {
		conf := filepath.Join(to.config, "containers", "containers.conf.d", "50-gpu-hook.conf")
		if err := put(conf, []byte(to.dropIn()), 0o644); err != nil {
			return err
		}
		files = append(files, conf)
	}
	for _, f := range files {
		if _, err := fmt.Fprintf(p.stdout, "installed %s\n", f); err != nil {
			return err
		}
	}
	return nil
}

// tell says in plain words who may ask for what.
func tell(p process, engine, file string, rules hook.Rules) error {
	words := map[string]string{
		config.SourceAnnotation:    "the annotation gpu-hook/gpus",
		config.SourceCDIAnnotation: "annotations cdi.k8s.io/* of the container itself (a device plugin's, not those of the pod)",
		config.SourceMount:         "mounts of /dev/null below /var/run/nvidia-container-devices (a device plugin's, or a hostPath volume where admission lets it through)",
		config.SourceEnv:           "environment (NVIDIA_VISIBLE_DEVICES and the like)",
	}
	if engine != "cri-o" {
		words[config.SourceCDIAnnotation] = "annotations cdi.k8s.io/*"
		words[config.SourceMount] = "mounts of /dev/null below /var/run/nvidia-container-devices"
	}
	out := &strings.Builder{}
	fmt.Fprintf(out, "\nContainers of %s may ask for devices by, highest first:\n", engine)
	for _, s := range rules.Counted {
		fmt.Fprintf(out, "  - %s\n", words[s])
	}
	if len(rules.Closed) > 0 {
		fmt.Fprintf(out, "They may not ask by:\n")
		for _, s := range rules.Closed {
			fmt.Fprintf(out, "  - %s\n", words[s])
		}
		quoted := make([]string, 0, len(rules.Closed))
		for _, s := range append(slices.Clone(rules.Counted), rules.Closed...) {
			quoted = append(quoted, strconv.Quote(s))
		}
		fmt.Fprintf(out, "Such requests are reported and the container starts without. To let every container ask so, write into %s:\n\n", file)
		fmt.Fprintf(out, "  [engines.%s]\n  sources = [%s]\n", engine, strings.Join(quoted, ", "))
		if engine == "cri-o" {
			fmt.Fprintf(out, "\nor, for the pods of one Kubernetes namespace alone:\n\n  [engines.%s]\n  namespaces = { \"NAMESPACE\" = [%s] }\n", engine, strings.Join(quoted[len(rules.Counted):], ", "))
		}
	}
	_, err := fmt.Fprint(p.stdout, out.String())
	return err
}

// flagsOf returns the flags of this call as the definition is to have them.
func flagsOf(o hook.Options) []string {
	var out []string
	if o.Config != "" {
		out = append(out, "--config", o.Config)
	}
	for _, dir := range o.SpecDirs {
		out = append(out, "--cdi-spec-dir", dir)
	}
	return out
}

// put writes a file in one step: whoever reads path meanwhile sees the old one or the new one, and on error the old one
// stays and nothing else is left.
func put(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return installError(path, err)
	}
	file, err := os.CreateTemp(dir, ".gpu-hook-")
	if err != nil {
		return installError(path, err)
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return installError(path, err)
	}
	return nil
}

func installError(path string, err error) error {
	return fault.New(fault.Install, path, "%w", err).WithHint("run it as root, with --user, or choose another place with --bin-dir and --hooks-dir")
}
