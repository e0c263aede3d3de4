package install

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
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

func inodes(h *host) map[string]uint64 {
	out := map[string]uint64{}
	for _, path := range h.files() {
		var st unix.Stat_t
		h.check(unix.Lstat(h.path(path), &st))
		out[path] = st.Ino
	}
	return out
}
