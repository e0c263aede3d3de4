// Package cve attacks gpu-hook as published vulnerabilities of container tools were exploited: each case of the table
// is one of them, or a class of them. Every case runs against a holder of namespaces, where the test is the runtime,
// and through runc and crun; and each of these with openat2(2) and without it.
//
// Whatever the outcome, everything outside the root filesystem must be as before: files beside the bundle, the host's
// mounts, the device programs of its cgroups and the descriptors of the processes.
package cve

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// aloneEnv is the variable that says that the tests have a mount namespace of their own, with cgroups of version 2:
// crun and device programs need these.
const aloneEnv = "GPU_HOOK_TEST_ALONE"

// withoutOpenat2 is the name by which the test binary runs the program in its arguments with a kernel that has no
// openat2(2).
const withoutOpenat2 = "without-openat2"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == withoutOpenat2 {
		end(takeOpenat2(os.Args[1:]))
	}
	if os.Getuid() == 0 && os.Getenv(aloneEnv) == "" {
		os.Exit(alone())
	}
	status := m.Run()
	fmt.Print(results.table())
	os.Exit(status)
}

func end(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// alone runs the tests in a mount namespace of their own and returns their exit status.
func alone() int {
	self, err := os.Executable()
	if err != nil {
		end(err)
	}
	cmd := exec.Command(filepath.Join(require.Tree(), "test/with-cgroup2"), append([]string{self}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		end(err)
	}
	return cmd.ProcessState.ExitCode()
}

// takeOpenat2 makes openat2(2) fail with ENOSYS for this process and its children, as a kernel before 5.6 does, and
// executes the program.
func takeOpenat2(argv []string) error {
	if err := require.TakeOpenat2(); err != nil {
		return err
	}
	return os.NewSyscallError("execve", unix.Exec(argv[0], argv, os.Environ()))
}

// A suite that takes openat2(2) away must have taken it away.
func TestWithoutOpenat2(t *testing.T) {
	require.Root(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), withoutOpenat2)
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(name, require.Program(t, "grep"), "Seccomp:", "/proc/self/status").CombinedOutput()
	if err != nil || string(out) != "Seccomp:\t2\n" {
		t.Errorf("%s, %v", out, err)
	}
}
