package main

import (
	"github.com/gpu-hook/gpu-hook/hook"
)

// last is the command last. It prints the record of a container, by default that of the newest run.
func last(p process, options hook.Options, args []string) error {
	flags := newFlags("last", p, commandUsage("last [--json] [ID]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 1 {
		return flags.wrong("last takes one container id")
	}
	report, err := hook.Last(options, flags.Arg(0))
	if err != nil {
		return err
	}
	return show(p, report, *asJSON)
}
