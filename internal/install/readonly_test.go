package install

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

const (
	adminShared    = AdminHooks + "/gpu-hook.json"
	adminPodman    = AdminPodmanHooks + "/gpu-hook.json"
	adminPrecreate = AdminPodmanHooks + "/gpu-hook-precreate.json"
)

// readOnlyRoot calls f on a thread of its own, in a mount namespace of its own, whose root directory is that of the
// host and in which the directories are read-only.
func (h *host) readOnlyRoot(dirs []string, f func() error) {
	h.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		for _, dir := range dirs {
			if err == nil {
				err = unix.Mount(h.path(dir), h.path(dir), "", unix.MS_BIND, "")
			}
			if err == nil {
				err = unix.Mount("", h.path(dir), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
			}
		}
		if err == nil {
			err = unix.Chroot(h.dir)
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	h.check(<-result)
}

// ostree is a host whose /usr is read-only and whose /usr/local is not a part of it.
func ostree(t *testing.T, files map[string]string) *host {
	t.Helper()
	h := newHost(t, files)
	h.write("/program", "this program")
	h.check(os.MkdirAll(h.path("/var/usrlocal"), 0o755))
	h.check(os.MkdirAll(h.path("/usr/share"), 0o755))
	h.check(os.Symlink("../var/usrlocal", h.path("/usr/local")))
	return h
}

// On a read-only /usr the definitions go to /etc, podman's drop-in names their directory, and Uninstall finds them.
func TestInstallOnReadOnlyUsr(t *testing.T) {
	require.Root(t)
	const bin = "/var/usrlocal/bin/gpu-hook"
	crio := "unread " + AdminHooks
	for name, test := range map[string]struct {
		target Target
		host   map[string]string
		files  []string
		advice []string
		dirs   string
	}{
		"every engine": {
			files: []string{binary, adminShared, adminPrecreate, adminPodman, dropIn},
			dirs:  `"` + SystemHooks + `", "` + AdminPodmanHooks + `"`,
		},
		"beside directories of the administrator's": {
			host:  map[string]string{conf: "[engine]\nhooks_dir = [\"/mine\"]\n"},
			files: []string{binary, adminShared, adminPrecreate, adminPodman, dropIn},
			dirs:  `"/mine", "` + AdminPodmanHooks + `"`,
		},
		"podman alone, where CRI-O is too": {
			target: Target{Engine: "podman"}, host: map[string]string{"/etc/crio/crio.conf": ""},
			files: []string{binary, adminShared, adminPrecreate, adminPodman, dropIn},
			dirs:  `"` + SystemHooks + `", "` + AdminPodmanHooks + `"`,
		},
		"every engine, where CRI-O is": {
			host:   map[string]string{"/etc/crio/crio.conf": ""},
			files:  []string{binary, adminShared, adminPrecreate, adminPodman, dropIn},
			advice: []string{crio},
			dirs:   `"` + SystemHooks + `", "` + AdminPodmanHooks + `"`,
		},
		"CRI-O": {target: Target{Engine: "cri-o"}, files: []string{binary, adminShared}, advice: []string{crio}},
		"a CRI-O that reads it": {
			target: Target{Engine: "cri-o"},
			host: map[string]string{
				"/etc/crio/crio.conf.d/00-default": "[crio.runtime]\nhooks_dir = [\"" + AdminHooks + "\"]\n",
			},
			files: []string{binary, adminShared},
		},
		"containerd, whose injector reads it": {target: Target{Engine: "containerd"}, files: []string{binary, adminShared}},
		"a user": {
			target: Target{User: ann()}, files: []string{userBinary, userShared, userPrecreate, userDropIn},
			dirs: `"` + SystemHooks + `", "/home/ann/xdg/containers/oci/hooks.d"`,
		},
		"a directory of the caller's": {
			target: Target{Hooks: "/etc/mine"}, files: []string{binary, "/etc/mine/gpu-hook.json"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := ostree(t, test.host)
			before := h.files()
			var installed, removed []Change
			h.readOnlyRoot([]string{"/usr"}, func() (err error) {
				installed, err = Install(test.target, Options{Program: "/program"})
				return err
			})
			h.same("changes", h.words(installed), append(prefixed("installed", test.files...), test.advice...))
			if test.dirs != "" {
				text := h.read(test.files[len(test.files)-1])
				h.same("hooks_dir", text[strings.Index(text, "[engine]"):], "[engine]\nhooks_dir = ["+test.dirs+"]\n")
			}
			if test.files[0] == binary {
				h.same("binary", h.read(bin), "this program")
			}
			h.readOnlyRoot([]string{"/usr"}, func() (err error) {
				removed, err = Uninstall(test.target, Options{Program: "/program"})
				return err
			})
			h.same("number of removals", len(removed), len(test.files))
			h.same("files", h.files(), before)
		})
	}
}

// What was installed while /usr was read-only goes while it is not, and the other way round stays, with the binary.
func TestUninstallWhenUsrHasChanged(t *testing.T) {
	require.Root(t)
	const why = " it is on a read-only filesystem"
	h := ostree(t, nil)
	before := h.files()
	options := Options{Program: "/program"}
	var removed []Change
	h.readOnlyRoot([]string{"/usr"}, func() error {
		_, err := Install(Target{}, options)
		return err
	})
	h.readOnlyRoot(nil, func() (err error) {
		removed, err = Uninstall(Target{}, options)
		return err
	})
	h.same("changes", h.words(removed), prefixed("removed", dropIn, adminShared, adminPrecreate, adminPodman, binary))
	h.same("files", h.files(), before)
	h.readOnlyRoot(nil, func() error {
		_, err := Install(Target{}, options)
		return err
	})
	h.readOnlyRoot([]string{"/usr"}, func() (err error) {
		removed, err = Uninstall(Target{}, options)
		return err
	})
	h.same("changes", h.words(removed), []string{
		"removed " + dropIn, "left " + shared + why, "left " + precreate + why, "left " + ofPodman + why,
		"left " + binary + " " + shared + " runs it",
	})
}

// Where a place cannot be written and there is no other, nothing is, and the hint says what to do.
func TestFailedInstallOnReadOnlyHost(t *testing.T) {
	require.Root(t)
	for name, test := range map[string]struct {
		target   Target
		readOnly []string
		text     string
	}{
		"the binary's": {
			target: Target{Bin: "/usr/bin"}, readOnly: []string{"/usr"},
			text: "/usr/bin/gpu-hook: mkdir /usr/bin: read-only file system",
		},
		"a directory of the caller's": {
			target: Target{Hooks: SystemHooks}, readOnly: []string{"/usr"},
			text: shared + ": mkdir /usr/share/containers: read-only file system; taken back: " + binary,
		},
		"/etc as well": {
			readOnly: []string{"/usr", "/etc"},
			text:     adminShared + ": mkdir /etc/containers: read-only file system; taken back: " + binary,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := ostree(t, map[string]string{"/etc/passwd": ""})
			before := h.files()
			var failed error
			h.readOnlyRoot(test.readOnly, func() error {
				_, failed = Install(test.target, Options{Program: "/program"})
				return nil
			})
			e := fault.From(failed)
			if e == nil || e.Error() != test.text || !errors.Is(e, unix.EROFS) ||
				!strings.Contains(e.Hint(), "docs/readonly.md") {
				t.Errorf("the error is %q (%s), want %q", e, e.Hint(), test.text)
			}
			h.same("files", h.files(), before)
		})
	}
}
