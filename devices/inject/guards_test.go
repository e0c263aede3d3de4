package inject

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// until is how often something is tried that another thread must come in between of.
const until = 20_000

// The root filesystem must not be a link by the time it is opened in the container's mount namespace.
func TestRootIsNoLink(t *testing.T) {
	dir := t.TempDir()
	seen, err := os.Stat(dir)
	if err := errors.Join(err, os.Symlink(dir, dir+"/link")); err != nil {
		t.Fatal(err)
	}
	if _, err := openRoot(dir+"/link", seen); !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		t.Errorf("got %v", err)
	}
}

// The file that a mount is attached to is the one that was made, whatever somebody puts in its place a moment later.
func TestCreatedFileIsHeld(t *testing.T) {
	alone(t)
	root := onMemory(t)
	if err := errors.Join(os.Mkdir(root+"/dir", 0o700), os.WriteFile(root+"/other", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	other, err := identify(handle(t, root+"/other"))
	if err != nil {
		t.Fatal(err)
	}
	defer meanwhile(t, func() {
		_ = os.Link(root+"/other", root+"/new")
		_ = os.Rename(root+"/new", root+"/dir/file")
	})()
	r := rootIn(t, root)
	made := 0
	for range until {
		_ = os.Remove(root + "/dir/file")
		before := len(r.made)
		target, err := r.createFile("/dir/file")
		if err != nil {
			continue
		}
		id, err := identify(target.File)
		_ = target.Close()
		if len(r.made) == before || err != nil {
			continue // it was there already
		}
		if made++; id == other {
			t.Fatal("what was put in the place of the file that was made is used")
		}
	}
	if made == 0 {
		t.Error("no file was made")
	}
}

// What is made in a user namespace belongs to its root, also in a directory that only the host's root may enter.
func TestBecome(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := inNamespaces(nil, func() error {
		if err := become(state.User{Separate: true, UID: 100000, GID: 200000}); err != nil {
			return err
		}
		return os.WriteFile(dir+"/file", nil, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err := linux.Lstat(dir + "/file")
	if err != nil || st.Uid != 100000 || st.Gid != 200000 {
		t.Errorf("it is %d:%d's, %v", st.Uid, st.Gid, err)
	}
}

// A node that is bound cannot be set-user-ID or executed, and mounts on it reach nobody.
func TestBoundNodesAttributes(t *testing.T) {
	alone(t)
	host, root := onMemory(t), onMemory(t)
	err := errors.Join(
		unix.Mount("", host, "", unix.MS_SHARED, ""),
		makeAt(host+"/null", unix.S_IFCHR|0o600, 1, 3), makeAt(root+"/place", unix.S_IFREG|0o600, 0, 0),
	)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := cloneNode(null(host+"/null", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	fs, err := linux.Fstatfs(tree)
	if want := int64(unix.ST_NOSUID | unix.ST_NOEXEC); err != nil || fs.Flags&want != want {
		t.Errorf("flags %#x, %v", fs.Flags, err)
	}
	if err := linux.MoveMount(tree, handle(t, root+"/place")); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found, err := mountinfo.GetMountsFromReader(file, mountinfo.SingleEntryFilter(root+"/place"))
	if err != nil || len(found) != 1 || found[0].Optional != "" {
		t.Errorf("%+v, %v", found, err)
	}
}

// The host's node that is bound is the one at the path, and not what a link there leads to.
func TestBoundNodeIsNoLink(t *testing.T) {
	alone(t)
	dir := onMemory(t)
	if err := errors.Join(makeAt(dir+"/null", unix.S_IFCHR|0o600, 1, 3), os.Symlink("null", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	if tree, err := cloneNode(null(dir+"/link", 0)); err == nil {
		_ = tree.Close()
		t.Error("a link is followed")
	}
}

// A tmpfs belongs to the container's root user, or to the user of the container that its options name.
func TestTmpfsOwner(t *testing.T) {
	require.Root(t)
	ids := []syscall.SysProcIDMap{{HostID: 100000, Size: 10}}
	process := waitingIn(t, &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
	})
	target := &Target{Process: process}
	for _, test := range []struct {
		options  []string
		uid, gid uint32
	}{
		{nil, 100000, 100000},
		{[]string{"uid=5", "gid=7", "size=64k"}, 100005, 100007},
	} {
		tree, err := target.tmpfs(test.options, state.User{Separate: true, UID: 100000, GID: 100000})
		if err != nil {
			t.Fatal(err)
		}
		st, err := linux.Fstat(tree)
		_ = tree.Close()
		if err != nil || st.Uid != test.uid || st.Gid != test.gid {
			t.Errorf("%v: it is %d:%d's, %v", test.options, st.Uid, st.Gid, err)
		}
	}
	if _, err := target.tmpfs([]string{"uid=10"}, state.User{Separate: true}); err == nil {
		t.Error("a user that the container does not have")
	}
}

// waitingIn is waiting for a process with these attributes.
func waitingIn(t *testing.T, attributes *syscall.SysProcAttr) *state.Process {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = attributes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Kill); _ = cmd.Wait() })
	given := specs.State{Pid: cmd.Process.Pid, Status: specs.StateCreating}
	process, err := (&state.Container{State: state.State{State: given}}).OpenProcess(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Close() })
	return process
}

// Nothing is made or mounted on any of the kernel's filesystems, wherever they are mounted.
func TestEveryKernelFilesystem(t *testing.T) {
	alone(t)
	dir := onMemory(t)
	for _, kind := range []string{"proc", "sysfs", "cgroup2", "securityfs", "debugfs", "tracefs", "bpf"} {
		path := filepath.Join(dir, kind)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(kind, path, kind, 0, ""); err != nil {
			t.Logf("this kernel mounts no %s: %v", kind, err)
			continue
		}
		if err := siteAt(t, path).checkKernel("/x"); err == nil {
			t.Errorf("%s counts as a filesystem like any other", kind)
		}
	}
}

// The program that joins a user namespace for us must be trusted as every program is.
func TestNSEnterMustBeTrusted(t *testing.T) {
	alone(t)
	program := onMemory(t) + "/nsenter"
	err := errors.Join(os.WriteFile(program, []byte("#!/bin/sh\n"), 0o600), os.Chmod(program, 0o777),
		unix.Mount(program, NSEnter, "", unix.MS_BIND, ""))
	if err != nil {
		t.Fatal(err)
	}
	target := &Target{Owner: trust.Root(), Process: waiting(t, unix.CLONE_NEWNS)}
	c := command{path: "/bin/true", args: []string{"true"}}
	if err := target.runAsRoot(t.Context(), c, nil); !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("got %v", err)
	}
}

// In the container's pid namespace a process of the container could look into a hook (CVE-2016-9962).
func TestPidNamespaceIsNotJoined(t *testing.T) {
	require.Root(t)
	target := &Target{Process: waiting(t, unix.CLONE_NEWNS|unix.CLONE_NEWPID)}
	namespaces, err := target.namespaces()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(namespaces)
	if len(namespaces) != 1 || filepath.Base(namespaces[0].Name()) != "mnt" {
		t.Errorf("joins %v", namespaces)
	}
}

// diesEnv is the variable that makes this test run a program that holds the FIFO in it open.
const diesEnv = "GPU_HOOK_TEST_DIES"

// A program does not outlive gpu-hook, even if that is killed.
func TestProgramDiesWithUs(t *testing.T) {
	if fifo := os.Getenv(diesEnv); fifo != "" {
		script := `exec sleep 600 >"$1"`
		_, _ = command{path: "/bin/sh", args: []string{"sh", "-c", script, "sh", fifo}, env: []string{searchPath}}.
			run(context.Background())
		return
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	us := exec.Command("/proc/self/exe", "-test.run", "^TestProgramDiesWithUs$")
	us.Env = append(os.Environ(), diesEnv+"="+fifo)
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(fifo) // returns when the program has opened it
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	_ = us.Process.Kill()
	_ = us.Wait()
	ended := make(chan struct{})
	go func() {
		_, _ = io.ReadAll(reader)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("it lives on")
		endWriters(fifo)
	}
}

// endWriters kills the processes that have the file open as their standard output.
func endWriters(path string) {
	names, _ := filepath.Glob("/proc/[0-9]*/fd/1")
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil && target == path {
			_ = exec.Command("kill", "-9", strings.Split(name, "/")[2]).Run()
		}
	}
}

// Who can put a link in the place of the directory of private bundles chooses where they are made.
func TestRunDelegateInALink(t *testing.T) {
	top := t.TempDir()
	err := errors.Join(os.Chmod(top, 0o755), os.Mkdir(top+"/dir", 0o755), os.Symlink("dir", top+"/run"))
	if err != nil {
		t.Fatal(err)
	}
	target := &Target{RunDir: top + "/run", Owner: us(), Container: &state.Container{}}
	if _, err := target.runDelegate(t.Context(), Delegate{Path: "/bin/true", Args: []string{"true"}}); err == nil {
		t.Error("a link is followed")
	}
}
