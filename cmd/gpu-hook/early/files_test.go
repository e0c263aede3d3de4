package early

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file that has more in it than its size says is not taken for what the size says: a configuration on a file system
// that does not know sizes, or one that is just being written.
func TestFileLargerThanItsSize(t *testing.T) {
	const pseudo = "/proc/self/status"
	if want, err := os.ReadFile(pseudo); err != nil || len(want) == 0 {
		t.Skip("no file without a size", err)
	}
	if data, err := readFile(pseudo, 1<<16); err == nil {
		t.Errorf("%s is read as %q", pseudo, data)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	const most = 8
	for text, want := range map[string]bool{"": true, "1234567": true, "12345678": true, "123456789": false} {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := readFile(path, most)
		if (err == nil) != want || err == nil && string(data) != text {
			t.Errorf("%q: %q, %v", text, data, err)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, "/dev/null"} {
		if data, err := readFile(path, most); err == nil {
			t.Errorf("%s is read as %q", path, data)
		}
	}
}
