package install

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Where files go by default, for the whole host and for a user.
const (
	binary        = "/usr/local/bin/gpu-hook"
	shared        = SystemHooks + "/gpu-hook.json"
	ofPodman      = PodmanHooks + "/gpu-hook.json"
	precreate     = PodmanHooks + "/gpu-hook-precreate.json"
	dropIn        = "/etc/containers/containers.conf.d/50-gpu-hook.conf"
	userBinary    = "/home/ann/.local/bin/gpu-hook"
	userShared    = "/home/ann/xdg/containers/oci/hooks.d/gpu-hook.json"
	userPrecreate = "/home/ann/xdg/containers/oci/hooks.d/gpu-hook-precreate.json"
	userDropIn    = "/home/ann/xdg/containers/containers.conf.d/50-gpu-hook.conf"
)

func ann() *User { return &User{Home: "/home/ann", Config: "/home/ann/xdg"} }

// host is a tree to install into, whose files are named as the engines see them.
type host struct {
	*testing.T
	dir, program string
}

func newHost(t *testing.T, files map[string]string) *host {
	t.Helper()
	h := &host{T: t, dir: t.TempDir(), program: filepath.Join(t.TempDir(), "program")}
	for path, text := range files {
		h.write(path, text)
	}
	h.check(os.WriteFile(h.program, []byte("this program"), 0o600))
	return h
}

func (h *host) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *host) path(path string) string { return filepath.Join(h.dir, path) }

func (h *host) write(path, text string) {
	h.Helper()
	h.check(os.MkdirAll(filepath.Dir(h.path(path)), 0o755))
	h.check(os.WriteFile(h.path(path), []byte(text), 0o600))
}

func (h *host) read(path string) string {
	h.Helper()
	data, err := os.ReadFile(h.path(path))
	h.check(err)
	return string(data)
}

// link replaces a file by a symbolic link to another place.
func (h *host) link(to, path string) {
	h.Helper()
	h.check(os.MkdirAll(filepath.Dir(h.path(path)), 0o755))
	h.check(os.RemoveAll(h.path(path)))
	h.check(os.Symlink(h.path(to), h.path(path)))
}

// files returns everything that is not a directory.
func (h *host) files() (out []string) {
	h.Helper()
	h.check(filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			out = append(out, strings.TrimPrefix(path, h.dir))
		}
		return err
	}))
	return out
}

func (h *host) options() Options { return Options{Program: h.program} }

func (h *host) install(t Target, o Options) []string {
	h.Helper()
	t.Destdir = h.dir
	changes, err := Install(t, o)
	h.check(err)
	return h.words(changes)
}

func (h *host) uninstall(t Target, o Options) []string {
	h.Helper()
	t.Destdir = h.dir
	changes, err := Uninstall(t, o)
	h.check(err)
	return h.words(changes)
}

// words returns changes as text, without Destdir.
func (h *host) words(changes []Change) (out []string) {
	names := map[Action]string{
		Installed: "installed", Removed: "removed", Left: "left", Unmerged: "unmerged", Overruled: "overruled",
		Unread: "unread",
	}
	for _, c := range changes {
		line := strings.Join([]string{names[c.Action], c.Path, c.Why, c.Dir}, " ")
		out = append(out, strings.Join(strings.Fields(strings.ReplaceAll(line, h.dir, "")), " "))
	}
	return out
}

func (h *host) same(what string, got, want any) {
	h.Helper()
	if d := cmp.Diff(want, got); d != "" {
		h.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// prefixed returns changes of one kind, as words does.
func prefixed(word string, paths ...string) (out []string) {
	for _, p := range paths {
		out = append(out, word+" "+p)
	}
	return out
}

// inRoot calls f on a thread of its own, whose root directory is dir.
func inRoot(dir string, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chroot(dir)
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}
