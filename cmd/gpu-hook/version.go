package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/gpu-hook/gpu-hook/hook"
)

// release is set by the linker for a release.
var release = "" //nolint:gochecknoglobals // -ldflags -X has no other target

// version is the command version.
func version(p process, _ hook.Options, args []string) error {
	flags := newFlags("version", p, commandUsage("version"))
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	v := release
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	_, err := fmt.Fprintf(p.stdout, "gpu-hook %s (%s)\n", v, runtime.Version())
	return err
}
