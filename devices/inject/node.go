package inject

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// makeNode makes the device node in the root filesystem, with the type, numbers, mode and owner of d, and sets
// d.Status. If r.nodes has a mount for d, it attaches that instead; mode and owner are then those of the host's node.
//
// A node of the same device that exists already is left as it is. Anything else in its place is an error, links
// included: runc's CVE-2025-31133 and CVE-2025-52565 came from trusting what is there. The thread's umask must be 0.
func (r *rootfs) makeNode(d *devices.DeviceNode) error {
	d.Status = devices.Failed
	status, err := r.node(d)
	if err != nil {
		return nodeFault(d, err)
	}
	d.Status = status
	return nil
}

// nodeFault is the error that the node cannot be made because of err.
func nodeFault(d *devices.DeviceNode, err error) *fault.Error {
	return fault.New(fault.Node, "device node "+d.Path, "%w", err).
		WithHint("the container's /dev must be the runtime's own tmpfs, with nothing of the image in the node's place")
}

// node is [rootfs.makeNode] without the errors' context; it returns the status.
func (r *rootfs) node(d *devices.DeviceNode) (devices.Status, error) {
	parent, name := path.Split(path.Clean(d.Path))
	dir, err := r.directory(parent)
	if err != nil {
		return "", err
	}
	source, barred := r.nodes[d], r.checkNodeGround(dir.site, d)
	if source == nil && barred == nil {
		// It is not looked up first: if something is there, the node cannot be made.
		if err := r.mknod(dir, name, d); !errors.Is(err, unix.EEXIST) {
			return devices.Applied, err
		}
	}
	existing, err := openat(dir.handle, name, unix.O_PATH|unix.O_NOFOLLOW)
	switch {
	case errors.Is(err, os.ErrNotExist) && source == nil:
		return "", cmp.Or(barred, err)
	case errors.Is(err, os.ErrNotExist):
		on, err := r.createFile(d.Path)
		if err != nil {
			return "", err
		}
		defer on.Close()
		return devices.Applied, r.bindNode(source, on, dir.handle, name, d)
	case err != nil:
		return "", err
	default:
		if regular, err := isRegular(existing); err != nil || !regular || source == nil {
			defer existing.Close()
			return devices.Present, errors.Join(err, verifyNode(existing, d, false))
		}
		// The mount point of a node that was bound when this container was started before.
		on, err := targetOf(existing)
		if err != nil {
			return "", err
		}
		defer on.Close()
		return devices.Applied, r.bindNode(source, on, dir.handle, name, d)
	}
}

// bindNode attaches source, a mount of the host's node, to the file on, which is name in dir. In a user namespace this
// is the only way to get a node that can be opened: mknod(2) fails there with EPERM or EOVERFLOW.
func (r *rootfs) bindNode(source *os.File, on target, dir *os.File, name string, d *devices.DeviceNode) error {
	if err := r.ground.checkMount(on.site, d.Path); err != nil {
		return err
	}
	if err := linux.MoveMount(source, on.File); err != nil {
		return err
	}
	delete(r.nodes, d)
	defer r.addMount(source)
	bound, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return astray(err)
	}
	defer bound.Close()
	return astray(verifyNode(bound, d, false))
}

// cloneNodes makes the mounts of the host's nodes, without attaching them.
func (t *Target) cloneNodes(r *rootfs, nodes []*devices.DeviceNode, result *Result) error {
	for _, d := range nodes {
		tree, err := cloneNode(d)
		if err != nil {
			err := fault.New(fault.Node, "device node "+d.HostPath, "%w", err).
				WithHint("see that this node of the host can be used from here")
			if err := r.leaveOut(len(r.made), &d.Status, err, t.Optional.Note(d, err), result); err != nil {
				return err
			}
			continue
		}
		r.waitingNodes[d] = r.waiting.put(tree)
	}
	return nil
}

// takeNode puts the mount for d, if it has one, into r.nodes.
func (r *rootfs) takeNode(d *devices.DeviceNode) (err error) {
	if stored, bound := r.waitingNodes[d]; bound {
		delete(r.waitingNodes, d)
		r.nodes[d], err = r.waiting.take(stored)
	}
	return err
}

// closeNode closes the mount for d if it was not attached, because the node was there already.
func (r *rootfs) closeNode(d *devices.DeviceNode) {
	_ = r.nodes[d].Close()
	delete(r.nodes, d)
}

// closeWaiting closes the mounts that were not attached, except for those of a [source] that have a descriptor.
func (r *rootfs) closeWaiting() {
	for _, tree := range r.nodes {
		_ = tree.Close()
	}
	for _, stored := range r.waitingNodes {
		_ = stored.file.Close()
	}
	r.waiting.close()
}

// cloneNode makes a mount of the host's node alone, without attaching it.
func cloneNode(d *devices.DeviceNode) (*os.File, error) {
	tree, err := linux.OpenTree(d.HostPath, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	at, err := siteOf(tree)
	err = errors.Join(verifyNode(tree, d, false), err, at.usable())
	if err == nil {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, Propagation: unix.MS_PRIVATE}
		err = linux.MountSetattr(tree, 0, attr)
	}
	if err != nil {
		_ = tree.Close()
		return nil, err
	}
	return tree, nil
}

// isRegular reports whether the handle is that of a regular file.
func isRegular(handle *os.File) (bool, error) {
	st, err := linux.Fstat(handle)
	if err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFREG, nil
}

// checkNodeGround refuses to make the node in a directory at s.
func (r *rootfs) checkNodeGround(s site, d *devices.DeviceNode) error {
	if err := r.ground.checkMake(s, d.Path); err != nil {
		return err
	}
	return s.usable()
}

// mknod makes the node as name in dir, whose ground was checked. If something is there, the error is EEXIST.
func (r *rootfs) mknod(dir *parent, name string, d *devices.DeviceNode) error {
	number := unix.Mkdev(uint32(d.Major), uint32(d.Minor)) //nolint:gosec // they come from the host's own node
	if err := linux.Mknodat(dir.handle, name, typeBits(d)|uint32(d.FileMode.Perm()), number); err != nil {
		return err
	}
	r.record(dir, name, false)
	return finishNode(dir.handle, name, d)
}

// finishNode gives the node that was just made its owner, and refuses anything else that stands there by now. A node of
// root, as most are, is only looked at, which needs no handle: one system call instead of four.
func finishNode(dir *os.File, name string, d *devices.DeviceNode) error {
	if *d.UID == 0 && *d.GID == 0 {
		st, err := linux.Fstatat(dir, name)
		if err != nil {
			return err
		}
		return checkNode(&st, d, true)
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
	return linux.Chown(made, int(*d.UID), int(*d.GID))
}

// verifyNode is [checkNode] for the file of the handle.
func verifyNode(handle *os.File, d *devices.DeviceNode, ours bool) error {
	st, err := linux.Fstat(handle)
	if err != nil {
		return err
	}
	return checkNode(&st, d, ours)
}

// checkNode checks that a file with this metadata is the device that d describes. If it is ours, made just now, it must
// also have the mode of d.
func checkNode(st *unix.Stat_t, d *devices.DeviceNode, ours bool) error {
	if st.Mode&unix.S_IFMT != typeBits(d) {
		return fmt.Errorf("something that is not a node of type %q stands in its place", d.Type)
	}
	rdev := uint64(st.Rdev) //nolint:unconvert // 32 bits wide on some machines
	major, minor := int64(unix.Major(rdev)), int64(unix.Minor(rdev))
	if d.Type != "p" && (major != d.Major || minor != d.Minor) {
		return fmt.Errorf("another device, %d:%d, stands in its place", major, minor)
	}
	if mode := st.Mode & 0o7777; ours && mode != uint32(d.FileMode.Perm()) {
		return fmt.Errorf("it came to have mode %04o, not %04o", mode, d.FileMode.Perm())
	}
	return nil
}

// typeBits is the file type of the node, as in st_mode.
func typeBits(d *devices.DeviceNode) uint32 {
	switch d.Type {
	case "b":
		return unix.S_IFBLK
	case "p":
		return unix.S_IFIFO
	}
	return unix.S_IFCHR
}
