package linux

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Retry calls fn until it returns something other than EINTR. Signals, by which Go's scheduler preempts goroutines, can
// make a system call fail with EINTR before it has done anything.
func Retry(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// How long a lookup in a root filesystem is repeated. The first atOnce repetitions follow at once, which is enough
// unless the host renames or mounts incessantly; before each of the others is a pause, until patience is over.
const (
	patience = 2 * time.Second
	pause    = 5 * time.Millisecond
	atOnce   = 100
)

// waiter pauses and reports whether there is time for another try.
type waiter interface{ wait() bool }

// clock is the waiter of real time.
type clock struct {
	end    time.Time
	atOnce int // repetitions left that need no pause
}

// newClock starts the time.
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
