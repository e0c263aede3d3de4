package linux

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A thread that opens a FIFO waits for whoever opens its other end.
func TestWaits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, open := range map[string]func() (int, error){
		"by its path": func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) },
		"from a directory": func() (int, error) {
			return unix.Openat(int(root.Fd()), "fifo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		},
		"in a root filesystem": func() (int, error) {
			return unix.Openat2(int(root.Fd()), "fifo", &unix.OpenHow{Flags: unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		},
	} {
		t.Run(name, func(t *testing.T) {
			opened := make(chan struct{})
			go func() {
				defer close(opened)
				if fd, err := open(); err == nil {
					_ = unix.Close(fd)
				}
			}()
			for end := time.Now().Add(time.Minute); !slices.Contains(Waits(), path); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal(Waits())
				}
			}
			writer, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_ = writer.Close()
			<-opened
			if slices.Contains(Waits(), path) {
				t.Error("nobody waits any more")
			}
		})
	}
}

// What is read of a thread may be anything.
func TestWaitsFor(t *testing.T) {
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	for _, text := range []string{
		"", "running\n", "-1 0x0 0x0", "x y z", "257 z 0x0", "257 0x0 0x1",
		"0 0xffffffffffffffff 0x0",
	} {
		if got := waitsFor(text, memory); got != "" {
			t.Errorf("%q: %q", text, got)
		}
	}
}
