package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// ordinary creates an ordinary user with subordinate ids until the test ends.
func ordinary(t *testing.T) *gpuhost.User {
	t.Helper()
	require.Root(t)
	for _, program := range []string{"newuidmap", "useradd", "userdel"} {
		require.Program(t, program)
	}
	name := fmt.Sprintf("ghtest%d", os.Getpid()%100000)
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Chmod(filepath.Dir(filepath.Dir(home)), 0o711); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("useradd", "--create-home", "--home-dir", home, name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v: %s", err, out)
	}
	t.Cleanup(func() {
		endAllOf(t, home)
		if out, err := exec.Command("userdel", name).CombinedOutput(); err != nil {
			t.Errorf("userdel: %v: %s", err, out)
		}
	})
	found, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(found.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(fmt.Sprintf("/tmp/gpu-hook-%d", uid)); err != nil {
			t.Error(err)
		}
	})
	return &gpuhost.User{UID: uid, GID: gid, Name: name, Home: home}
}

// endAllOf ends what a rootless podman has left running of the test's user, such as the process that keeps its
// namespaces, and waits for the end: userdel removes no user that still has a process. It knows them by the user's home
// in their environment. The user's id may be that of another test's user, in a root directory of its own.
func endAllOf(t *testing.T, home string) {
	t.Helper()
	for range 1000 {
		left := 0
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(data), "HOME="+home+"\x00") {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && pid != os.Getpid() {
				left++
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("processes of the user with the home %s do not end", home)
}

// rootless makes a site that keeps its records where those of a user are kept.
func rootless(t *testing.T) (*site, *gpuhost.User) {
	t.Helper()
	u := ordinary(t)
	s := newSite(t)
	config, _, _ := strings.Cut(s.Host.Config(), "[record]")
	if err := s.Host.Write("config.toml", config, 0o644); err != nil {
		t.Fatal(err)
	}
	return s, u
}

// lastOf returns what gpu-hook last shows the user outside of any user namespace.
func (s *site) lastOf(u *gpuhost.User) string {
	s.t.Helper()
	o, err := engine.RunAs(u, u.Home, s.Host.Path("bin/gpu-hook"), "--config", s.Host.Path("config.toml"), "last")
	if err != nil || o.Status != 0 {
		s.t.Fatalf("gpu-hook last: %v %s", err, o.Stderr)
	}
	return o.Stdout
}

// The podman of an ordinary user: nodes are bound, there are no device rules, root's Specs count although they appear
// to have another owner, and the user finds the record.
func TestRootless(t *testing.T) {
	s, u := rootless(t)
	for name, flags := range map[string][]string{"alone": nil, "keep-id": {"--userns=keep-id"}} {
		t.Run(name, func(t *testing.T) {
			b := asks("device=0")
			b.User, b.Flags = u, flags
			o := s.ended(s.Podman(withArgs(b)))
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "node /dev/nvidia0", "node /dev/nvidiactl", library, "open")
			o.hasNot(t, "node /dev/nvidia1")
			unchangedNode(t, s.Host.Path("dev/nvidia0"))
			if last := s.lastOf(u); !strings.Contains(last, "got its devices") || strings.Contains(last, "W-CGROUP") {
				t.Errorf("last: %s", last)
			}
		})
	}
}

func TestRootlessDelegates(t *testing.T) {
	s, u := rootless(t)
	s.delegate()
	if err := errors.Join(
		os.MkdirAll(s.Host.Path("recorded"), 0o755), os.Chown(s.Host.Path("recorded"), u.UID, u.GID),
	); err != nil {
		t.Fatal(err)
	}
	b := asks("device=0")
	b.User = u
	o := s.ended(s.Podman(withArgs(b)))
	if o.Status != 0 {
		t.Fatalf("status %d: %s", o.Status, o.Stderr)
	}
	o.has(t, "node /dev/nvidia0", "put here by the delegate", "open")
}

// Files that another user could have written are not trusted.
func TestRootlessTrust(t *testing.T) {
	s, u := rootless(t)
	if err := os.Chmod(s.Host.Path("cdi/nvidia.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	b := asks("driver=nvidia.cdi,device=0")
	b.User = u
	o := s.ended(s.Podman(withArgs(b)))
	if o.Status == 0 || !strings.Contains(o.Stderr, "E-TRUST") {
		t.Errorf("status %d: %s", o.Status, o.Stderr)
	}
}

// install --user is all that a user needs: podman finds the hook by itself, and the hook finds the user's own
// configuration and Specs.
func TestInstallForUser(t *testing.T) {
	s, u := rootless(t)
	config := filepath.Join(u.Home, ".config")
	spec, err := os.ReadFile(s.Host.Path("cdi/nvidia.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{config, filepath.Join(config, "cdi")} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, u.UID, u.GID)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(config, "cdi", "nvidia.yaml"), spec, 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := engine.RunAs(u, u.Home, s.Host.Path("bin/gpu-hook"), "install", "--user")
	if err != nil || o.Status != 0 {
		t.Fatalf("install --user: %v %s", err, o.Stderr)
	}
	b := asks("device=0")
	b.User, b.OwnHooks = u, true
	got := s.ended(s.Podman(withArgs(b)))
	if got.Status != 0 {
		t.Fatalf("status %d: %s", got.Status, got.Stderr)
	}
	got.has(t, "node /dev/nvidia0", library, "open")
}
