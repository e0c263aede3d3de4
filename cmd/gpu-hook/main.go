// Command gpu-hook is an OCI hook that gives containers the GPUs they ask for.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/cmd/gpu-hook/early"
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/stack"
)

// Exit statuses.
const (
	exitDone    = 0
	exitRefused = 1
	exitUsage   = 2
)

func init() {
	// The main goroutine stays on the main thread. Otherwise the thread that joins a container's mount namespace can be
	// that one, and /proc/self would be read in the container.
	runtime.LockOSThread()
}

// main leaves everything to another goroutine. The main one is bound to its thread, so that whatever it waits for costs
// two switches between threads.
func main() {
	go func() {
		stack.Grow()
		os.Exit(run(os.Args[1:], process{stdin: standardInput(), stdout: os.Stdout, stderr: os.Stderr}))
	}()
	select {}
}

// standardInput is what was on standard input when the process began.
func standardInput() io.Reader {
	read := early.Read()
	if read.Ended {
		return bytes.NewReader(read.Data)
	}
	return io.MultiReader(bytes.NewReader(read.Data), os.Stdin)
}

// process is what a command may touch of the process.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	// onHelp is called with a command's flags where help is asked for, if it is not nil. Help is printed otherwise.
	onHelp func(*flagSet)
}

// errUsage ends in exit status 2; what is wrong was said already.
var errUsage = errors.New("usage")

// errReported ends in exit status 1; what is wrong was said already.
var errReported = errors.New("reported")

// run is the whole program; it returns the exit status.
func run(args []string, p process) (status int) {
	// Whatever the runtime left open must not reach the programs that are run later (CVE-2024-21626).
	_ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	// A defect must be told like any other failure, and never as exit status 2, Go's own for a panic.
	err := fault.Guard(func() error { return dispatch(args, p) })
	status = exitRefused
	untold := fault.Guard(func() error {
		status = say(p, err)
		return nil
	})
	if untold != nil {
		_, _ = fmt.Fprintln(p.stderr, "gpu-hook: "+string(fault.Internal)+": "+untold.Error())
	}
	return status
}

func say(p process, err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errReported):
		return exitRefused
	}
	for _, line := range report.Lines(err) {
		_, _ = fmt.Fprintln(p.stderr, line)
	}
	return exitRefused
}

// dispatch runs the command that the arguments name.
func dispatch(args []string, p process) error {
	var options hook.Options
	flags := programFlags(p, &options)
	isVersion := flags.Bool("version", false, "print the version")
	if err := parse(flags, args); err != nil {
		return err
	}
	name := flags.Arg(0)
	switch {
	case *isVersion:
		return version(p, options, nil)
	case name == "":
		_, _ = fmt.Fprintf(p.stderr, "usage: gpu-hook %s\ngpu-hook: fix: gpu-hook help lists the commands\n", flags.usage)
		return errUsage
	}
	if name == completeCommand {
		return complete(p, flags.Args()[1:])
	}
	c, found := commandOf(name)
	if !found {
		return unknownCommand(p, name)
	}
	args = flags.Args()[1:]
	// A stage's command line is a hook definition's, and package early reads it too.
	if !c.stage {
		var err error
		if args, err = hoist(flags, c, args); err != nil {
			return err
		}
	}
	return c.run(p, options, args)
}

// programFlags returns the flags of the program.
func programFlags(p process, options *hook.Options) *flagSet {
	flags := newFlags(programName, p, "[--config FILE] [--cdi-spec-dir DIR]... COMMAND")
	flags.Func("config", "read the configuration from `FILE` instead of "+config.DefaultPath,
		func(file string) (err error) {
			options.Config, err = filepath.Abs(file)
			return err
		})
	flags.Func("cdi-spec-dir", "read CDI Specs from `DIR` instead of the configured directories; may be repeated",
		func(dir string) error {
			abs, err := filepath.Abs(dir)
			options.SpecDirs = append(options.SpecDirs, abs)
			return err
		})
	return flags
}

// unknownCommand says that there is no such command, and what may have been meant.
func unknownCommand(p process, name string) error {
	_, _ = fmt.Fprintf(p.stderr, "gpu-hook: unknown command %q%s\ngpu-hook: fix: gpu-hook help lists the commands\n",
		name, didYouMean(name, commandNames()))
	return errUsage
}

// mistake is an error of the command line that is found after parsing.
func mistake(what, format string, args ...any) error {
	return fault.New(fault.Request, what, format, args...)
}
