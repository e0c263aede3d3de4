package linux

import (
	"errors"
	"os"
	"path"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// OpenInRoot opens unsafePath, which an attacker may control, as if root were the root directory: absolute links start
// there and ".." does not lead above it. Magic links, those of /proc/PID/fd and their kind, are refused. The handle is
// O_PATH. Its name is for messages only: the links in unsafePath are not resolved in it.
//
// openat2(2) answers EAGAIN if something was renamed or mounted anywhere on the host while it followed "..", and EXDEV if
// the path it has reached is outside the root by then. Both mean that it cannot vouch for the result, not that the path is
// bad, so the lookup is repeated until it succeeds, fails for another reason, or a deadline has passed.
func OpenInRoot(root *os.File, unsafePath string) (*os.File, error) {
	return resolver{unix.Openat2, pathrs.OpenatInRoot, newClock()}.open(root, unsafePath)
}

// resolver is [OpenInRoot] with the calls that it makes as fields, so that a test can make them fail.
type resolver struct {
	openat2  func(dir int, path string, how *unix.OpenHow) (int, error)
	fallback func(root *os.File, unsafePath string) (*os.File, error)
	waiter   waiter
}

func (r resolver) open(root *os.File, unsafePath string) (*os.File, error) {
	var handle *os.File
	err := untilAnswered(r.waiter, func() (err error) {
		handle, err = r.try(root, unsafePath)
		return err
	})
	return handle, err
}

// try looks unsafePath up once.
//
// Where openat2(2) works, pathrs-lite makes this same call and relies on it alone. What it adds, at twelve more system
// calls a lookup, is the name of the file in /proc/thread-self/fd, with checks that this /proc is the kernel's. We compare
// and change files by handle and need no such name, so no check is lost by calling the kernel directly.
//
// ENOSYS and EPERM are how a kernel without openat2(2), or a seccomp filter, answers; a FUSE filesystem can give the same
// errors for a path in it. pathrs-lite tells these apart: it probes the call on a directory of ours and uses its own
// resolver only if that fails too. So nobody who controls the path can choose the weaker resolver.
func (r resolver) try(root *os.File, unsafePath string) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	name := root.Name() + path.Join("/", unsafePath)
	fd, err := r.openat2(int(root.Fd()), unsafePath, &how)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return r.fallback(root, unsafePath)
	case err != nil:
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
