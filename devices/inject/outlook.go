package inject

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// maxLinks bounds the links that one lookup follows, as the kernel does.
const maxLinks = 40

// outlook looks up paths of a container from outside, as they will be when its mounts are made.
type outlook struct {
	spec   *specs.Spec
	bundle string
	root   *os.File
	spared bool     // nothing may be made on the root filesystem
	hidden []string // directories on which the plan mounts
}

// spot is a file or directory of the container. What is new has no handle: a filesystem that the runtime makes, or a
// directory that it makes for a mount point.
type spot struct {
	path   string // in the container, without links
	handle *os.File
	stat   unix.Stat_t // unless it is new
	isNew  bool
	volume bool // on a filesystem of the host other than the root filesystem
	kernel bool // on one of the kernel's
}

func (s spot) close() {
	if s.handle != nil {
		_ = s.handle.Close()
	}
}

// trail is the way to a path: the spots from the root on. If something on it is missing, it ends before that, and
// missing is the path, as it was asked for, up to the first thing that is missing.
type trail struct {
	spots   []spot
	missing string
}

func (t trail) last() spot { return t.spots[len(t.spots)-1] }

func (t trail) isDir() bool {
	s := t.last()
	return s.isNew || s.stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

func (t trail) close() {
	for _, s := range t.spots {
		s.close()
	}
}

// component is a part of a path that is looked up. asked is the path that was asked for up to it; fromLink says that
// the target of a link on that path has brought it.
type component struct {
	name, asked string
	fromLink    bool
}

// lookUp follows the path from the container's root. Links are followed as in the container. One that leads nowhere is
// an error. The caller closes the trail, on error too.
func (o *outlook) lookUp(unsafePath string) (trail, error) {
	var t trail
	root, err := linux.Dup(o.root)
	if err != nil {
		return t, errUnseen
	}
	top := spot{path: "/", handle: root}
	t.spots = append(t.spots, top)
	if top.stat, err = linux.Fstat(root); err != nil {
		return t, errUnseen
	}
	t.spots[0] = top
	rest := components(unsafePath, "", false)
	for links := 0; len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		if c.name == ".." {
			t.up()
			continue
		}
		if !t.isDir() {
			return t, &os.PathError{Op: "open", Path: o.root.Name() + c.asked, Err: unix.ENOTDIR}
		}
		next, err := o.enter(t.last(), c.name)
		switch {
		case errors.Is(err, os.ErrNotExist) && c.fromLink:
			return t, errLeadsNowhere(c.asked)
		case errors.Is(err, os.ErrNotExist):
			t.missing = c.asked
			return t, nil
		case err != nil:
			return t, err
		case next.isNew || next.stat.Mode&unix.S_IFMT != unix.S_IFLNK:
			t.spots = append(t.spots, next)
			continue
		}
		target, err := readLink(next)
		if links++; err != nil || links > maxLinks {
			return t, errors.Join(err, &os.PathError{Op: "open", Path: o.root.Name() + c.asked, Err: unix.ELOOP})
		}
		if path.IsAbs(target) {
			t.top()
		}
		rest = append(components(target, c.asked, true), rest...)
	}
	return t, nil
}

// components returns the parts of a path. If it is the target of a link, asked is the path that was asked for up to it.
func components(unsafePath, asked string, fromLink bool) []component {
	var out []component
	for _, name := range strings.Split(unsafePath, "/") {
		if name == "" || name == "." {
			continue
		}
		if !fromLink {
			asked += "/" + name
		}
		out = append(out, component{name, asked, fromLink})
	}
	return out
}

// up goes back to the parent. That of the root is the root.
func (t *trail) up() {
	if n := len(t.spots); n > 1 {
		t.spots[n-1].close()
		t.spots = t.spots[:n-1]
	}
}

// top goes back to the root.
func (t *trail) top() {
	for len(t.spots) > 1 {
		t.up()
	}
}

// readLink returns the target of the link, and closes it.
func readLink(link spot) (unsafeTarget string, err error) {
	defer link.close()
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.handle.Fd()), "", buffer)
	if err != nil {
		return "", errUnseen
	}
	return string(buffer[:n]), nil
}

// enter returns what is called so in the directory when the container's mounts are made. It does not follow a link.
func (o *outlook) enter(dir spot, name string) (spot, error) {
	at := path.Join(dir.path, name)
	if m := o.mountOn(at); m != nil {
		return o.mounted(m, at)
	}
	next := spot{path: at, volume: dir.volume, kernel: dir.kernel, isNew: true}
	if dir.handle != nil {
		handle, err := openat(dir.handle, name, unix.O_PATH|unix.O_NOFOLLOW)
		if err == nil {
			next.handle, next.isNew = handle, false
			next.stat, err = linux.Fstat(handle)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return next, seen(err)
		}
	}
	switch {
	case dir.kernel && dir.handle == nil:
		return next, errUnseen
	case o.mountBelow(at), o.device(at):
		return next, nil
	}
	return next, os.ErrNotExist
}

// seen returns errUnseen in place of an error.
func seen(err error) error {
	if err != nil {
		return errUnseen
	}
	return nil
}

// mountOn returns the last mount of config.json on the path, or nil.
func (o *outlook) mountOn(at string) *specs.Mount {
	for i := len(o.spec.Mounts) - 1; i >= 0; i-- {
		if m := &o.spec.Mounts[i]; path.Join("/", m.Destination) == at {
			return m
		}
	}
	return nil
}

// mountBelow reports whether config.json has a mount below the path, for which the runtime makes directories.
func (o *outlook) mountBelow(at string) bool {
	for i := range o.spec.Mounts {
		if strings.HasPrefix(path.Join("/", o.spec.Mounts[i].Destination), at+"/") {
			return true
		}
	}
	return false
}

// device reports whether the runtime makes a device node at the path.
func (o *outlook) device(at string) bool {
	if o.spec.Linux == nil {
		return false
	}
	for i := range o.spec.Linux.Devices {
		if path.Clean(o.spec.Linux.Devices[i].Path) == at {
			return true
		}
	}
	return false
}

// mounted returns the root of a mount of config.json.
func (o *outlook) mounted(m *specs.Mount, at string) (spot, error) {
	s := spot{path: at, isNew: true}
	switch m.Type {
	case "tmpfs", "devpts", "mqueue":
		return s, nil
	case "proc", "sysfs", "cgroup", "cgroup2":
		s.kernel = true
		return s, nil
	case "bind", "none", "":
	default:
		return s, errUnseen
	}
	source := m.Source
	if !filepath.IsAbs(source) {
		source = filepath.Join(o.bundle, source)
	}
	handle, err := os.OpenFile(source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return s, errUnseen
	}
	s.handle, s.isNew, s.volume = handle, false, true
	on, err := siteOf(handle)
	s.kernel = on.kernel
	if err == nil {
		s.stat, err = linux.Fstat(handle)
	}
	return s, seen(err)
}
