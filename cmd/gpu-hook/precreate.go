package main

import (
	"fmt"

	"github.com/gpu-hook/gpu-hook/hook"
)

func precreate(p process, options hook.Options, args []string) error {
	flags := newFlags("precreate", p, commandUsage("precreate [--engine ENGINE] < SPEC"))
	engineFlag(flags, &options.Engine)
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	catchPipe() // it is an error of the write below
	start, err := hook.PlanSpecInTime(options, p.stdin)
	if err != nil {
		return err
	}
	if _, err := p.stdout.Write(start.Render()); err != nil {
		return fmt.Errorf("write the spec: %w", err)
	}
	return nil
}
