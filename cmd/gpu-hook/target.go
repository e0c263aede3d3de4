package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gpu-hook/gpu-hook/hook"
	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// systemHooks is where podman and CRI-O look by default.
const systemHooks = "/usr/share/containers/oci/hooks.d"

// podmanHooks is a directory of podman's own: CRI-O does not start where it finds a stage that it does not know.
const podmanHooks = "/usr/share/gpu-hook/podman-hooks.d"

// confName is that of the file by which podman is told of a directory, among its others.
const confName = "containers.conf.d/50-gpu-hook.conf"

// target is where things go. All places are as the engines see them; what is written lies below dest.
type target struct {
	engine, bin, hooks, dest string
	user                     bool
	home                     string // the user's configuration directory, with user
	precreate                string // the directory of podman's own definition, or "" for none
	conf                     string // podman's drop-in, or "" for none
}

// file is one to be put in place.
type file struct {
	path string
	data []byte
	mode os.FileMode
}

// targetOf reads the flags that install and uninstall share; engine is its name as containers state it.
func targetOf(command string, p process, args []string) (to *target, engine string, err error) {
	flags := newFlags(command, p, commandUsage("[--config FILE] [--cdi-spec-dir DIR]... "+command+" [flags]"))
	to = &target{}
	flags.StringVar(&to.engine, "engine", "", "for `ENGINE`, podman, crio or containerd, alone: the definition names it, and install says what its containers may ask for")
	flags.BoolVar(&to.user, "user", false, "for this user's rootless podman alone, in the home directory")
	flags.StringVar(&to.bin, "bin-dir", "", "the binary is in `DIR` instead of /usr/local/bin, or ~/.local/bin with --user")
	flags.StringVar(&to.hooks, "hooks-dir", "", "the hook definition is in `DIR` instead of "+systemHooks+", or ~/.config/containers/oci/hooks.d with --user; without --user the engines must be told of it, and podman's precreate definition is left out")
	flags.StringVar(&to.precreate, "precreate-dir", "", "podman's precreate definition is in `DIR`, where CRI-O must not look, instead of "+podmanHooks)
	flags.StringVar(&to.dest, "destdir", "", "all is below `DIR`, for packages; no file names it")
	if err := parse(flags, args); err != nil {
		return nil, "", err
	}
	if err := noArguments(flags); err != nil {
		return nil, "", err
	}
	engine, known := map[string]string{"": "", "podman": "podman", "crio": "cri-o", "cri-o": "cri-o", "containerd": "containerd"}[to.engine]
	if !known {
		_, _ = fmt.Fprintf(p.stderr, "gpu-hook: engine %q is not podman, crio or containerd\n", to.engine)
		return nil, "", errUsage
	}
	to.engine = engine
	return to, engine, to.places(engine)
}

// places fills in the default places and makes all of them absolute.
func (to *target) places(engine string) error {
	bin, hooks := "/usr/local/bin", systemHooks
	if to.user {
		home, err := os.UserHomeDir()
		if err != nil {
			return installError("home directory", err)
		}
		if to.home, err = os.UserConfigDir(); err != nil {
			return installError("configuration directory", err)
		}
		bin, hooks = filepath.Join(home, ".local", "bin"), filepath.Join(to.home, "containers", "oci", "hooks.d")
	}
	to.bin, to.hooks = cmp.Or(to.bin, bin), cmp.Or(to.hooks, hooks)
	for _, place := range []*string{&to.bin, &to.hooks, &to.precreate} {
		if *place == "" {
			continue
		}
		abs, err := filepath.Abs(*place)
		if err != nil {
			return installError(*place, err)
		}
		*place = abs
	}
	to.podman(engine)
	return nil
}

// podman settles what is for podman alone. A directory that somebody chose for himself is for him to tell the engines of.
func (to *target) podman(engine string) {
	switch {
	case engine == "cri-o", engine == "containerd":
		to.precreate = ""
	case to.user:
		to.precreate = cmp.Or(to.precreate, to.hooks) // no CRI-O looks there
		to.conf = filepath.Join(to.home, "containers", confName)
	case to.hooks == systemHooks:
		to.precreate = cmp.Or(to.precreate, podmanHooks)
		to.conf = "/etc/containers/" + confName
	}
}

func (to *target) binary() string { return filepath.Join(to.bin, "gpu-hook") }

// definitions are those of the hooks. podman's own directory, which it reads last, has one of the same name as the one that
// all engines read: it stands over that, and says whose it is.
func (to *target) definitions(options hook.Options, rules hook.Rules) ([]file, error) {
	type entry struct{ dir, name, engine string }
	entries := []entry{{to.hooks, definition.CreateRuntime, to.engine}, {to.precreate, definition.Precreate, ""}}
	if to.user || to.precreate == to.hooks {
		entries[0].engine = "podman"
	}
	if to.precreate != to.hooks {
		entries = append(entries, entry{to.precreate, definition.CreateRuntime, "podman"})
	}
	var out []file
	for _, d := range entries {
		if d.dir == "" {
			continue
		}
		data, err := definition.For(d.name, to.binary(), d.engine, flagsOf(options), to.environment(), int(rules.Timeout.Seconds()))
		if err != nil {
			return nil, installError(d.name, err)
		}
		out = append(out, file{filepath.Join(d.dir, d.name), data, 0o644})
	}
	return out, nil
}

// environment is what the hook of a user's own engine needs to know: an engine gives it nothing but what stands there.
func (to *target) environment() []string {
	if !to.user {
		return nil
	}
	return []string{"XDG_CONFIG_HOME=" + to.home}
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
