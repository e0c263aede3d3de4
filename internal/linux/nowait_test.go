package linux

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A FIFO that somebody may yet write to has nothing to read.
func TestNoWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 1<<16)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := open(t, path)
	if data, err := io.ReadAll(NoWait(file)); err != nil || len(data) != 1<<16 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader := open(t, fifo)
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if data, err := io.ReadAll(NoWait(reader)); !errors.Is(err, unix.EAGAIN) || !strings.Contains(err.Error(), fifo) {
		t.Errorf("%q, %v", data, err)
	}
	_ = reader.Close()
	if _, err := io.ReadAll(NoWait(reader)); err == nil {
		t.Errorf("closed: %v", err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { _ = file.Close() })
	return file
}
