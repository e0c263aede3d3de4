package main

import (
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/internal/install"
)

// uninstallFiles is the command uninstall. It removes what install with the same flags puts in place, and prints what
// it changed.
func uninstallFiles(p process, options hook.Options, args []string) error {
	target, err := targetOf("uninstall", p, args)
	if err != nil {
		return err
	}
	// If the configuration cannot be read, only definitions that were written without one are found.
	rules, _ := checkup.RulesFor(options, target.Engine)
	changes, err := install.Uninstall(target, installOptions(options, rules))
	if printing := printChanges(p, changes); printing != nil {
		return printing
	}
	return err
}
