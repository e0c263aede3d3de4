// Package systemd runs real podman and runc under a real systemd, which is reloaded while containers run. That systemd
// runs in an overlay and in namespaces of its own, with cgroup version 2.
package systemd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// machine is a running systemd.
type machine struct {
	t   *testing.T
	dir string // the same outside and inside
	v1  bool   // its control groups are version 1
	pid int
}

// boot starts systemd and its bus. When the test ends, both are stopped and removed.
func boot(t *testing.T, version string) *machine {
	t.Helper()
	require.Root(t)
	for _, program := range []string{
		"busybox", "podman", "systemctl", "busctl", "dbus-daemon", "unshare", "nsenter", "findmnt",
	} {
		require.Program(t, program)
	}
	if !mounted("--types", "cgroup2") {
		require.Missing(t, "this test needs a mounted cgroup2 hierarchy")
	}
	// Not below /tmp, because this systemd mounts its own there; and short, because podman limits the paths of its
	// sockets.
	dir, err := os.MkdirTemp("/var/lib", "gpu-hook-") //nolint:usetesting // that would be below /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	m := &machine{t: t, dir: dir, v1: version == "1"}
	m.start(version)
	await(t, "systemd and its bus", func() bool {
		return exec.Command("nsenter", m.inside("systemctl", "start", "dbus.service")...).Run() == nil
	})
	return m
}

// mounted reports whether such a filesystem is mounted, in findmnt's terms.
func mounted(options ...string) bool {
	out, err := exec.Command("findmnt", options...).Output()
	return err == nil && len(out) > 0
}

func (m *machine) start(version string) {
	m.t.Helper()
	cmd := exec.Command("./overlay", m.dir, version)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	groups := strings.Fields(line)
	m.t.Cleanup(func() {
		if m.pid != 0 {
			_ = syscall.Kill(m.pid, syscall.SIGKILL) // the first process of its namespace takes no other
		} else {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
		for _, group := range groups {
			await(m.t, "the end of "+group, func() bool { return removeCgroups(group) == nil })
		}
		if m.t.Failed() {
			m.t.Logf("systemd said: %s", &stderr)
		}
	})
	if len(groups) == 0 {
		m.t.Fatal("the overlay does not come up")
	}
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid)
	await(m.t, "systemd", func() bool {
		data, _ := os.ReadFile(children)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		// Before systemd, a command of the script runs.
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(comm)) == "systemd" {
			m.pid = pid
		}
		return m.pid != 0
	})
}

// inside returns the arguments with which nsenter runs a command on the machine.
func (m *machine) inside(argv ...string) []string {
	return append([]string{"--target", strconv.Itoa(m.pid), "--all", "--root", "--wd", "--"}, argv...)
}

// do runs a command on the machine.
func (m *machine) do(argv ...string) string {
	m.t.Helper()
	out, err := exec.Command("nsenter", m.inside(argv...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

// path returns a path on the machine as it is seen from outside.
func (m *machine) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.pid, name) }

// group returns the cgroup directory of a container's scope.
func (m *machine) group(scope string) string {
	if m.v1 {
		return m.path("/sys/fs/cgroup/devices/machine.slice/" + scope)
	}
	return m.path("/sys/fs/cgroup/machine.slice/" + scope)
}

// kept returns the drop-ins and units that systemd keeps for the scope.
func (m *machine) kept(scope string) []string {
	m.t.Helper()
	found, err := filepath.Glob(m.path("/run/systemd/transient/" + scope + "*"))
	if err != nil {
		m.t.Fatal(err)
	}
	return found
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("still waiting for %s", what)
}

func removeCgroups(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	errs := []error{err}
	for _, dir := range slices.Backward(dirs) {
		errs = append(errs, unix.Rmdir(dir))
	}
	return errors.Join(errs...)
}
