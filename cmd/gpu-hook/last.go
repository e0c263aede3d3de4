package main

import (
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/internal/containers"
)

// last is the command last. It prints the record of a container, by default that of the newest run.
func last(p process, options hook.Options, args []string) error {
	flags := newFlags("last", p, commandUsage("last [--json] [CONTAINER]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 1 {
		return flags.wrong("last takes one container")
	}
	report, err := hook.Last(options, containers.ThisHost(), flags.Arg(0))
	if err != nil {
		return err
	}
	return show(p, report, *asJSON)
}
