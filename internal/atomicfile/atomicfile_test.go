package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

type writer func(path string, data []byte, mode os.FileMode) error

func writers() map[string]writer {
	return map[string]writer{"Write": Write, "WriteDurable": WriteDurable}
}

func TestWrite(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	for name, write := range writers() {
		for _, test := range []struct {
			name string
			put  func(path string) error // what is there before
			mode os.FileMode
		}{
			{"nothing is there", func(string) error { return nil }, 0o600},
			{"a mode that the umask forbids", func(string) error { return nil }, 0o755},
			{"a longer file of another mode", func(path string) error {
				return os.WriteFile(path, []byte(strings.Repeat("old", 100)), 0o644)
			}, 0o600},
			{"a file that cannot be written", func(path string) error { return os.WriteFile(path, nil, 0o400) }, 0o600},
			{"a link", func(path string) error { return os.Symlink("other", path) }, 0o600},
			{"a link to nowhere", func(path string) error { return os.Symlink("nowhere", path) }, 0o600},
			{"a FIFO", func(path string) error { return unix.Mkfifo(path, 0o600) }, 0o600},
		} {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				dir := t.TempDir()
				path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
				if err := errors.Join(os.WriteFile(other, []byte("other"), 0o600), test.put(path)); err != nil {
					t.Fatal(err)
				}
				if err := write(path, []byte("new"), test.mode); err != nil {
					t.Fatal(err)
				}
				info, err := os.Lstat(path)
				if err != nil || info.Mode() != test.mode {
					t.Errorf("mode %v, want %v: %v", info.Mode(), test.mode, err)
				}
				wantContent(t, path, "new")
				wantContent(t, other, "other")
				wantNames(t, dir, "file other")
			})
		}
	}
}

// A reader that has opened the old file goes on reading it.
func TestWriteKeepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := Write(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 10)
	if n, err := reader.Read(data); err != nil || string(data[:n]) != "old" {
		t.Errorf("%q, %v", data[:n], err)
	}
}

func TestWriteLeavesNothingOnError(t *testing.T) {
	for name, write := range writers() {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := write(filepath.Join(dir, "directory"), []byte("new"), 0o600); err == nil {
			t.Errorf("%s over a directory: no error", name)
		}
		if err := write(filepath.Join(dir, "none", "file"), []byte("new"), 0o600); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s in a directory that is not there: %v", name, err)
		}
		wantNames(t, dir, "directory")
	}
}

// What cannot be synced does not replace what is there.
func TestWriteKeepsTheOldFileOnError(t *testing.T) {
	dir, broken := t.TempDir(), errors.New("broken")
	path := filepath.Join(dir, "file")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := write(path, []byte("new"), 0o600, func(*os.File) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	wantContent(t, path, "old")
	wantNames(t, dir, "file")
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if data, err := os.ReadFile(path); err != nil || string(data) != want {
		t.Errorf("%s: %q, %v", path, data, err)
	}
}

func wantNames(t *testing.T, dir, want string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("there is %q, want %q", got, want)
	}
}
