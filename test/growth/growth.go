// Package growth measures how the cost of a function grows with its input, so that no test depends on how fast the
// machine is.
package growth

import (
	"math"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Linear fails if the function takes much more than four times as long for an input of 4n as for one of n: four times
// is linear, sixteen times is quadratic. prepare makes an input and returns the function that is measured on it. n
// should be so large that a run takes some milliseconds.
func Linear(t *testing.T, n int, prepare func(n int) func()) {
	t.Helper()
	const factor, most, tries = 4, 10, 5
	ratio := math.Inf(1)
	for range tries { // whatever else runs on the machine can only make it slower
		small, large := shortest(prepare(n)), shortest(prepare(factor*n))
		if ratio = min(ratio, float64(large)/float64(max(small, time.Microsecond))); ratio < most {
			return
		}
	}
	t.Errorf("four times the input takes %.1f times as long", ratio)
}

// shortest returns the processor time that the fastest of some runs takes.
func shortest(fn func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const runs = 3
	best := time.Duration(math.MaxInt64)
	for range runs {
		began := threadTime()
		fn()
		best = min(best, threadTime()-began)
	}
	return best
}

// threadTime returns the processor time of this thread.
func threadTime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// Allocated returns how many bytes the function allocates, whether or not they are freed meanwhile.
func Allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
