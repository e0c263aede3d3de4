package main

import (
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/holders"
)

// ps is the command ps. It prints which running containers hold which devices.
func ps(p process, options hook.Options, args []string) error {
	flags := newFlags("ps", p, commandUsage("ps [--json]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	return show(p, holders.List(options), *asJSON)
}
