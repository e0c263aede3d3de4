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
