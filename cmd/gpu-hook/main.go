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
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/cmd/gpu-hook/early"
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
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

func main() {
	os.Exit(run(os.Args[1:], process{standardInput(), os.Stdout, os.Stderr}))
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
}

type command struct {
	name, args, about string
	run               func(process, hook.Options, []string) error
}

func commands() []command {
	return []command{
		{"createRuntime", "< STATE", "serve the container whose state stands on standard input (the hook)", createRuntime},
		{"precreate", "< SPEC", "serve the container whose spec stands on standard input by editing that (podman's hook)", precreate},
		{"explain", "[flags]", "say what a container would get, and why, without giving it", explain},
		{"devices", "[--json]", "say what this host has to give: vendors, drivers, devices, precedence", inventory},
		{"doctor", "[flags]", "look over the installation: what works, what does not, and what to do", doctor},
		{"last", "[--json] [ID]", "say what the last container that asked for a device got, or the one of this id", last},
		{"install", "[flags]", "put the binary and its hook definition in place", installFiles},
		{"uninstall", "[flags]", "remove what install with the same flags has put in place", uninstallFiles},
		{"version", "", "print the version", version},
		{"help", "[CODE | errors]", "print this, what an error code means and what to do about it, or all codes", help},
	}
}

// errUsage ends in exit status 2; what is wrong was said already.
var errUsage = errors.New("usage")

// errReported ends in exit status 1; what is wrong was said already.
var errReported = errors.New("reported")

// run is the whole program; it returns the exit status.
func run(args []string, p process) (status int) {
	// Whatever the runtime left open must not reach the programs that are run later (CVE-2024-21626).
	_ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	defer func() {
		// A defect must be told like any other failure, and never as exit status 2, Go's own for a panic.
		if r := recover(); r != nil {
			status = say(p, fmt.Errorf("panic: %v", r))
		}
	}()
	return say(p, dispatch(args, p))
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

func dispatch(args []string, p process) error {
	var options hook.Options
	flags := newFlags("gpu-hook", p, usage)
	flags.Func("config", "read the configuration from `FILE` instead of "+config.DefaultPath, func(file string) (err error) {
		options.Config, err = filepath.Abs(file)
		return err
	})
	flags.Func("cdi-spec-dir", "read CDI Specs from `DIR` instead of the configured directories; may be repeated", func(dir string) error {
		abs, err := filepath.Abs(dir)
		options.SpecDirs = append(options.SpecDirs, abs)
		return err
	})
	if err := parse(flags, args); err != nil {
		return err
	}
	name := flags.Arg(0)
	switch name {
	case "":
		usage(flags)
		return errUsage
	case "prestart":
		name = "createRuntime"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(p, options, flags.Args()[1:])
		}
	}
	_, _ = fmt.Fprintf(p.stderr, "gpu-hook: unknown command %q\ngpu-hook: fix: gpu-hook help lists the commands\n", name)
	return errUsage
}

// newFlags makes a flag set that says its usage by the function and never exits.
func newFlags(name string, p process, usage func(*flag.FlagSet)) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	flags.Usage = func() { usage(flags) }
	return flags
}

// parse tells a wrong flag from the wish for help.
func parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return errUsage
	}
	return err
}

func usage(flags *flag.FlagSet) {
	w := flags.Output()
	_, _ = fmt.Fprint(w, "gpu-hook gives containers of podman, CRI-O and bare OCI runtimes the GPUs they ask for.\n\n"+
		"usage: gpu-hook [--config FILE] [--cdi-spec-dir DIR]... COMMAND\n\ncommands:\n")
	for _, c := range commands() {
		_, _ = fmt.Fprintf(w, "  %-30s %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	}
	_, _ = fmt.Fprint(w, "\nflags:\n")
	flags.PrintDefaults()
	_, _ = fmt.Fprint(w, "\nexit status: 0 done or nothing to do, 1 refused or failed, 2 usage\n")
}

// commandUsage is the usage of one command.
func commandUsage(line string) func(*flag.FlagSet) {
	return func(flags *flag.FlagSet) {
		_, _ = fmt.Fprintf(flags.Output(), "usage: gpu-hook %s\n", line)
		flags.PrintDefaults()
	}
}

// engineFlag adds the flag by which a hook's definition says whose it is.
func engineFlag(flags *flag.FlagSet, engine *string) {
	flags.Func("engine", "the engine is `ENGINE`: podman, crio, containerd or buildah", func(name string) (err error) {
		*engine, err = request.EngineOf(name)
		return err
	})
}

// noArguments refuses what a command takes no notice of.
func noArguments(flags *flag.FlagSet) error {
	if flags.NArg() == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(flags.Output(), "gpu-hook: %s takes no argument %q\n", flags.Name(), flags.Arg(0))
	return errUsage
}

// mistake is an error of the command line that is found after parsing.
func mistake(what, format string, args ...any) error {
	return fault.New(fault.Request, what, format, args...)
}
