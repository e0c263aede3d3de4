package install

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// A failed Install leaves every file as it was: the same file, not a copy of it. Directories that it made are gone.
func TestFailedInstallRestores(t *testing.T) {
	old := time.Unix(1e9, 0)
	h := newHost(t, map[string]string{
		binary: "an older program", SystemHooks + "/other.json": "another hook", "/elsewhere": "elsewhere",
		precreate: "changed by hand", conf: confText, dropIn + "/file": "in the way",
	})
	h.link("/elsewhere", shared)
	h.check(os.Chmod(h.path(binary), 0o700))
	h.check(os.Chtimes(h.path(binary), old, old))
	before, inode := h.files(), inodes(h)
	_, err := Install(Target{Destdir: h.dir}, h.options())
	e := fault.From(err)
	if e == nil || e.Code() != fault.Install || strings.TrimPrefix(e.What(), h.dir) != dropIn {
		t.Fatalf("the error is %v", err)
	}
	want := "; taken back: " + strings.Join([]string{binary, shared, precreate, ofPodman}, ", ")
	if text := strings.ReplaceAll(e.Error(), h.dir, ""); !strings.HasSuffix(text, want) {
		t.Errorf("the error is %q, want %q at its end", text, want)
	}
	h.same("files", h.files(), before)
	h.same("inodes", inodes(h), inode)
	h.same("binary", h.read(binary), "an older program")
	info, err := os.Stat(h.path(binary))
	h.check(err)
	h.same("mode and time", []any{info.Mode(), info.ModTime().Unix()}, []any{os.FileMode(0o700), old.Unix()})
}

func TestFailedInstallRemovesItsDirectories(t *testing.T) {
	h := newHost(t, map[string]string{conf: confText, dropIn + "/file": "in the way"})
	if _, err := Install(Target{Destdir: h.dir}, h.options()); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Lstat(h.path("/usr")); !os.IsNotExist(err) {
		t.Errorf("/usr: %v", err)
	}
}

// A successful Install leaves no second name of what it replaced.
func TestInstallLeavesNoOldFiles(t *testing.T) {
	h := newHost(t, map[string]string{conf: confText})
	h.install(Target{}, h.options())
	h.install(Target{}, h.options())
	want := []string{binary, shared, precreate, ofPodman, dropIn, conf}
	slices.Sort(want)
	h.same("files", h.files(), want)
}

// A file that cannot get a second name, because it is immutable to this process, stays.
func TestFileWithoutSecondNameStays(t *testing.T) {
	h := newHost(t, map[string]string{"/file": "precious"})
	s := step{path: h.path("/file")}
	h.check(s.takeBack())
	h.same("file", h.read("/file"), "precious")
}

// A user replaces files of root's in the user's own directories, which get no second name, and gets a copy of them back
// where that fails.
func TestFilesOfAnother(t *testing.T) {
	require.Root(t)
	for name, inTheWay := range map[string]bool{"installed": false, "taken back": true} {
		t.Run(name, func(t *testing.T) {
			const home, elsewhere = "/home/ann", "/elsewhere"
			h := newHost(t, map[string]string{home + "/.local/bin/gpu-hook": "root's program", elsewhere: "elsewhere"})
			for _, dir := range []string{h.dir, h.program} {
				h.check(os.Chmod(filepath.Dir(dir), 0o711))
			}
			h.check(os.Chmod(h.program, 0o644))
			h.check(os.Chmod(h.path(home+"/.local/bin/gpu-hook"), 0o744))
			h.link(elsewhere, userShared)
			if inTheWay {
				h.write(userDropIn+"/file", "in the way")
			}
			h.check(filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					err = os.Chown(path, nobody, nobody)
				}
				return err
			}))
			before := h.files()
			user := &User{Home: h.path(home), Config: h.path("/home/ann/xdg")}
			err := asNobody(func() error {
				_, err := Install(Target{User: user}, Options{Program: h.program})
				return err
			})
			if !inTheWay {
				h.check(err)
				h.same("files", h.files(), slices.Sorted(slices.Values(
					[]string{elsewhere, userBinary, userShared, userPrecreate, userDropIn})))
				h.same("binary", h.read(userBinary), "this program")
				return
			}
			if !fault.Is(err, fault.Install) {
				t.Errorf("the error is %v", err)
			}
			h.same("files", h.files(), before)
			h.same("binary", h.read(userBinary), "root's program")
			info, err := os.Stat(h.path(userBinary))
			h.check(err)
			h.same("mode", info.Mode(), os.FileMode(0o744))
			target, err := os.Readlink(h.path(userShared))
			h.check(err)
			h.same("link", target, h.path(elsewhere))
		})
	}
}

const nobody = 65534

// asNobody calls f on a thread of its own that has no rights.
func asNobody(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		// Setresuid of package syscall would change all threads.
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody)
		if errno != 0 {
			result <- errno
			return
		}
		result <- f()
	}()
	return <-result
}

func inodes(h *host) map[string]uint64 {
	out := map[string]uint64{}
	for _, path := range h.files() {
		var st unix.Stat_t
		h.check(unix.Lstat(h.path(path), &st))
		out[path] = st.Ino
	}
	return out
}
