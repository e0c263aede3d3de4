package inject

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/state"
)

// dirMode and fileMode are the modes of mount points that we make, as of those that runtimes make.
const (
	dirMode  = 0o755
	fileMode = 0o644
)

// rootfs is the container's root filesystem. The container may change every path below it at any moment, so all lookups
// go through [linux.OpenInRoot], which follows links inside the root and never out of it.
type rootfs struct {
	root   *os.File
	locked *os.File // the root, while no other start may work on it
	user   state.User
	ground ground
	nodes  map[*devices.DeviceNode]*os.File // mounts of the host's nodes, for nodes that are bound and not made
	// waiting has all mounts that are not attached yet; waitingNodes are those of nodes.
	waiting      mountStore
	waitingNodes map[*devices.DeviceNode]storedMount
	journal
}

// newRootfs returns a root filesystem that is not open yet. If it is spared, nothing is made on it; if it is a wish
// that is carried out, mounts are recorded to be detached.
func newRootfs(user state.User, spared, wish bool) *rootfs {
	return &rootfs{
		user: user, ground: ground{sparesRoot: spared}, journal: journal{detaches: wish},
		nodes: map[*devices.DeviceNode]*os.File{}, waitingNodes: map[*devices.DeviceNode]storedMount{},
	}
}

// openDir opens the directory at unsafePath in the root and makes it, and its parents, if they are missing. A dangling
// link is an error: nothing is made at its target.
func (r *rootfs) openDir(unsafePath string) (*os.File, error) {
	handle, err := linux.OpenInRoot(r.root, unsafePath)
	if !errors.Is(err, os.ErrNotExist) {
		return handle, err
	}
	parent, name := path.Split(path.Clean(unsafePath))
	if name == "" {
		return nil, err
	}
	dir, err := r.openDir(parent)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	at, err := siteOf(dir)
	if err != nil {
		return nil, err
	}
	if err := r.ground.checkMake(at, unsafePath); err != nil {
		return nil, err
	}
	err = linux.Mkdirat(dir, name, dirMode)
	if errors.Is(err, unix.EEXIST) {
		return r.another(unsafePath)
	}
	if err != nil {
		return nil, err
	}
	if err := r.add(dir, name, true); err != nil {
		return nil, err
	}
	return openMade(dir, name)
}

// openMade opens the directory that was just made, and refuses a link that the container may have put in its place.
func openMade(dir *os.File, name string) (*os.File, error) {
	return openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

// another opens what is at unsafePath, so that nothing could be made there; another start on the same root filesystem
// may have made it a moment ago. A link that leads nowhere is an error.
func (r *rootfs) another(unsafePath string) (*os.File, error) {
	handle, err := linux.OpenInRoot(r.root, unsafePath)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errLeadsNowhere(unsafePath)
	}
	return handle, err
}

// errLeadsNowhere is the refusal to make anything at the target of the link unsafePath.
func errLeadsNowhere(unsafePath string) error {
	return fmt.Errorf("%q is a link that leads nowhere in the container", path.Clean(unsafePath))
}

// directory returns the directory at unsafePath in the root, in which something is to be made, and makes it if it is
// missing. It is looked up once for all that is made in it: with 40 libraries in one directory, that saves six of 30
// system calls for each.
//
// Whoever can rename the directory in the meantime, such as another container with the same root filesystem, gains
// nothing by it: what was made would move along with the directory if it were renamed a moment later. The directory
// stays on its mount, so what allows making something in it holds wherever it is moved. A mount is looked up again by
// its path after it was attached, and is an error if it is not found there. The path is forgotten when something is
// undone, which may have made the directory, and when a directory is mounted, which may hide it.
func (r *rootfs) directory(unsafePath string) (*parent, error) {
	unsafePath = path.Clean(unsafePath)
	if p := r.opened[unsafePath]; p != nil {
		return p, nil
	}
	dir, err := r.openDir(unsafePath)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	p, err := r.hold(dir)
	if err != nil {
		return nil, err
	}
	if r.opened == nil {
		r.opened = map[string]*parent{}
	}
	r.opened[unsafePath] = p
	return p, nil
}

// createFile makes an empty file at unsafePath and opens it, or opens what is there already. Whatever somebody puts in
// the place of the file that was made, the handle is that file's. It is on the mount of its directory.
func (r *rootfs) createFile(unsafePath string) (target, error) {
	parent, name := path.Split(path.Clean(unsafePath))
	dir, err := r.directory(parent)
	if err != nil {
		return target{}, err
	}
	if err := r.ground.checkMake(dir.site, unsafePath); err != nil {
		return target{}, err
	}
	created, err := linux.Openat(dir.handle, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_WRONLY, fileMode)
	if errors.Is(err, unix.EEXIST) {
		if created, err = r.another(unsafePath); err == nil {
			return targetOf(created)
		}
	}
	if err != nil {
		return target{}, err
	}
	r.record(dir, name, false)
	return target{File: created, site: dir.site}, nil
}

// openat opens name in dir.
func openat(dir *os.File, name string, flags int) (*os.File, error) {
	return linux.Openat(dir, name, flags, 0)
}

// sameFile reports whether both handles are those of one file.
func sameFile(a, b *os.File) (bool, error) {
	sa, err := linux.Fstat(a)
	if err != nil {
		return false, err
	}
	sb, err := linux.Fstat(b)
	if err != nil {
		return false, err
	}
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino, nil
}
