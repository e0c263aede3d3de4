package inject

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// The container can replace a created file before it is opened: the replacement is refused.
func TestCreatedFileThatIsSwapped(t *testing.T) {
	const swapped = `"/dir/file" was replaced while it was made`
	for _, test := range []struct {
		name string
		swap func(path string) error
		want string
	}{
		{"not at all", func(string) error { return nil }, ""},
		{"another file", func(path string) error {
			return errors.Join(os.WriteFile(path+"2", nil, 0o600), os.Rename(path+"2", path))
		}, swapped},
		{"a directory", func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}, swapped},
		{"a link to another file", func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path+"2", nil, 0o600), os.Symlink("file2", path))
		}, swapped},
		{"a link to it", func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink("file2", path))
		}, swapped},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			dir := handle(t, filepath.Dir(path))
			created, err := linux.Openat(dir, "file", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer created.Close()
			if err := test.swap(path); err != nil {
				t.Fatal(err)
			}
			got, err := openCreated(created, dir, "file", "/dir/file")
			wantFailure(t, err, test.want)
			if (got != nil) != (err == nil) {
				t.Errorf("handle: %v", got)
			}
			if got != nil {
				got.Close()
			}
		})
	}
}

// The container can replace a directory before it is opened: a link is not followed, wherever it leads.
func TestMadeDirectoryThatIsSwapped(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.Mkdir(dir+"/made", 0o700), os.Symlink("made", dir+"/link"), os.Symlink("/", dir+"/out"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"made": nil, "link": unix.ENOTDIR, "out": unix.ENOTDIR} {
		got, err := openMade(handle(t, dir), name)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			got.Close()
		}
	}
}

// A file that somebody else has made meanwhile is used and stays when everything is undone. A link is not followed to
// make one.
func TestFileThatIsThere(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.WriteFile(dir+"/file", []byte("theirs"), 0o600), os.Symlink("nowhere", dir+"/link"))
	if err != nil {
		t.Fatal(err)
	}
	r := rootIn(t, dir)
	got, err := r.createFile("/file")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if same, err := sameFile(got, handle(t, dir+"/file")); err != nil || !same {
		t.Errorf("another file: %v", err)
	}
	_, err = r.createFile("/link")
	wantFailure(t, err, `"/link" is a link that leads nowhere in the container`)
	if _, err := r.openDir("/link/x"); err == nil {
		t.Error("a directory was made behind a link")
	}
	if err := r.undo(); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(dir + "/file"); err != nil || string(data) != "theirs" {
		t.Errorf("%q, %v", data, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

// The roots of two new filesystems have the same inode number, and are not the same.
func TestSameFile(t *testing.T) {
	one, other := memory(t, 0), memory(t, 0)
	a, errA := linux.Fstat(one)
	b, errB := linux.Fstat(other)
	if err := errors.Join(errA, errB); err != nil || a.Ino != b.Ino {
		t.Fatalf("inodes %d and %d, %v", a.Ino, b.Ino, err)
	}
	for _, test := range []struct {
		file *os.File
		want bool
	}{{one, true}, {other, false}} {
		if same, err := sameFile(one, test.file); err != nil || same != test.want {
			t.Errorf("%v, %v", same, err)
		}
	}
}
