package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenTree makes a mount of the host's path that is attached nowhere yet; flags are those of open_tree(2). Closing it takes
// it away again.
func OpenTree(hostPath string, flags uint) (*os.File, error) {
	fd := -1
	err := call("open_tree", func() (err error) {
		fd, err = unix.OpenTree(unix.AT_FDCWD, hostPath, flags|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), hostPath), nil
}

// MoveMount attaches the mount to the file or directory of the handle target.
func MoveMount(tree, target *os.File) error {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	return call("move_mount", func() error { return unix.MoveMount(int(tree.Fd()), "", int(target.Fd()), "", flags) })
}

// MountSetattr sets attributes of the mount; with [unix.AT_RECURSIVE] those of the mounts below it too.
func MountSetattr(tree *os.File, flags uint, attr unix.MountAttr) error {
	return call("mount_setattr", func() error {
		return unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH|flags, &attr)
	})
}

// Setns moves the calling thread into the namespace of the handle.
func Setns(namespace *os.File) error {
	if err := Retry(func() error { return unix.Setns(int(namespace.Fd()), 0) }); err != nil {
		return &os.PathError{Op: "setns", Path: namespace.Name(), Err: err}
	}
	return nil
}
