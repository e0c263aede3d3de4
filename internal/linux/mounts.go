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

// Unmount detaches the topmost mount on path; flags are those of umount2(2).
func Unmount(path string, flags int) error {
	return call("umount", func() error { return unix.Unmount(path, flags) })
}

// Fsopen opens a context in which a filesystem of this type is configured. What the kernel has to say of a call that fails
// can be read from it.
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

// FsconfigString gives a parameter of the filesystem a value. The error is the bare number: what is wrong says the context.
func FsconfigString(context *os.File, name, value string) error {
	return Retry(func() error { return unix.FsconfigSetString(int(context.Fd()), name, value) })
}

// FsconfigFlag sets a parameter that has no value. The error is the bare number: what is wrong says the context.
func FsconfigFlag(context *os.File, name string) error {
	return Retry(func() error { return unix.FsconfigSetFlag(int(context.Fd()), name) })
}

// FsconfigCreate makes the filesystem. The error is the bare number: what is wrong says the context.
func FsconfigCreate(context *os.File) error {
	return Retry(func() error { return unix.FsconfigCreate(int(context.Fd())) })
}

// Fsmount makes a mount of the filesystem that is attached nowhere yet. Closing it takes it away again.
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
