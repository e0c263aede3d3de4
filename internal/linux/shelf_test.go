package linux

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// shelve puts n handles onto the shelf, each to a file of its own, and returns their tickets.
func shelve(t *testing.T, s *Shelf, n int) []int {
	t.Helper()
	tickets, dir := make([]int, n), t.TempDir()
	for i := range tickets {
		name := fmt.Sprintf("%s/%d", dir, i)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if tickets[i], err = s.Put(file); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Stat(); err == nil {
			t.Fatal("the file still has a descriptor")
		}
	}
	return tickets
}

// What is taken is the file that was put there, with its name, and programs do not inherit it.
func TestShelf(t *testing.T) {
	var s Shelf
	defer s.Close()
	tickets := shelve(t, &s, 150)
	for _, i := range []int{0, 1, 2, 40, 149} {
		file, err := s.Take(tickets[i])
		if err != nil {
			t.Fatal(err)
		}
		if !same(t, file, file.Name()) || file.Name()[len(file.Name())-len(fmt.Sprint(i)):] != fmt.Sprint(i) {
			t.Errorf("ticket %d: %s", i, file.Name())
		}
		flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a program would inherit it: %#x, %v", flags, err)
		}
		_ = file.Close()
	}
	for _, gone := range []int{0, tickets[1], tickets[10], tickets[149], 151} {
		if file, err := s.Take(gone); err == nil {
			t.Errorf("%s is taken a second time", file.Name())
		}
	}
}

// A shelf that takes no more leaves the file as it is.
func TestFullShelf(t *testing.T) {
	var s Shelf
	defer s.Close()
	for range 100_000 {
		file, err := os.OpenFile("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(file); err == nil {
			continue
		}
		if _, err := file.Stat(); err != nil {
			t.Error(err)
		}
		_ = file.Close()
		return
	}
	t.Error("it takes a hundred thousand")
}

// An empty shelf has no descriptors, and one that is closed is empty.
func TestEmptyShelf(t *testing.T) {
	var s Shelf
	s.Close()
	if _, err := s.Take(1); err == nil {
		t.Error("an empty shelf gave a file")
	}
	ticket := shelve(t, &s, 1)[0]
	s.Close()
	if s.in != nil {
		t.Error("it is open")
	}
	if _, err := s.Take(ticket); err == nil {
		t.Error("a closed shelf gave a file")
	}
}
