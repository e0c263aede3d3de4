// Package engines runs real containers, by real runtimes and engines, through the shipped hook definition. It runs twice
// in make test: on cgroup version 1 and, in a mount namespace of its own, on version 2.
package engines

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// script is what containers run: it shows what they got and tries to open a GPU node for writing, which the runtime's
// default device rules deny.
const script = `for d in /dev/nvidia*; do [ -e "$d" ] && echo "node $d"; done
cat /usr/lib/x86_64-linux-gnu/* 2>/dev/null
if [ -e /dev/nvidia0 ]; then (: >/dev/nvidia0) 2>/dev/null && echo open || echo denied; fi`

const library = "this stands for libcuda.so." + gpuhost.Driver

// site is a synthetic host with gpu-hook installed.
type site struct {
	t    *testing.T
	host *gpuhost.Host
	dir  string
}

func newSite(t *testing.T) *site {
	t.Helper()
	require.Root(t)
	require.Program(t, "busybox")
	require.Cgroup(t)
	dir := t.TempDir()
	host, err := gpuhost.New(filepath.Join(dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t, host, dir}
	out, err := exec.Command(require.GPUHook(t), "--config", host.Path("config.toml"), "install", "--bin-dir", host.Path("bin"), "--hooks-dir", host.Path("hooks.d")).CombinedOutput()
	if err != nil {
		t.Fatalf("install: %v: %s", err, out)
	}
	return s
}

// delegate installs NVIDIA's real hook and takes CDI away.
func (s *site) delegate() {
	s.t.Helper()
	data, err := os.ReadFile(require.Program(s.t, "nvidia-container-runtime-hook"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.host.Write("bin/nvidia-container-runtime-hook", string(data), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Remove(s.host.Path("cdi/nvidia.yaml")); err != nil {
		s.t.Fatal(err)
	}
}

// last is the newest record, as gpu-hook last prints it.
func (s *site) last() *hook.Report {
	s.t.Helper()
	out, err := exec.Command(s.host.Path("bin/gpu-hook"), "--config", s.host.Path("config.toml"), "last", "--json").Output()
	if err != nil {
		s.t.Fatalf("gpu-hook last: %v", err)
	}
	r := &hook.Report{}
	if err := json.Unmarshal(out, r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *site) noRecord() {
	s.t.Helper()
	if _, err := os.Stat(s.host.Path("run/records")); !errors.Is(err, fs.ErrNotExist) {
		s.t.Errorf("there are records: %v", err)
	}
}

// outcome is how a container ended.
type outcome struct {
	status         int
	stdout, stderr string
}

func (o outcome) lines() []string { return strings.Split(strings.TrimSpace(o.stdout), "\n") }

func (o outcome) has(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !slices.Contains(o.lines(), line) {
			t.Errorf("the container does not print %q:\n%s%s", line, o.stdout, o.stderr)
		}
	}
}

func (o outcome) hasNot(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if slices.Contains(o.lines(), line) {
			t.Errorf("the container prints %q:\n%s", line, o.stdout)
		}
	}
}

func run(t *testing.T, dir string, argv ...string) outcome {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// engine starts one container of a site and waits for its end.
type engine struct {
	name string
	run  func(s *site, b gpuhost.Bundle) outcome
}

// engines are all that are to be had: Debian's runc, a current one, and podman.
func engines(t *testing.T) []engine {
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
	return []engine{
		{"runc of Debian", func(s *site, b gpuhost.Bundle) outcome { return s.runc(debian, b) }},
		{"runc 1.5.2", func(s *site, b gpuhost.Bundle) outcome { return s.runc(current, b) }},
		{"podman", func(s *site, b gpuhost.Bundle) outcome { return s.podman(b) }},
	}
}

// bundle writes the bundle that an engine would, from the installed definition.
func (s *site) bundle(b gpuhost.Bundle) string {
	s.t.Helper()
	h, err := gpuhost.HookOf(s.host.Path("hooks.d/gpu-hook.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	if b.Args == nil {
		b.Args = []string{"sh", "-c", script}
	}
	b.Hook = h
	dir, err := os.MkdirTemp(s.dir, "bundle")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := gpuhost.WriteBundle(dir, b); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

func (s *site) runc(runc string, b gpuhost.Bundle) outcome {
	s.t.Helper()
	dir := s.bundle(b)
	return run(s.t, dir, runc, "--root", filepath.Join(s.dir, "runc"), "run", s.id())
}

// id is a container id that nobody else uses.
func (s *site) id() string {
	return fmt.Sprintf("gpu-hook-test-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(s.dir)))
}

func (s *site) podman(b gpuhost.Bundle) outcome {
	s.t.Helper()
	podman := require.Program(s.t, "podman")
	rootfs := filepath.Join(s.dir, "rootfs")
	if err := gpuhost.RootFS(rootfs); err != nil && !errors.Is(err, fs.ErrExist) {
		s.t.Fatal(err)
	}
	// podman wants a short path here.
	runroot, err := os.MkdirTemp("", "ghp")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := os.RemoveAll(runroot); err != nil {
			s.t.Error(err)
		}
	})
	parent := "/" + s.id()
	s.t.Cleanup(func() {
		awaitEnd(s.t, runroot)
		removeCgroups(s.t, parent)
	})
	argv := []string{
		podman, "--root", filepath.Join(s.dir, "store"), "--runroot", runroot, "--tmpdir", filepath.Join(s.dir, "tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--hooks-dir", s.host.Path("hooks.d"),
		"run", "--rm", "--network", "none", "--cgroup-parent", parent, "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--pids-limit", "0",
	}
	for _, v := range b.Env {
		argv = append(argv, "--env", v)
	}
	for k, v := range b.Annotations {
		// podman of that time reads the flag's value as CSV.
		argv = append(argv, "--annotation", `"`+strings.ReplaceAll(k+"="+v, `"`, `""`)+`"`)
	}
	argv = append(argv, "--rootfs", rootfs)
	if b.Args == nil {
		b.Args = []string{"sh", "-c", script}
	}
	return run(s.t, s.dir, append(argv, b.Args...)...)
}

// awaitEnd waits for what podman leaves running for a moment after it: conmon and the clean-up that this starts, known by
// the path in their command lines.
func awaitEnd(t *testing.T, path string) {
	t.Helper()
	for range 1000 {
		running := false
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, line := range lines {
			data, err := os.ReadFile(line)
			running = running || (err == nil && bytes.Contains(data, []byte(path)))
		}
		if !running {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("processes of podman still run for %s", path)
}

// removeCgroups removes what podman leaves of a cgroup parent of ours, in every hierarchy.
func removeCgroups(t *testing.T, parent string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup" + parent, "/sys/fs/cgroup/*" + parent} {
		tops, _ := filepath.Glob(pattern)
		for _, top := range tops {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) {
				if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
					t.Errorf("remove cgroup %s: %v", dir, err)
				}
			}
		}
	}
}
