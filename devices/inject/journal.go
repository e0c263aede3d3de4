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
// and every mount that was attached and every network device that was moved there, to bring them back.
type journal struct {
	made     []entry
	taken    []*netDevice
	attached []*os.File // the mounts, whose handles are others' to close
}

type entry struct {
	parent *os.File
	name   string
	dir    bool
}

// add remembers that name was just made in parent. Where that cannot be remembered, it is removed at once.
func (j *journal) add(parent *os.File, name string, dir bool) error {
	handle, err := dup(parent)
	if err != nil {
		return errors.Join(err, entry{parent, name, dir}.remove())
	}
	j.made = append(j.made, entry{handle, name, dir})
	return nil
}

func (e entry) remove() error {
	flags := 0
	if e.dir {
		flags = unix.AT_REMOVEDIR
	}
	err := linux.Unlinkat(e.parent, e.name, flags)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("remove %q: %w", e.name, err)
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
		errs = append(errs, e.remove())
		_ = e.parent.Close()
	}
	j.made = j.made[:mark]
	return errors.Join(errs...)
}

func (j *journal) close() {
	for _, e := range j.made {
		_ = e.parent.Close()
	}
	for _, d := range j.taken {
		d.close()
	}
	j.made, j.taken, j.attached = nil, nil, nil
}

func dup(file *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}
