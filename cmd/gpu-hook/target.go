package main

import (
	"fmt"
	"os"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/internal/install"
)

// targetOf reads the flags that install and uninstall share. The engine of the target has the name by which the rest of
// gpu-hook knows it: "cri-o" for the flag's "crio".
func targetOf(command string, p process, args []string) (install.Target, error) {
	flags := newFlags(command, p, commandUsage(command+" [flags]"))
	var t install.Target
	engine := flags.String("engine", "", "for `ENGINE`, podman, crio or containerd, alone: "+
		"the definition names it, and install says what its containers may ask for")
	user := flags.Bool("user", false, "for this user's rootless podman alone, in the home directory")
	flags.StringVar(&t.Bin, "bin-dir", "",
		"the binary is in `DIR` instead of /usr/local/bin, or "+install.PackageBin+" where a package has put this program, "+
			"or ~/.local/bin with --user")
	flags.StringVar(&t.Hooks, "hooks-dir", "", "the hook definition is in `DIR` instead of "+install.SystemHooks+
		" ("+install.AdminHooks+" where that is read-only), or ~/.config/containers/oci/hooks.d with --user; "+
		"without --user the engines must be told of it, and podman's precreate definition is left out")
	flags.StringVar(&t.Precreate, "precreate-dir", "",
		"podman's precreate definition is in `DIR`, where CRI-O must not look, instead of "+install.PodmanHooks)
	flags.StringVar(&t.Destdir, "destdir", "", "all is below `DIR`, for packages; no file names it")
	if err := parse(flags, args); err != nil {
		return t, err
	}
	if err := noArguments(flags); err != nil {
		return t, err
	}
	known := map[string]string{
		"": "", "podman": "podman", "crio": "cri-o", "cri-o": "cri-o", "containerd": "containerd",
	}
	name, found := known[*engine]
	if !found {
		return t, flags.wrong("engine %q is not podman, crio or containerd", *engine)
	}
	t.Engine = name
	if !*user {
		// Without a path, the program is no package's.
		program, _ := os.Executable()
		return t.OfPackage(program), nil
	}
	if name != "" && name != "podman" {
		return t, flags.wrong("--user is for rootless podman, and %s reads nothing in a home directory", *engine)
	}
	var err error
	t.User, err = install.CurrentUser()
	return t, err
}

// installOptions returns the options of install: it copies this program, and repeats the flags of this call in the hook
// definitions.
func installOptions(o hook.Options, rules checkup.Rules) install.Options {
	out := install.Options{Program: "/proc/self/exe", Timeout: rules.Timeout}
	if o.Config != "" {
		out.Flags = append(out.Flags, "--config", o.Config)
	}
	for _, dir := range o.SpecDirs {
		out.Flags = append(out.Flags, "--cdi-spec-dir", dir)
	}
	return out
}

// printChanges prints a line for each change.
func printChanges(p process, changes []install.Change) error {
	for _, c := range changes {
		if _, err := fmt.Fprintln(p.stdout, changeLine(c)); err != nil {
			return err
		}
	}
	return nil
}

// changeLine returns the line that describes a change.
func changeLine(c install.Change) string {
	switch c.Action {
	case install.Installed:
		return "installed " + c.Path
	case install.Removed:
		return "removed " + c.Path
	case install.Left:
		return "left " + c.Path + ": " + c.Why
	case install.Unmerged:
		return fmt.Sprintf("podman's configuration is the host's, so none is written: "+
			"on the host run gpu-hook install, or add %q to hooks_dir in containers.conf", c.Dir)
	case install.Overruled:
		return fmt.Sprintf("podman reads %s after it, which sets hooks_dir: add %q there", c.Path, c.Dir)
	case install.Unread:
		return fmt.Sprintf("CRI-O does not read %s: name it beside the others in hooks_dir under [crio.runtime], "+
			"in a file in /etc/crio/crio.conf.d, and restart CRI-O", c.Dir)
	}
	return ""
}
