package inject

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// errUnseen says that it cannot be seen from outside whether an edit can be made.
var errUnseen = errors.New("it cannot be seen from outside")

// Foresee looks at a container that need not run, from outside, and changes nothing in it. It returns the error with
// which [Target.Apply] would end for what is in the way of mounts and nodes: links that lead nowhere, files in the
// place of directories, volumes on which something would have to be made, other nodes. Optional edits are Skipped as
// there.
//
// It knows the container's mounts from config.json alone, and takes what it cannot see for possible. Root must be the
// root filesystem, as it is mounted here.
func (t *Target) Foresee(edits *devices.Edits, result *Result) error {
	root, err := os.OpenFile(t.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer root.Close()
	o := &outlook{spec: t.Container.Spec, bundle: t.Container.State.Bundle, root: root, spared: t.NothingInRoot}
	for _, m := range edits.Mounts {
		if m.Status != devices.Apply {
			continue
		}
		if err := o.mount(m); err != nil {
			err := mountFault(m, err)
			if err := foreseen(&m.Status, err, t.without(m, err), result); err != nil {
				return err
			}
		}
	}
	bound := t.Namespaced || t.Container.UserNamespace()
	for _, d := range toMake(edits) {
		if err := o.node(d, bound); err != nil {
			err := nodeFault(d, err)
			if err := foreseen(&d.Status, err, t.Optional.Note(d, err), result); err != nil {
				return err
			}
		}
	}
	return nil
}

// mount returns what is in the way of the mount, or nil.
func (o *outlook) mount(m *devices.Mount) error {
	at := path.Clean(m.ContainerPath)
	for _, dir := range o.hidden {
		if strings.HasPrefix(at, dir+"/") {
			return nil // it lands on an earlier mount of the plan
		}
	}
	isDir := m.Tmpfs()
	if !isDir {
		info, err := os.Stat(m.HostPath)
		if err != nil {
			return nil
		}
		isDir = info.IsDir()
	}
	if isDir {
		o.hidden = append(o.hidden, at)
	}
	found, err := o.lookUp(at)
	defer found.close()
	switch {
	case errors.Is(err, errUnseen):
		return nil
	case err != nil:
		return err
	case found.missing != "":
		return o.canMake(found)
	case found.isDir() != isDir:
		return errDirOnFile()
	}
	return site{kernel: found.last().kernel}.checkKernel(at)
}

// node returns what is in the way of the device node, or nil. If it is bound, the host's node is mounted on a file.
func (o *outlook) node(d *devices.DeviceNode, bound bool) error {
	dir, name := path.Split(path.Clean(d.Path))
	found, err := o.lookUp(dir)
	defer found.close()
	if err == nil && !found.isDir() {
		err = &os.PathError{Op: "open", Path: o.root.Name() + path.Clean(d.Path), Err: unix.ENOTDIR}
	}
	if err == nil && found.missing == "" {
		var there spot
		there, err = o.enter(found.last(), name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			found.missing, err = path.Clean(d.Path), nil
		case err == nil:
			defer there.close()
			if there.isNew || bound && there.stat.Mode&unix.S_IFMT == unix.S_IFREG {
				return nil
			}
			return checkNode(&there.stat, d, false)
		}
	}
	if errors.Is(err, errUnseen) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := o.canMake(found); err != nil || bound {
		return err
	}
	return site{nodev: found.last().nodev()}.usable()
}

// canMake returns why what is missing cannot be made, or nil.
func (o *outlook) canMake(found trail) error {
	s := found.last()
	if err := (site{kernel: s.kernel}).checkKernel(found.missing); err != nil {
		return err
	}
	switch {
	case s.volume:
		return errOnVolume(found.missing)
	case s.isNew:
		return nil
	case o.spared:
		return errRootSpared
	case s.readOnly():
		return &os.PathError{Op: "open", Path: o.root.Name() + found.missing, Err: unix.EROFS}
	}
	return nil
}

// foreseen is what becomes of an edit that could not be made for err: it is Skipped, with the note in result, or err is
// returned because note is nil and the edit required.
func foreseen(status *devices.Status, err error, note *fault.Error, result *Result) error {
	if note == nil {
		return err
	}
	*status = devices.Skipped
	result.Skipped = append(result.Skipped, note)
	return nil
}

// nodev reports whether device nodes at the spot cannot be opened.
func (s spot) nodev() bool { return s.has(unix.ST_NODEV) }

// readOnly reports whether nothing can be made at the spot.
func (s spot) readOnly() bool { return s.has(unix.ST_RDONLY) }

// has reports whether the filesystem of the spot has this flag.
func (s spot) has(flag int64) bool {
	if s.handle == nil {
		return false
	}
	fs, err := linux.Fstatfs(s.handle)
	return err == nil && fs.Flags&flag != 0
}
