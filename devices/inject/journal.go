package inject

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// journal remembers, by handle, every directory, file and node that was made in the container, to take them away again,
// and every network device that was moved there, to bring it back. Of mounts it remembers those that may be detached.
type journal struct {
	made    []entry
	parents []*parent
	taken   []*netDevice
	// detaches says that mounts are to be detached too; otherwise they end with the container and are not in the journal.
	detaches bool
	attached []storedMount // in store
	store    mountStore
}

// entry is something that was made.
type entry struct {
	parent *parent
	name   string
	dir    bool
}

// parent is a directory that something was made in. However much that is, it is held by one handle: see [maxHeld].
type parent struct {
	handle  *os.File
	id      fileID
	entries int // how many entries of the journal lie in it
}

// fileID is the identity of a file that is open, as seen through one mount.
type fileID struct {
	major, minor uint32
	inode, mount uint64
}

func identify(handle *os.File) (fileID, error) {
	st, err := linux.Statx(handle, unix.STATX_INO|unix.STATX_MNT_ID)
	return fileID{st.Dev_major, st.Dev_minor, st.Ino, st.Mnt_id}, err
}

// add remembers that name was just made in dir. Where that cannot be remembered, it is removed at once.
func (j *journal) add(dir *os.File, name string, isDir bool) error {
	p, err := j.hold(dir)
	if err != nil {
		return errors.Join(err, remove(dir, name, isDir))
	}
	p.entries++
	j.made = append(j.made, entry{p, name, isDir})
	return nil
}

// addMount takes over a mount that was attached.
func (j *journal) addMount(mount *os.File) {
	if !j.detaches {
		_ = mount.Close()
		return
	}
	j.attached = append(j.attached, j.store.put(mount))
}

// hold returns the directory as a parent, which stays open when dir is closed.
func (j *journal) hold(dir *os.File) (*parent, error) {
	id, err := identify(dir)
	if err != nil {
		return nil, err
	}
	for _, p := range j.parents {
		if p.id == id {
			return p, nil
		}
	}
	handle, err := linux.Dup(dir)
	if err != nil {
		return nil, err
	}
	p := &parent{handle: handle, id: id}
	j.parents = append(j.parents, p)
	return p, nil
}

// forget closes the parent of an entry that is gone, if no other lies in it.
func (j *journal) forget(e entry) {
	e.parent.entries--
	if e.parent.entries > 0 {
		return
	}
	_ = e.parent.handle.Close()
	j.parents = slices.DeleteFunc(j.parents, func(p *parent) bool { return p == e.parent })
}

func remove(dir *os.File, name string, isDir bool) error {
	flags := 0
	if isDir {
		flags = unix.AT_REMOVEDIR
	}
	err := linux.Unlinkat(dir, name, flags)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("remove %q: %w", name, err)
	}
	return nil
}

// undo brings back what was taken and removes what was made, last first; directories only where nothing else has come to
// lie in them. It must run outside the container's mount namespace: there, what we mounted on a file of ours would keep it
// busy, while from here the kernel detaches such mounts. Every entry is tried.
func (j *journal) undo() error {
	err := errors.Join(j.giveBack(), j.undoSince(0))
	j.close()
	return err
}

// undoSince removes what was made after the journal held mark entries. Where nothing is mounted on these, it may run in
// the container's mount namespace.
func (j *journal) undoSince(mark int) error {
	var errs []error
	for _, e := range slices.Backward(j.made[mark:]) {
		errs = append(errs, remove(e.parent.handle, e.name, e.dir))
		j.forget(e)
	}
	j.made = j.made[:mark]
	return errors.Join(errs...)
}

func (j *journal) close() {
	for _, p := range j.parents {
		_ = p.handle.Close()
	}
	for _, d := range j.taken {
		d.close()
	}
	for _, m := range j.attached {
		_ = m.file.Close()
	}
	j.store.close()
	j.made, j.parents, j.taken, j.attached = nil, nil, nil, nil
}
