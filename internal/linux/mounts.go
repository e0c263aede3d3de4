package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenTree makes a bind mount of hostPath without attaching it; flags are those of open_tree(2). Closing the handle
// unmounts it, unless it was attached.
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

// OpenTreeOf is [OpenTree] of the file of the handle.
func OpenTreeOf(handle *os.File, flags uint) (*os.File, error) {
	fd := -1
	err := call("open_tree", func() (err error) {
		fd, err = unix.OpenTree(int(handle.Fd()), "",
			flags|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), handle.Name()), nil
}

// MoveMount attaches the mount to the file or directory of the handle target.
func MoveMount(tree, target *os.File) error {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	return call("move_mount", func() error { return unix.MoveMount(int(tree.Fd()), "", int(target.Fd()), "", flags) })
}

// MountSetattr sets attributes of the mount; with [unix.AT_RECURSIVE] also those of the mounts below it.
func MountSetattr(tree *os.File, flags uint, attr unix.MountAttr) error {
	return call("mount_setattr", func() error {
		return unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH|flags, &attr)
	})
}

// Unmount detaches the topmost mount on path; flags are those of umount2(2).
func Unmount(path string, flags int) error {
	return call("umount", func() error { return unix.Unmount(path, flags) })
}

// Fsopen returns a context in which a filesystem of this type is configured. After a call that failed, the kernel's
// message about it can be read from the context.
func Fsopen(filesystem string) (*os.File, error) {
	fd := -1
	err := call("fsopen", func() (err error) {
		fd, err = unix.Fsopen(filesystem, unix.FSOPEN_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filesystem), nil
}

// FsconfigString sets a parameter of the filesystem. The error is the bare errno; the context has the details.
func FsconfigString(context *os.File, name, value string) error {
	return Retry(func() error { return unix.FsconfigSetString(int(context.Fd()), name, value) })
}

// FsconfigFlag sets a parameter that has no value. The error is the bare errno; the context has the details.
func FsconfigFlag(context *os.File, name string) error {
	return Retry(func() error { return unix.FsconfigSetFlag(int(context.Fd()), name) })
}

// FsconfigCreate makes the filesystem. The error is the bare errno; the context has the details.
func FsconfigCreate(context *os.File) error {
	return Retry(func() error { return unix.FsconfigCreate(int(context.Fd())) })
}

// Fsmount makes a mount of the filesystem without attaching it. Closing the handle unmounts it, unless it was attached.
func Fsmount(context *os.File) (*os.File, error) {
	fd := -1
	err := call("fsmount", func() (err error) {
		fd, err = unix.Fsmount(int(context.Fd()), unix.FSMOUNT_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), context.Name()), nil
}
