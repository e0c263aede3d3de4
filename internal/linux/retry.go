package linux

import (
	"errors"
	"time"

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

// A lookup in a root filesystem is repeated until patience is over: at once for the first atOnce times, which is enough
// unless the host renames or mounts without a break, and then with a pause before each.
const (
	patience = 2 * time.Second
	pause    = 5 * time.Millisecond
	atOnce   = 100
)

// waiter reports whether there is time for another try, after a pause.
type waiter interface{ wait() bool }

// clock is the waiter of real time.
type clock struct {
	end    time.Time
	atOnce int // tries left that need no pause
}

func newClock() *clock { return &clock{time.Now().Add(patience), atOnce} }

func (c *clock) wait() bool {
	if c.atOnce > 0 {
		c.atOnce--
		return true
	}
	if time.Now().After(c.end) {
		return false
	}
	time.Sleep(pause)
	return true
}

// untilAnswered calls fn until it returns something other than EINTR, or EAGAIN or EXDEV, by which openat2(2) reports a
// race: see [OpenInRoot]. It gives up when w has no more time, and returns the last error.
func untilAnswered(w waiter, fn func() error) error {
	for {
		err := Retry(fn)
		raced := errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EXDEV)
		if !raced || !w.wait() {
			return err
		}
	}
}
