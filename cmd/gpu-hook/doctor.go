package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/internal/install"
	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// doctor is the command doctor. It prints the checks of the installation, and fails if one of them failed.
func doctor(p process, options hook.Options, args []string) error {
	flags := newFlags("doctor", p, commandUsage("doctor [--json] [--user] [--engine ENGINE] [--hooks-dir DIR] "+
		"[--precreate-dir DIR]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	user := flags.Bool("user", false, "look over what install --user has put in place; the default where that, and "+
		"nothing for all users, is there")
	engineFlag(flags, &options.Engine)
	shared := flags.String("hooks-dir", "", "look for hook definitions in `DIR` instead of "+install.SystemHooks)
	podman := flags.String("precreate-dir", "", "look for podman's own in `DIR` instead of "+install.PodmanHooks)
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
	checkup := checkup.Run(options, places)
	if err := show(p, checkup, *asJSON); err != nil {
		return err
	}
	if checkup.Failed() {
		return errReported
	}
	return nil
}

// placesOf returns the directories in which to look for hook definitions. A directory that a flag names takes
// precedence. The others are the user's own with --user, and the host's without. If no directory is named, the user's
// own are also used where gpu-hook is installed for this user alone.
func placesOf(user bool, shared, podman string) (checkup.Places, error) {
	own, err := install.UserHooks()
	switch {
	case user && err != nil:
		return checkup.Places{}, err
	case user, err == nil && shared == "" && podman == "" && !installed(install.SystemHooks) && installed(own):
		return checkup.Places{Shared: cmp.Or(shared, own), Podman: cmp.Or(podman, shared, own)}, nil
	}
	return checkup.Places{Shared: cmp.Or(shared, install.SystemHooks), Podman: cmp.Or(podman, install.PodmanHooks)}, nil
}

// installed reports whether gpu-hook's own definition is in the directory.
func installed(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, definition.CreateRuntime))
	return err == nil
}
