// Package engines runs real containers, by real runtimes and engines, through the shipped hook definition. It runs
// twice in make test: on cgroup version 1 and, in a mount namespace of its own, on version 2.
package engines

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func init() {
	// No test that leaves the host's namespaces may do so on the main thread, because /proc/self shows that thread's
	// namespaces.
	runtime.LockOSThread()
}

// script is what containers run. It shows what they got and tries to open a GPU node for writing, which the runtime's
// default device rules deny.
const script = `for d in /dev/nvidia*; do [ -e "$d" ] && echo "node $d"; done
cat /usr/lib/x86_64-linux-gnu/* 2>/dev/null
if [ -e /dev/nvidia0 ]; then (: >/dev/nvidia0) 2>/dev/null && echo open || echo denied; fi`

const library = "this stands for libcuda.so." + gpuhost.Driver

// site is a synthetic host with gpu-hook installed.
type site struct {
	*engine.Site
	t *testing.T
}

func newSite(t *testing.T) *site {
	t.Helper()
	require.Root(t)
	require.Program(t, "busybox")
	require.Cgroup(t)
	dir := t.TempDir()
	// Root of the container's own user namespace must be able to reach the root filesystem.
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	s, err := engine.New(dir, require.GPUHook(t))
	if err != nil {
		t.Fatal(err)
	}
	return &site{s, t}
}

// delegate installs NVIDIA's real hook and removes the CDI Spec.
func (s *site) delegate() {
	s.t.Helper()
	if err := s.Delegate(require.Program(s.t, "nvidia-container-runtime-hook")); err != nil {
		s.t.Fatal(err)
	}
}

// last returns the newest record, as gpu-hook last prints it.
func (s *site) last() *report.Report {
	s.t.Helper()
	o, err := s.GPUHook("last", "--json")
	if err != nil || o.Status != 0 {
		s.t.Fatalf("gpu-hook last: %v %s", err, o.Stderr)
	}
	r := &report.Report{}
	if err := json.Unmarshal([]byte(o.Stdout), r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *site) noRecord() {
	s.t.Helper()
	if _, err := os.Stat(s.Host.Path("run/records")); !errors.Is(err, fs.ErrNotExist) {
		s.t.Errorf("there are records: %v", err)
	}
}

// outcome is how a container ended.
type outcome engine.Outcome

func (o outcome) lines() []string { return strings.Split(strings.TrimSpace(o.Stdout), "\n") }

func (o outcome) has(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !slices.Contains(o.lines(), line) {
			t.Errorf("the container does not print %q:\n%s%s", line, o.Stdout, o.Stderr)
		}
	}
}

func (o outcome) hasNot(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if slices.Contains(o.lines(), line) {
			t.Errorf("the container prints %q:\n%s", line, o.Stdout)
		}
	}
}

// said returns the error that the user can read: from the engine or, if the engine discards it, from the record.
func (s *site) said(e starter, o outcome) string {
	s.t.Helper()
	if !e.mute {
		return o.Stderr
	}
	var lines []string
	for _, m := range s.last().Errors {
		lines = append(lines, string(m.Code)+" "+m.Message)
	}
	return strings.Join(lines, "\n")
}

// starter starts one container of a site and waits for its end.
type starter struct {
	name string
	run  func(s *site, b gpuhost.Bundle) outcome
	// mute says that the engine discards what a hook writes.
	mute bool
}

// starters returns every way to start a container on this machine: Debian's runc, a current runc, and podman with and
// without the precreate hook. On version 2 there are also crun, and podman with crun, because an old crun works only
// there.
func starters(t *testing.T) []starter {
	t.Helper()
	require.Root(t)
	debian, err := exec.LookPath("runc")
	if err != nil {
		require.Program(t, "runc")
	}
	current := require.Program(t, "runc")
	if current == debian {
		require.Missing(t, "this test needs a current runc beside %s; test/setup builds it", debian)
	}
	require.Program(t, "podman")
	list := []starter{
		{"runc of Debian", func(s *site, b gpuhost.Bundle) outcome { return s.ended(s.Runc(debian, withArgs(b))) }, false},
		{"runc 1.5.2", func(s *site, b gpuhost.Bundle) outcome { return s.ended(s.Runc(current, withArgs(b))) }, false},
		{"podman", func(s *site, b gpuhost.Bundle) outcome { return s.ended(s.Podman(withArgs(b))) }, false},
		{
			"precreate by podman",
			func(s *site, b gpuhost.Bundle) outcome { return s.ended(s.Podman(withArgs(precreated(b)))) }, false,
		},
	}
	if require.Cgroup(t) == 2 {
		list = append(list,
			starter{"crun", func(s *site, b gpuhost.Bundle) outcome { return s.ended(s.Runc(s.crun(), withArgs(b))) }, true},
			starter{"podman with crun", func(s *site, b gpuhost.Bundle) outcome {
				b.Runtime = s.crun()
				return s.ended(s.Podman(withArgs(b)))
			}, true},
			starter{"precreate by podman with crun", func(s *site, b gpuhost.Bundle) outcome {
				b.Runtime = s.crun()
				return s.ended(s.Podman(withArgs(precreated(b))))
			}, true})
	}
	return list
}

// precreated returns the bundle with podman's precreate hook added.
func precreated(b gpuhost.Bundle) gpuhost.Bundle {
	b.HooksDirs = append(b.HooksDirs, "precreate.d")
	return b
}

// crun returns the path of the real crun.
func (s *site) crun() string {
	s.t.Helper()
	path, err := s.Crun(require.Program(s.t, "crun"), require.Program(s.t, "memlock.so"))
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

func withArgs(b gpuhost.Bundle) gpuhost.Bundle {
	if b.Args == nil {
		b.Args = []string{"sh", "-c", script}
	}
	return b
}

func (s *site) ended(o engine.Outcome, err error) outcome {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return outcome(o)
}
