package state

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// lasting starts a process that lasts until the test ends.
func lasting(t *testing.T, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return cmd
}

// A lifetime is that of one process: another one with its pid is not it, nor one of another boot, nor one that has
// ended and whose parent has not waited for it.
func TestLifetime(t *testing.T) {
	cmd := lasting(t, nil)
	l, err := LifetimeOf(cmd.Process.Pid)
	if err != nil || l.PID != cmd.Process.Pid || l.Start == 0 || len(l.Boot) != 36 {
		t.Fatalf("%+v %v", l, err)
	}
	reused, earlier, nobody, rebooted := l, l, Lifetime{Boot: l.Boot}, l
	reused.Start++
	earlier.Start--
	rebooted.Boot = strings.Repeat("0", 36)
	check := func(when string, l Lifetime, want bool) {
		t.Helper()
		if got, err := l.Lasts(); got != want || err != nil {
			t.Errorf("%s: %v %v", when, got, err)
		}
	}
	check("it runs", l, true)
	check("the pid was given to a later one", earlier, false)
	check("the pid is that of an earlier one", reused, false)
	check("no process", nobody, false)
	check("before the last boot", rebooted, false)
	if lasts, err := rebooted.LastsThisBoot(); !lasts || err != nil {
		t.Errorf("whatever the boot: %v %v", lasts, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, l.PID, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	check("nobody has waited for it", l, false)
	if _, err := LifetimeOf(l.PID); err == nil {
		t.Error("it has ended, and yet it has a lifetime")
	}
	_ = cmd.Wait()
	check("it has ended", l, false)
}

// A process of a user's rootless container is in a user namespace of the user's, and no other process is.
func TestInNamespaceOf(t *testing.T) {
	require.Root(t)
	const uid, other = 54321, 54322
	ids := []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
	cmd := lasting(t, &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
		Credential: &syscall.Credential{NoSetGroups: true},
	})
	check := func(pid, uid int, want bool) {
		t.Helper()
		if got, err := (Lifetime{PID: pid}).InNamespaceOf(uid); got != want || err != nil {
			t.Errorf("process %d, uid %d: %v %v", pid, uid, got, err)
		}
	}
	// Root has made the namespace, not the user who is root in it.
	check(cmd.Process.Pid, uid, false)
	check(cmd.Process.Pid, 0, true)
	check(os.Getpid(), uid, false)
	theirs := lastingOf(t, uid)
	check(theirs, uid, true)
	check(theirs, other, false)
	if _, err := (Lifetime{PID: 1 << 30}).InNamespaceOf(uid); err == nil {
		t.Error("there is no such process")
	}
}

// lastingOf starts a process of this user in a user namespace of the user's own, and returns its pid.
func lastingOf(t *testing.T, uid int) int {
	t.Helper()
	unshare := require.Program(t, "unshare")
	cmd := exec.Command(unshare, "--user", "--map-root-user", unshare, "--user", "sh", "-c", "echo; exec sleep 1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		require.Missing(t, "users can make no user namespace here: %v", err)
	}
	return cmd.Process.Pid
}
