package linux

import (
	"errors"
	"os"
	"time"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// Retry calls fn until it is not interrupted: a signal, such as those by which Go's scheduler moves goroutines, may end a
// system call with EINTR before it has done anything.
func Retry(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Lookups in a root filesystem are tried for at most patience, with a pause after each that came to nothing.
const (
	patience = 2 * time.Second
	pause    = 5 * time.Millisecond
)

// OpenInRoot opens unsafePath, which strangers control, below root: links are followed and never lead out of it. The handle
// is O_PATH.
//
// openat2(2) gives EAGAIN where something on the host was renamed or mounted during the lookup and the kernel cannot tell
// whether it has left the root. pathrs-lite tries again a fixed number of times, which a busy host uses up; here the lookup
// goes on until it is answered or the time is over.
func OpenInRoot(root *os.File, unsafePath string) (*os.File, error) {
	var handle *os.File
	err := untilAnswered(&clock{time.Now().Add(patience)}, func() (err error) {
		handle, err = pathrs.OpenatInRoot(root, unsafePath)
		return err
	})
	return handle, err
}

// waiter reports whether there is time for another try, after a pause.
type waiter interface{ wait() bool }

type clock struct{ end time.Time }

func (c *clock) wait() bool {
	if time.Now().After(c.end) {
		return false
	}
	time.Sleep(pause)
	return true
}

// untilAnswered calls fn until it gives something else than EAGAIN or EINTR, as long as w has time.
func untilAnswered(w waiter, fn func() error) error {
	for {
		err := Retry(fn)
		if !errors.Is(err, unix.EAGAIN) || !w.wait() {
			return err
		}
	}
}
