package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/gpu-hook/gpu-hook/hook"
)

// The linker sets these for a package or a release. A build without them has what the Go toolchain recorded.
var (
	release = "" //nolint:gochecknoglobals // -ldflags -X has no other target
	commit  = "" //nolint:gochecknoglobals // the same
	date    = "" //nolint:gochecknoglobals // the same
)

// cdiModule is the library that reads CDI Specs.
const cdiModule = "tags.cncf.io/container-device-interface"

// build describes this program. A field about which nothing is known is "unknown".
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // of the commit, in RFC 3339
	Go      string `json:"go"`
	CDI     string `json:"cdi"` // version of the CDI library
}

// version is the command version.
func version(p process, _ hook.Options, args []string) error {
	flags := newFlags("version", p, commandUsage("version [--json]"))
	asJSON := flags.Bool("json", false, "print one JSON object")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return show(p, buildOf(build{Version: release, Commit: commit, Date: date, Go: runtime.Version()}, info), *asJSON)
}

// buildOf returns what is set in b, and of the rest what the toolchain recorded.
func buildOf(b build, info *debug.BuildInfo) build {
	recorded := map[string]string{}
	for _, s := range info.Settings {
		recorded[s.Key] = s.Value
	}
	const unknown = "unknown"
	b.Version = cmp.Or(b.Version, info.Main.Version, unknown)
	b.Commit = cmp.Or(b.Commit, recorded["vcs.revision"], unknown)
	b.Date = cmp.Or(b.Date, recorded["vcs.time"], unknown)
	b.CDI = unknown
	for _, m := range info.Deps {
		if m.Path == cdiModule {
			b.CDI = m.Version
		}
	}
	return b
}

// Text writes the line for people.
func (b build) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "gpu-hook %s (%s)\n", b.Version, b.Go)
	return err
}
