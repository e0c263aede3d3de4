// Package race attacks what works in a root filesystem by moving paths about at the same time, as a process of another
// container with the same root filesystem or volume can.
package race

import (
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Exchange exchanges the two paths of each pair in a row, until stop is called.
func Exchange(pairs ...[2]string) (stop func()) {
	var steps []func()
	for _, pair := range pairs {
		steps = append(steps, func() {
			_ = unix.Renameat2(unix.AT_FDCWD, pair[0], unix.AT_FDCWD, pair[1], unix.RENAME_EXCHANGE)
		})
	}
	return Repeat(steps...)
}

// Repeat does each step in a row, all at the same time, until stop is called.
func Repeat(steps ...func()) (stop func()) {
	quit, done := make(chan struct{}), &sync.WaitGroup{}
	for _, step := range steps {
		done.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					step()
				}
			}
		})
	}
	return func() {
		close(quit)
		done.Wait()
	}
}

// Budget is how much is tried. It ends with the tries or, in a long run, with the time.
type Budget struct {
	tries int
	end   time.Time
}

// NewBudget returns the budget of one of the parts of a run of this many tries. GPU_HOOK_RACE_SCALE multiplies the
// tries; if GPU_HOOK_RACE_TIME is set, the run ends after that time.
func NewBudget(tries, parts int) *Budget {
	if n, err := strconv.Atoi(os.Getenv("GPU_HOOK_RACE_SCALE")); err == nil && n > 0 {
		tries *= n
	}
	b := &Budget{tries: max(1, tries/parts)}
	if d, err := time.ParseDuration(os.Getenv("GPU_HOOK_RACE_TIME")); err == nil && d > 0 {
		b.end = time.Now().Add(d / time.Duration(parts))
	}
	return b
}

// Next reports whether there is another try, and counts it.
func (b *Budget) Next() bool {
	if b.tries <= 0 || !b.end.IsZero() && time.Now().After(b.end) {
		return false
	}
	b.tries--
	return true
}
