package holder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// The thread that joins a container's mount namespace is never the main one, whose namespaces /proc shows as those of
// the process.
func TestMainThreadStaysOnTheHost(t *testing.T) {
	// Each hook of this stage has a thread of its own, which could be the main one.
	const starts, hooks = 6, 50
	c := newBundle(t, annotated("device=0"))
	spec := strings.Replace(mountSpec, "mounts:", "hooks:", 1)
	for i := range hooks {
		spec += fmt.Sprintf("    - {hookName: createContainer, path: HOST/bin/hook, args: [hook, '%d']}\n", i)
	}
	c.spec(spec)
	script := "#!/bin/sh\necho $(readlink /proc/$PPID/ns/mnt) >>" + c.host.Path("run/log") + "\n"
	c.must(c.host.Write("bin/hook", script, 0o755))
	c.start()
	for range starts {
		if r := c.run(); r.status != 0 {
			t.Fatal(r.stderr)
		}
	}
	host, err := os.Readlink("/proc/self/ns/mnt")
	c.must(err)
	log := readFile(t, c.host.Path("run/log"))
	if log != strings.Repeat(host+"\n", starts*hooks) {
		t.Errorf("the host's is %s:\n%s", host, log)
	}
}

// What is made in a container with a user namespace belongs to its root user.
func TestFilesOfAUserNamespace(t *testing.T) {
	const root = 100000
	c := newBundle(t, annotated("device=0"))
	c.clone = unix.CLONE_NEWUSER | unix.CLONE_NEWPID
	c.must(os.Chmod(filepath.Dir(filepath.Dir(c.bundle)), 0o711)) // its root must reach the root filesystem
	c.ids = []syscall.SysProcIDMap{{HostID: root, Size: 65536}}
	r := c.start().run()
	if r.status != 0 {
		t.Fatal(r.stderr)
	}
	for _, path := range []string{libPath, "/usr/lib/x86_64-linux-gnu"} {
		var st unix.Stat_t
		c.must(unix.Lstat(c.rootfs(path), &st))
		if st.Uid != root || st.Gid != root {
			t.Errorf("%s is %d:%d's", path, st.Uid, st.Gid)
		}
	}
}

// If the container ends before the Spec's hooks are run, they are not run: its pid may be another process's by then.
func TestContainerThatEndsBeforeTheHooks(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(hookSpec)
	log := c.host.Path("run/log")
	c.must(c.host.Write("bin/hook", "#!/bin/sh\necho ran >>"+log+"\n", 0o755))
	c.start()
	hook := c.hook()
	// strace is the hook's child here: the hook's parent stays the runtime.
	hook.Args = append([]string{
		require.Program(t, "strace"), "-D", "-f", "-qq", "-o", os.DevNull, "-e", "trace=move_mount",
		"-e", "inject=move_mount:delay_enter=3000000:when=1",
	}, hook.Args...)
	hook.Path = hook.Args[0]
	var stderr strings.Builder
	hook.Stderr = &stderr
	c.must(hook.Start())
	for range 3000 {
		if _, err := os.Lstat(c.rootfs("/opt/new/dir/libcuda.so")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.must(unix.Kill(c.pid, unix.SIGKILL))
	_ = hook.Wait()
	if hook.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "E-STATE") {
		t.Errorf("%v: %s", hook.ProcessState, stderr.String())
	}
	if _, err := os.Lstat(log); err == nil {
		t.Error("a hook was run")
	}
}

// A start that was told to end does so, whatever was the last that it did.
func TestEndIsNoticedAtTheEnd(t *testing.T) {
	c := wishing(t, "")
	target, edits := c.target(), c.edits("")
	target.Namespaced = true
	edits.Mounts = nil
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := target.Apply(ended, edits, nil); !fault.Is(err, fault.Ended) {
		t.Errorf("got %v", err)
	}
	c.unchanged()
}

// A hook of the container's stage runs in the host's root directory: relative paths, and libraries that are found by
// them, are never the image's (CVE-2025-23266).
func TestHookRunsInTheRootDirectory(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(strings.Replace(mountSpec, "mounts:", "hooks: [{hookName: createContainer, path: HOST/bin/hook}]", 1))
	c.must(c.host.Write("bin/hook", "#!/bin/sh\npwd >"+c.host.Path("run/log")+"\n", 0o755))
	if r := c.start().run(); r.status != 0 {
		t.Fatal(r.stderr)
	}
	if got := readFile(t, c.host.Path("run/log")); got != "/\n" {
		t.Errorf("it runs in %s", got)
	}
}
