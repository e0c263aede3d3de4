package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/install"
	"github.com/gpu-hook/gpu-hook/internal/probe"
	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// doctor is the command doctor. It prints the checks of the installation, and fails if one of them failed.
func doctor(p process, options hook.Options, args []string) error {
	flags := newFlags("doctor", p, commandUsage("doctor [--json | --all] [--user] [--engine ENGINE] [--hooks-dir DIR] "+
		"[--precreate-dir DIR]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	all := flags.Bool("all", false, "show what is fine too")
	user := flags.Bool("user", false, "look over what install --user has put in place; the default where that, and "+
		"nothing for all users, is there")
	engineFlag(flags, &options.Engine)
	shared := flags.String("hooks-dir", "", "look for hook definitions in `DIR` instead of the directories that engines "+
		"are configured to read")
	podman := flags.String("precreate-dir", "", "look for podman's own in `DIR` too")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	places, err := placesOf(*user, *shared, *podman)
	if err != nil {
		return err
	}
	if options.Engine != "" && options.Engine != "podman" {
		places.Podman = ""
	}
	places.Config = options.Config
	places.Plan = func(gpus string) (*report.Report, error) {
		return hook.Example{GPUs: &gpus, Annotations: map[string]string{}}.Explain(options)
	}
	places.Ask = probe.Ask
	found := checkup.Run(options, places)
	found.All = *all
	if err := show(p, found, *asJSON); err != nil {
		return err
	}
	if found.Failed() {
		return errReported
	}
	return nil
}

// placesOf returns the directories in which to look for hook definitions. A directory that a flag names takes
// precedence. The others are the user's own with --user, and the host's without. If no directory is named, the user's
// own are also used where gpu-hook is installed for this user alone.
func placesOf(user bool, shared, podman string) (checkup.Places, error) {
	own, err := install.UserHooks()
	if user && err != nil {
		return checkup.Places{}, err
	}
	named := shared != "" || podman != ""
	for _, dir := range []*string{&shared, &podman} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return checkup.Places{}, mistake("directory "+*dir, "%w", err)
		}
		*dir = abs
	}
	host := hostHooks()
	if user || err == nil && !named && !installed(host.Shared) && installed(own) {
		return checkup.Places{
			Shared: cmp.Or(shared, own), Podman: cmp.Or(podman, shared, own), Named: named, User: true,
			UserDir: configOf(own),
		}, nil
	}
	places := checkup.Places{
		Shared: cmp.Or(shared, host.Shared), Podman: cmp.Or(podman, host.Podman), Named: named,
	}
	if err == nil && os.Getuid() != 0 {
		places.UserDir = configOf(own) // a user's podman reads it beside the host's
	}
	return places, nil
}

// hostHooks returns the directories in which the definitions for the whole host are: the administrator's, if install
// has found the default ones read-only, or else the default ones.
func hostHooks() checkup.Places {
	if !installed(install.SystemHooks) && installed(install.AdminHooks) {
		return checkup.Places{Shared: install.AdminHooks, Podman: install.AdminPodmanHooks}
	}
	return checkup.Places{Shared: install.SystemHooks, Podman: install.PodmanHooks}
}

// configOf returns the user's configuration directory, of which CONFIG/containers/oci/hooks.d is the directory of
// hooks.
func configOf(hooks string) string { return filepath.Dir(filepath.Dir(filepath.Dir(hooks))) }

// installed reports whether gpu-hook's own definition is in the directory.
func installed(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, definition.CreateRuntime))
	return err == nil
}
