package main

import (
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/internal/install"
)

func uninstallFiles(p process, options hook.Options, args []string) error {
	target, err := targetOf("uninstall", p, args)
	if err != nil {
		return err
	}
	// Without a readable configuration, the definitions to find are those written without one.
	rules, _ := checkup.RulesFor(options, target.Engine)
	changes, err := install.Uninstall(target, installOptions(options, rules))
	if printing := printChanges(p, changes); printing != nil {
		return printing
	}
	return err
}
