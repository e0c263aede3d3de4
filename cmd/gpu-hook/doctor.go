package main

import (
	"cmp"

	"github.com/gpu-hook/gpu-hook/hook"
)

func doctor(p process, options hook.Options, args []string) error {
	flags := newFlags("doctor", p, commandUsage("doctor [--json] [--hooks-dir DIR] [--precreate-dir DIR]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	shared := flags.String("hooks-dir", "", "look for hook definitions in `DIR` instead of "+systemHooks)
	podman := flags.String("precreate-dir", "", "look for podman's own in `DIR` instead of "+podmanHooks)
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	checkup := hook.Checkup(options, hook.Places{Shared: cmp.Or(*shared, systemHooks), Podman: cmp.Or(*podman, podmanHooks)})
	if err := show(p, checkup, *asJSON); err != nil {
		return err
	}
	if checkup.Failed() {
		return errReported
	}
	return nil
}
