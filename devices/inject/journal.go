package inject

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// journal records what was done to the container, so that it can be undone: every directory, file and node that was
// made, every network device that was moved and, for a wish, every mount that was attached.
type journal struct {
	made    []entry
	parents []*parent
	// opened are the parents by the paths at which [rootfs.directory] has found them, as long as these can be relied on.
	opened map[string]*parent
	taken  []*netDevice
	// detaches: mounts are recorded too. Otherwise they end with the container.
	detaches bool
	attached []storedMount // in store
	store    mountStore
}

// entry is a directory, file or node that was made.
type entry struct {
	parent *parent
	name   string
	dir    bool
}

// parent is a directory in which something was made or is about to be. It is held by one handle for all its entries:
// see [maxHeld].
type parent struct {
	handle  *os.File
	id      fileID
	site    site
	entries int // how many entries of the journal are in it
}

// fileID identifies an open file and the mount through which it was opened.
type fileID struct {
	major, minor uint32
	inode, mount uint64
}

func identify(handle *os.File) (fileID, error) {
	st, err := linux.Statx(handle, unix.STATX_INO|unix.STATX_MNT_ID)
	return idOf(&st), err
}

func idOf(st *unix.Statx_t) fileID { return fileID{st.Dev_major, st.Dev_minor, st.Ino, st.Mnt_id} }

// add records that name was made in dir. If that fails, it removes name at once.
func (j *journal) add(dir *os.File, name string, isDir bool) error {
	p, err := j.hold(dir)
	if err != nil {
		return errors.Join(err, remove(dir, name, isDir))
	}
	j.record(p, name, isDir)
	return nil
}

// record records that name was made in p.
func (j *journal) record(p *parent, name string, isDir bool) {
	p.entries++
	j.made = append(j.made, entry{p, name, isDir})
}

// addMount records a mount that was attached, or closes it if it need not be detached.
func (j *journal) addMount(mount *os.File) {
	if !j.detaches {
		_ = mount.Close()
		return
	}
	j.attached = append(j.attached, j.store.put(mount))
}

// hold returns the parent for the directory dir. Its handle is another than dir, which the caller may close.
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
	at, err := siteOf(dir)
	if err != nil {
		return nil, err
	}
	handle, err := linux.Dup(dir)
	if err != nil {
		return nil, err
	}
	p := &parent{handle: handle, id: id, site: at}
	j.parents = append(j.parents, p)
	return p, nil
}

// forget is called for each entry that was undone. It closes the parent when it has no other entry.
func (j *journal) forget(e entry) {
	e.parent.entries--
	if e.parent.entries > 0 {
		return
	}
	_ = e.parent.handle.Close()
	j.parents = slices.DeleteFunc(j.parents, func(p *parent) bool { return p == e.parent })
}

// remove removes name from dir. It is no error if name is gone, or is a directory that is not empty.
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

// undo moves network devices back and removes what was made, last first. Directories in which somebody else has made
// something stay. After an error it goes on with the other entries.
//
// It must run outside the container's mount namespace. Inside it, unlink(2) would fail with EBUSY for files that we
// mounted on; outside it, the kernel detaches those mounts.
func (j *journal) undo() error {
	err := errors.Join(j.giveBack(), j.undoSince(0))
	j.close()
	return err
}

// undoSince removes what was made since the journal had mark entries. If nothing is mounted on them, it may run inside
// the container's mount namespace.
func (j *journal) undoSince(mark int) error {
	var errs []error
	for _, e := range slices.Backward(j.made[mark:]) {
		errs = append(errs, remove(e.parent.handle, e.name, e.dir))
		j.forget(e)
	}
	j.made = j.made[:mark]
	clear(j.opened)
	return errors.Join(errs...)
}

// close closes all handles. The journal is empty then.
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
	j.made, j.parents, j.opened, j.taken, j.attached = nil, nil, nil, nil, nil
}
