package inject

import (
	"os"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// maxHeld bounds how many mounts a [mountStore] holds by descriptors.
//
// A process that a runtime starts has a table for 64 descriptors. If it has threads, as every Go program has, and needs
// more, the kernel makes a larger table and waits until no thread can be reading the old one. That takes 10 to 18 ms,
// more than all other work of a start. Besides these mounts we have 24 descriptors at most.
const maxHeld = 40

// mountStore keeps mounts open: the first maxHeld by descriptors, the others on a shelf. The zero value is empty.
type mountStore struct {
	held  int
	shelf linux.Shelf
}

// storedMount is a mount in a [mountStore]: it has a descriptor, or a ticket for the shelf.
type storedMount struct {
	file   *os.File
	ticket int
}

// put takes the mount over.
func (s *mountStore) put(mount *os.File) storedMount {
	if s.held < maxHeld {
		s.held++
		return storedMount{file: mount}
	}
	ticket, err := s.shelf.Put(mount)
	if err != nil {
		// A larger table costs time and nothing else.
		return storedMount{file: mount}
	}
	return storedMount{ticket: ticket}
}

// take returns the mount, which the caller closes. Mounts must be taken in the order in which they were put: those that
// are passed over may be closed.
func (s *mountStore) take(m storedMount) (*os.File, error) {
	if m.file != nil {
		return m.file, nil
	}
	return s.shelf.Take(m.ticket)
}

// close closes the mounts on the shelf.
func (s *mountStore) close() { s.shelf.Close() }
