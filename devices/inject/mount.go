package inject

import (
	"cmp"
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/state"
)

// source is a mount that is not attached yet. Closing tree before it is attached unmounts it.
type source struct {
	*devices.Mount
	tree   *os.File
	id     fileID      // of its root
	dir    bool        // its root is a directory
	stored storedMount // tree, until it is this mount's turn
}

// makeMount makes the mount in the host's mount namespace. All attributes are set before it is attached: nobody can use
// it without them.
func (t *Target) makeMount(m *devices.Mount, user state.User) (*source, error) {
	s, err := t.newSource(m, user)
	if errors.Is(err, unix.ENOSYS) {
		return nil, fault.New(fault.Kernel, "mount of "+m.HostPath, "this kernel lacks mount_setattr").
			WithHint("gpu-hook needs Linux 5.12 or newer to mount")
	}
	if err != nil {
		return nil, fault.New(fault.Mount, "mount of "+m.HostPath, "%w", err).
			WithHint("see that root can reach this path of the host, and that the options are right")
	}
	return s, nil
}

func (t *Target) newSource(m *devices.Mount, user state.User) (*source, error) {
	attributes, err := m.Attributes()
	if err != nil {
		return nil, err
	}
	var tree *os.File
	if m.Tmpfs() {
		tree, err = t.tmpfs(attributes.Data, user)
	} else {
		tree, err = clone(cmp.Or(m.Source, m.HostPath), attributes.Recursive)
	}
	if err != nil {
		return nil, err
	}
	s := &source{Mount: m, tree: tree}
	if err := errors.Join(s.identify(), s.setAttributes(attributes)); err != nil {
		_ = tree.Close()
		return nil, err
	}
	return s, nil
}

// clone makes a bind mount of hostPath, in which no link may be; if it is recursive, with the mounts below it.
func clone(hostPath string, recursive bool) (*os.File, error) {
	source, err := linux.OpenResolved(hostPath)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	flags := uint(0)
	if recursive {
		flags = unix.AT_RECURSIVE
	}
	return linux.OpenTreeOf(source, flags)
}

// identify sets s.id and s.dir.
func (s *source) identify() error {
	st, err := linux.Statx(s.tree, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_MNT_ID)
	s.id, s.dir = idOf(&st), st.Mode&unix.S_IFMT == unix.S_IFDIR
	return err
}

// setAttributes sets the mount's attributes and propagation. A tree of one mount needs one call, as most have: only a
// directory can have mounts below it.
func (s *source) setAttributes(a devices.MountAttributes) error {
	top := unix.MountAttr{Attr_set: a.Top.Set, Attr_clr: a.Top.Clear, Propagation: a.Propagation}
	if !s.dir {
		// The attributes of the tree override those of the top, which are set before them.
		top.Attr_set = a.Top.Set&^a.Tree.Clear | a.Tree.Set
		top.Attr_clr |= a.Tree.Clear
		return linux.MountSetattr(s.tree, 0, top)
	}
	if err := linux.MountSetattr(s.tree, 0, top); err != nil {
		return err
	}
	below := unix.MountAttr{Attr_set: a.Tree.Set, Attr_clr: a.Tree.Clear}
	if a.Recursive {
		below.Propagation = a.Propagation
	}
	if below == (unix.MountAttr{}) {
		return nil
	}
	return linux.MountSetattr(s.tree, unix.AT_RECURSIVE, below)
}

// attach attaches the mount in the root filesystem and sets its status. It must run in the container's mount namespace.
// If the mount point or its parents are missing, they are made. One that exists must be a directory if the mount's root
// is one, and must not be otherwise.
func (r *rootfs) attach(s *source) error {
	s.Status = devices.Failed
	if err := r.move(s); err != nil {
		return mountFault(s.Mount, err)
	}
	s.Status = devices.Applied
	return nil
}

// mountFault is the error that the mount cannot be attached because of err.
func mountFault(m *devices.Mount, err error) *fault.Error {
	return fault.New(fault.Mount, "mount on "+m.ContainerPath, "%w", err).
		WithHint("nothing of the image, and no volume, may stand in the way of this path")
}

// errDirOnFile is the refusal of a mount whose mount point is of another kind.
func errDirOnFile() error {
	return errors.New("cannot mount a directory on a file, or a file on a directory")
}

// move attaches and verifies the mount.
func (r *rootfs) move(s *source) error {
	target, err := r.mountPoint(s)
	if err != nil {
		return err
	}
	defer target.Close()
	if target.dir != s.dir {
		return errDirOnFile()
	}
	if err := r.ground.checkMount(target.site, s.ContainerPath); err != nil {
		return err
	}
	if err := linux.MoveMount(s.tree, target.File); err != nil {
		return err
	}
	defer r.addMount(s.tree)
	if s.dir {
		clear(r.opened)
	}
	return astray(r.verifyMount(s))
}

// verifyMount checks that the mount stands where it should: that its path leads to this mount and to no other, even of
// the same file.
func (r *rootfs) verifyMount(s *source) error {
	attached, err := linux.OpenInRoot(r.root, s.ContainerPath)
	if err != nil {
		return err
	}
	defer attached.Close()
	id, err := identify(attached)
	if err == nil && id != s.id {
		err = errors.New("the path was moved while it was mounted on")
	}
	if err == nil && s.Tmpfs() {
		err = r.ground.adopt(attached)
	}
	return err
}

// mountPoint opens what the mount is attached to, and makes it if it is missing. In a directory where something was
// made already, a file is not looked up first: if it is there, it cannot be made.
func (r *rootfs) mountPoint(s *source) (target, error) {
	if dir := r.opened[path.Dir(path.Clean(s.ContainerPath))]; !s.dir && dir != nil && dir.entries > 0 {
		return r.createFile(s.ContainerPath)
	}
	handle, err := linux.OpenInRoot(r.root, s.ContainerPath)
	if errors.Is(err, os.ErrNotExist) {
		if !s.dir {
			return r.createFile(s.ContainerPath)
		}
		handle, err = r.openDir(s.ContainerPath)
	}
	if err != nil {
		return target{}, err
	}
	return targetOf(handle)
}

// target is a file or directory that a mount is attached to.
type target struct {
	*os.File
	site site
	dir  bool
}

// targetOf takes the handle over; on error it is closed.
func targetOf(handle *os.File) (target, error) {
	at, err := siteOf(handle)
	st, statErr := linux.Fstat(handle)
	if err := errors.Join(err, statErr); err != nil {
		_ = handle.Close()
		return target{}, err
	}
	return target{handle, at, st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
}
