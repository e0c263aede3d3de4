package main

import (
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/hook/holders"
)

// inventory is the command devices. It prints the vendors, drivers and devices of this host, and who
// holds the devices.
func inventory(p process, options hook.Options, args []string) error {
	flags := newFlags("devices", p, commandUsage("devices [--json]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	i, err := checkup.Inventory(options)
	if err != nil {
		return err
	}
	i.Holders = holders.List(options).On(i.Devices)
	return show(p, i, *asJSON)
}
