package main

import (
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the linker set counts, then what the toolchain recorded. Nothing depends on a checkout being there.
func TestBuildOf(t *testing.T) {
	cdi := &debug.Module{Path: cdiModule, Version: "v1.1.1"}
	recorded := &debug.BuildInfo{
		Main: debug.Module{Version: "v0.1.0"}, Deps: []*debug.Module{{Path: "example.com/x", Version: "v9.0.0"}, cdi},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}},
	}
	linked := build{Version: "1.2.3", Commit: "def", Date: "2026-02-03T04:05:06Z", Go: "go1.26"}
	for name, test := range map[string]struct {
		linked build
		info   *debug.BuildInfo
		want   build
	}{
		"a package": {linked, recorded, build{"1.2.3", "def", "2026-02-03T04:05:06Z", "go1.26", "v1.1.1"}},
		"a checkout": {
			build{Go: "go1.26"}, recorded, build{"v0.1.0", "abc", "2026-01-02T03:04:05Z", "go1.26", "v1.1.1"},
		},
		"nothing is known": {
			build{Go: "go1.26"}, &debug.BuildInfo{}, build{"unknown", "unknown", "unknown", "go1.26", "unknown"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, buildOf(test.linked, test.info)); d != "" {
				t.Error(d)
			}
		})
	}
}
