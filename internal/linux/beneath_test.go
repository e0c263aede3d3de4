package linux

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is opened beneath a directory is a file of its own: no link is followed, no other filesystem entered, nothing
// above it reached and nobody waited for.
func TestOpenBeneath(t *testing.T) {
	top := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(top, "in/a"), 0o700), os.WriteFile(filepath.Join(top, "in/a/file"), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(top, "outside"), nil, 0o600), os.Symlink("a", filepath.Join(top, "in/link")),
		os.Symlink("file", filepath.Join(top, "in/a/link")), unix.Mkfifo(filepath.Join(top, "in/a/fifo"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(filepath.Join(top, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for path, want := range map[string]error{
		"a/file": nil, "a/fifo": nil, "link/file": unix.ELOOP, "a/link": unix.ELOOP, "../outside": unix.EXDEV,
		"a/../../outside": unix.EXDEV, "/etc/passwd": unix.EXDEV, "a/none": unix.ENOENT,
	} {
		file, err := OpenBeneath(dir, path, 0)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			_, _ = io.ReadAll(file)
			_ = file.Close()
		}
	}
	root, err := os.OpenFile("/", unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := OpenBeneath(root, "proc/1/stat", 0); !errors.Is(err, unix.EXDEV) {
		t.Errorf("another filesystem: %v", err)
	}
	if file, err := OpenBeneath(dir, "a", unix.O_DIRECTORY); err != nil {
		t.Error(err)
	} else {
		_ = file.Close()
	}
}
