package linux

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Openat opens name in dir by openat(2); the descriptor is not inherited.
func Openat(dir *os.File, name string, flags int, mode uint32) (*os.File, error) {
	at, fd := path.Join(dir.Name(), name), -1
	err := Retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: at, Err: err}
	}
	return os.NewFile(uintptr(fd), at), nil
}

// Mkdirat makes the directory name in dir.
func Mkdirat(dir *os.File, name string, mode uint32) error {
	return at("mkdir", dir, name, func() error { return unix.Mkdirat(int(dir.Fd()), name, mode) })
}

// Mknodat makes the node name in dir. The mode has its type; the device number is one of [unix.Mkdev].
func Mknodat(dir *os.File, name string, mode uint32, device uint64) error {
	return at("mknod", dir, name, func() error {
		return unix.Mknodat(int(dir.Fd()), name, mode, int(device)) //nolint:gosec // 32 bits are used
	})
}

// Unlinkat removes name from dir; with [unix.AT_REMOVEDIR] an empty directory.
func Unlinkat(dir *os.File, name string, flags int) error {
	return at("remove", dir, name, func() error { return unix.Unlinkat(int(dir.Fd()), name, flags) })
}

// Chown sets the owner of the file of the handle, which may be O_PATH.
func Chown(handle *os.File, uid, gid int) error {
	return call("chown", func() error { return unix.Fchownat(int(handle.Fd()), "", uid, gid, unix.AT_EMPTY_PATH) })
}

// Fstat returns the metadata of the file of the handle.
func Fstat(handle *os.File) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := call("fstat", func() error { return unix.Fstat(int(handle.Fd()), &st) })
	return st, err
}

// Fstatat returns the metadata of name in dir. It does not follow links.
func Fstatat(dir *os.File, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := at("fstatat", dir, name, func() error {
		return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}

// Lstat returns the metadata of the file at path. It does not follow links. The error is the bare errno, for callers
// that name the file themselves.
func Lstat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := Retry(func() error { return unix.Lstat(path, &st) })
	return st, err
}

// Flock locks the open file by flock(2).
func Flock(file *os.File, how int) error {
	return call("flock", func() error { return unix.Flock(int(file.Fd()), how) })
}

// Dup returns another handle of the open file; the descriptor is not inherited.
func Dup(file *os.File) (*os.File, error) {
	fd := -1
	err := call("fcntl", func() (err error) {
		fd, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

// Statx returns the metadata of the file of the handle that mask selects.
func Statx(handle *os.File, mask int) (unix.Statx_t, error) {
	var st unix.Statx_t
	err := call("statx", func() error { return unix.Statx(int(handle.Fd()), "", unix.AT_EMPTY_PATH, mask, &st) })
	return st, err
}

// Fstatfs returns the metadata of the filesystem of the handle.
func Fstatfs(handle *os.File) (unix.Statfs_t, error) {
	var st unix.Statfs_t
	err := call("fstatfs", func() error { return unix.Fstatfs(int(handle.Fd()), &st) })
	return st, err
}

// at makes a call that acts on name in dir; the error names both.
func at(op string, dir *os.File, name string, fn func() error) error {
	if err := Retry(fn); err != nil {
		return &os.PathError{Op: op, Path: path.Join(dir.Name(), name), Err: err}
	}
	return nil
}

// call makes a call; the error has its name.
func call(name string, fn func() error) error { return os.NewSyscallError(name, Retry(fn)) }
