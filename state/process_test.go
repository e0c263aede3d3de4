package state

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// These variables, with the pid of a process, make the test binary a hook that prints what it finds out about the
// process.
const (
	openEnv = "GPU_HOOK_TEST_OPEN" // whether it can be its container's
	rootEnv = "GPU_HOOK_TEST_ROOT" // who its root user is
)

func TestMain(m *testing.M) {
	for name, find := range map[string]func(pid int) string{openEnv: opened, rootEnv: root} {
		if pid, err := strconv.Atoi(os.Getenv(name)); err == nil {
			fmt.Println(find(pid))
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// root is the host's id of the process's root user, or why there is none.
func root(pid int) string {
	id, err := (&Process{PID: pid}).HostID("uid_map", 0)
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(id)
}

// opened says why the process is refused, or "opened".
func opened(pid int) string {
	state := State{State: specs.State{Pid: pid, Status: specs.StateCreating}}
	p, err := (&Container{State: state, Spec: &specs.Spec{}}).OpenProcess(true)
	if err != nil {
		return err.Error()
	}
	_ = p.Close()
	return "opened"
}

// A container's process is a child of the runtime or, with a user namespace of its own, of the runtime's parent. Here
// it is a child of this test; the hook's parent, which counts as the runtime, is the test or the innermost of the
// shells.
func TestParentOfAContainer(t *testing.T) {
	require.Root(t)
	const (
		hook    = `"$0"`
		runtime = `"$0"; exit $?`
		between = `/bin/sh -c '"$0"; exit $?' "$0"; exit $?`
	)
	const own, shared = unix.CLONE_NEWNS | unix.CLONE_NEWUSER, unix.CLONE_NEWNS
	for _, test := range []struct {
		name  string
		shell string
		flags uintptr
		want  bool
	}{
		{"the runtime's child, own user namespace", "exec " + hook, own, true},
		{"the runtime's child, our user namespace", "exec " + hook, shared, true},
		{"its parent's child, own user namespace", runtime, own, true},
		{"its parent's child, our user namespace", runtime, shared, false},
		{"its grandparent's child, own user namespace", between, own, false},
		{"its grandparent's child, our user namespace", between, shared, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			pid := start(t, &syscall.SysProcAttr{Cloneflags: test.flags}).Process.Pid
			cmd := exec.Command("/bin/sh", "-c", test.shell, os.Args[0])
			cmd.Env = append(os.Environ(), openEnv+"="+strconv.Itoa(pid))
			wantOpened(t, cmd, test.want, os.Getpid())
		})
	}
}

// wantOpened runs a hook, which opens the process or else says that it is a child of parent.
func wantOpened(t *testing.T, cmd *exec.Cmd, want bool, parent int) {
	t.Helper()
	out, err := cmd.Output()
	got := strings.TrimSpace(string(out))
	refused := fmt.Sprintf("it is a child of process %d, not of the runtime", parent)
	if err != nil || want && got != "opened" || !want && !strings.Contains(got, refused) {
		t.Errorf("%v: %s", err, got)
	}
}

// Init adopts every process whose parent has ended. A child of init is not accepted, even if init is the runtime's
// parent.
func TestChildOfInit(t *testing.T) {
	require.Root(t)
	require.Program(t, "unshare")
	cmd := exec.Command("/bin/sh", "-c", `
mount --make-rprivate / && mount -t proc proc /proc || exit
unshare --user --mount sleep 600 &
until [ "$(readlink /proc/$!/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do :; done
`+openEnv+`=$! /bin/sh -c '"$0"; exit $?' "$0"
`, os.Args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	wantOpened(t, cmd, false, 1)
}

// mapped starts a process in user and mount namespaces of its own, with these maps of user and of group ids.
func mapped(t *testing.T, uids, gids []syscall.SysProcIDMap) *Process {
	t.Helper()
	pid := start(t, &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids,
	}).Process.Pid
	c := &Container{State: State{State: specs.State{Pid: pid, Status: specs.StateCreating}}, Spec: &specs.Spec{}}
	p, err := c.OpenProcess(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestRootUser(t *testing.T) {
	require.Root(t)
	root := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 10}} }
	noRoot := []syscall.SysProcIDMap{{ContainerID: 1, HostID: 100000, Size: 10}}
	for _, test := range []struct {
		name       string
		uids, gids []syscall.SysProcIDMap
		want       User
		err        string
	}{
		{"mapped", root(100000), root(200000), User{true, 100000, 200000}, ""},
		{"the host's root", root(0), root(0), User{true, 0, 0}, ""},
		{"no root", noRoot, root(200000), User{}, "its user namespace has no root (uid_map)"},
		{"no root group", root(100000), noRoot, User{}, "its user namespace has no root (gid_map)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mapped(t, test.uids, test.gids).RootUser()
			if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestHostID(t *testing.T) {
	require.Root(t)
	ids := []syscall.SysProcIDMap{{HostID: 100000, Size: 10}, {ContainerID: 50, HostID: 200000, Size: 5}}
	p := mapped(t, ids, ids)
	for id, want := range map[int]int{0: 100000, 9: 100009, 10: 0, 49: 0, 50: 200000, 54: 200004, 55: 0} {
		got, err := p.HostID("uid_map", id)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%d is %d, %v", id, got, err)
		}
	}
}

// A process that has gone is noticed by the handle, whoever has its pid now.
func TestProcessEnds(t *testing.T) {
	require.Root(t)
	child := start(t, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS})
	c := &Container{
		State: State{State: specs.State{Pid: child.Process.Pid, Status: specs.StateCreating}},
		Spec:  &specs.Spec{},
	}
	p, err := c.OpenProcess(false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ns, err := p.Namespace("mnt")
	if err != nil {
		t.Fatal(err)
	}
	_ = ns.Close()
	_ = child.Process.Kill()
	_ = child.Wait()
	if err := p.Alive(); !fault.Is(err, fault.State) {
		t.Errorf("it has ended, and Alive gives %v", err)
	}
	root := []syscall.SysProcIDMap{{HostID: 100000, Size: 10}}
	p.PID = mapped(t, root, root).PID
	if ns, err := p.Namespace("mnt"); err == nil {
		_ = ns.Close()
		t.Error("the namespace of another process with its pid is taken for its own")
	}
	if user, err := p.RootUser(); err == nil {
		t.Errorf("the root user of another process with its pid is taken for its own: %+v", user)
	}
	if err := p.check(false); !fault.Is(err, fault.State) {
		t.Errorf("another process with its pid is taken for it: %v", err)
	}
}

// An id without a counterpart in the reader's user namespace is shown as 4294967295, which is no id.
func TestHostIDThatWeCannotName(t *testing.T) {
	require.Root(t)
	ids := []syscall.SysProcIDMap{{HostID: 100000, Size: 10}}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), rootEnv+"="+strconv.Itoa(mapped(t, ids, ids).PID))
	same := []syscall.SysProcIDMap{{HostID: 0, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: same, GidMappings: same}
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "its user namespace has no root (uid_map)" {
		t.Errorf("%v: %s", err, got)
	}
}
