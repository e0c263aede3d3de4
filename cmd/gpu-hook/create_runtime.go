package main

import (
	"context"
	"fmt"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook"
)

func createRuntime(p process, options hook.Options, args []string) error {
	flags := newFlags("createRuntime", p, commandUsage("createRuntime < STATE"))
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	// Told to end, it takes back what it has made.
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer stop()
	// A runtime that no longer reads our output must not be what kills us half way.
	signal.Ignore(unix.SIGPIPE)
	report := hook.CreateRuntime(ctx, options, p.stdin)
	if !report.Failed() {
		return nil
	}
	for _, line := range report.Lines() {
		_, _ = fmt.Fprintln(p.stderr, line)
	}
	return errReported
}
