package linux

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// OpenBeneath opens unsafePath, which an attacker may control, below dir, for reading. It follows no link, crosses no
// mount point and waits for nobody: the file is one of the filesystem of dir. It is an error if the kernel or a filter
// of system calls does not have openat2(2).
func OpenBeneath(dir *os.File, unsafePath string, flags int) (*os.File, error) {
	name, fd := path.Join(dir.Name(), unsafePath), -1
	flags |= unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	how := unix.OpenHow{
		Flags: uint64(flags), //nolint:gosec // flags are positive
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS |
			unix.RESOLVE_NO_XDEV,
	}
	err := Retry(func() (err error) {
		fd, err = unix.Openat2(int(dir.Fd()), unsafePath, &how)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
