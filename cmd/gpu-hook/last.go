package main

import (
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/internal/containers"
)

// last is the command last. It prints the record of a container, by default that of the newest run.
func last(p process, options hook.Options, args []string) error {
	flags := newFlags("last", p, commandUsage("last [--json] [--all | CONTAINER]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	all := flags.Bool("all", false, "list all records, a line for each, the newest first")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *all {
		return lastAll(p, options, flags, *asJSON)
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

// lastAll prints all records.
func lastAll(p process, options hook.Options, flags *flagSet, asJSON bool) error {
	if flags.NArg() > 0 {
		return flags.wrong("last takes either --all or a container")
	}
	all, err := hook.All(options)
	if err != nil {
		return err
	}
	return show(p, all, asJSON)
}
