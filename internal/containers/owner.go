package containers

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// patience is how long the reading of one user's files may take, and longest how long that of all users'. A user can
// put a filesystem there that never answers, and a file server with the users' homes can be gone.
const (
	patience = 5 * time.Second
	longest  = 3 * patience
)

// owner is the user whose files are read. The zero value is the host's root.
type owner struct{ uid, gid int }

// lookAs calls fn with the rights of the owner alone, if this process has more than these: it is root, and the owner is
// not. What a link leads to is then what its user could read anyway.
func lookAs[T any](o owner, fn func() (T, error)) (T, error) {
	if os.Geteuid() != 0 || o.uid == 0 {
		return fn()
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		var r result
		r.err = fault.Guard(func() (err error) {
			if err = linux.LookAs(o.uid, o.gid); err == nil {
				r.value, err = fn()
			}
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-time.After(patience):
		var none T
		return none, fmt.Errorf("the files cannot be read in %v", patience)
	}
}
