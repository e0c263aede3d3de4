package inject

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
)

// makeNode makes the device node in the root filesystem, with exactly the type, numbers, mode and owner of d, and sets
// d.Status. A node that is there already and is the same device stays as it is; anything else in its place, a link
// included, is an error (runc's CVE-2025-31133 and CVE-2025-52565 are about trusting what stands there). The thread's
// umask must be 0.
func (r *rootfs) makeNode(d *devices.DeviceNode) error {
	d.Status = devices.Failed
	status, err := r.node(d)
	if err != nil {
		return fault.New(fault.Node, "device node "+d.Path, "%w", err).
			WithHint("the container's /dev must be the runtime's own tmpfs, with nothing of the image in the node's place")
	}
	d.Status = status
	return nil
}

func (r *rootfs) node(d *devices.DeviceNode) (devices.Status, error) {
	parent, name := path.Split(path.Clean(d.Path))
	dir, err := r.openDir(parent)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	existing, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil {
		defer existing.Close()
		return devices.Present, verifyNode(existing, d, false)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return devices.Applied, r.mknod(dir, name, d)
}

func (r *rootfs) mknod(dir *os.File, name string, d *devices.DeviceNode) error {
	if err := r.ground.checkMake(dir, d.Path); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &fs); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if fs.Flags&unix.ST_NODEV != 0 {
		return errors.New("its filesystem is mounted nodev, a node on it would be useless")
	}
	if err := unix.Mknodat(int(dir.Fd()), name, typeBits(d)|uint32(d.FileMode.Perm()), int(unix.Mkdev(uint32(d.Major), uint32(d.Minor)))); err != nil { //nolint:gosec // numbers come from the host's own node
		return os.NewSyscallError("mknod", err)
	}
	if err := r.add(dir, name, false); err != nil {
		return err
	}
	made, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer made.Close()
	// Before anything is done to it: is this the node that was just made?
	if err := verifyNode(made, d, true); err != nil {
		return err
	}
	if *d.UID == 0 && *d.GID == 0 {
		return nil
	}
	if err := unix.Fchownat(int(made.Fd()), "", int(*d.UID), int(*d.GID), unix.AT_EMPTY_PATH); err != nil {
		return os.NewSyscallError("chown", err)
	}
	return nil
}

// verifyNode checks by handle that an inode is the device that d describes and, for one that we made, has its mode.
func verifyNode(handle *os.File, d *devices.DeviceNode, ours bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != typeBits(d) {
		return fmt.Errorf("something that is not a node of type %q stands in its place", d.Type)
	}
	major, minor := int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev))) //nolint:unconvert // 32 bits wide on some machines
	if d.Type != "p" && (major != d.Major || minor != d.Minor) {
		return fmt.Errorf("another device, %d:%d, stands in its place", major, minor)
	}
	if mode := st.Mode & 0o7777; ours && mode != uint32(d.FileMode.Perm()) {
		return fmt.Errorf("it came to have mode %04o, not %04o", mode, d.FileMode.Perm())
	}
	return nil
}

func typeBits(d *devices.DeviceNode) uint32 {
	switch d.Type {
	case "b":
		return unix.S_IFBLK
	case "p":
		return unix.S_IFIFO
	}
	return unix.S_IFCHR
}
