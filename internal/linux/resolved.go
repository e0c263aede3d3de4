package linux

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenResolved opens the file at path, which must be absolute and free of symbolic links. A link in it is an error:
// somebody has put it there since the path was resolved. The handle is O_PATH.
func OpenResolved(path string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd := -1
	err := Retry(func() (err error) {
		fd, err = unix.Openat2(unix.AT_FDCWD, path, &how)
		return err
	})
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return openThenCompare(path)
	case err != nil:
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openThenCompare is [OpenResolved] without openat2(2), which kernels and seccomp filters may lack: what was opened
// must be where the path says.
func openThenCompare(path string) (*os.File, error) {
	file, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(file.Fd())))
	if err == nil && at != path {
		err = fmt.Errorf("%s: it was found at %q", path, at)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
