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
// openat2(2) fails with EAGAIN if something was renamed or mounted anywhere on the host while it followed "..", and
// with EXDEV if the file that it has found is not below the root by then. Neither means that the path is bad, so the
// lookup is repeated until it succeeds, fails for another reason, or a deadline has passed.
func OpenInRoot(root *os.File, unsafePath string) (*os.File, error) {
	return resolver{unix.Openat2, pathrs.OpenatInRoot, newClock()}.open(root, unsafePath)
}

// resolver is [OpenInRoot] with the functions that it calls as fields, so that a test can make them fail.
type resolver struct {
	openat2  func(dir int, path string, how *unix.OpenHow) (int, error)
	fallback func(root *os.File, unsafePath string) (*os.File, error)
	waiter   waiter
}

// open looks unsafePath up, repeatedly if need be.
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
// If the kernel has openat2(2), pathrs-lite makes this same call and no other check of the path. It then reads the name
// of the file from /proc/thread-self/fd, and makes sure first that this /proc is the kernel's: twelve more system calls
// for each lookup. We use files by handle and need no such name, so calling the kernel directly gives up no check.
//
// ENOSYS and EPERM come from a kernel without openat2(2) or from a seccomp filter. A FUSE filesystem can return them
// too, for a path in it. pathrs-lite tells these cases apart: it tries the call on our working directory and uses its
// own resolver only if that fails too. So whoever controls the path cannot choose the weaker resolver.
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
