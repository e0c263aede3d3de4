package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

func createRuntime(p process, options hook.Options, args []string) error {
	flags := newFlags("createRuntime", p, commandUsage("createRuntime [--engine ENGINE] < STATE"))
	engineFlag(flags, &options.Engine)
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	start := hook.PlanInTime(options, p.stdin)
	if start.Silent() {
		return nil
	}
	// Until here nothing was made, and a signal may end us as it likes. From here on, told to end, we take back what we
	// have made; and a runtime that no longer reads our output must not be what kills us half way. A signal that comes
	// when all is done changes nothing any more, and to give each its own meaning back takes four switches of threads.
	ctx, _ := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	catchPipe()
	start.Apply(ctx)
	err := failed(p, start.Report)
	if err != nil {
		sayPastCrun(start.Report.Lines())
	}
	return err
}

// catchPipe makes writing to a pipe that nobody reads an error, where it would end the process. Programs that are run
// later do not inherit that, as they would inherit an ignored signal.
func catchPipe() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// failed prints the errors of a report to standard error and ends in status 1, if there are any.
func failed(p process, r *report.Report) error {
	if !r.Failed() {
		return nil
	}
	for _, line := range r.Lines() {
		_, _ = fmt.Fprintln(p.stderr, line)
	}
	return errReported
}
