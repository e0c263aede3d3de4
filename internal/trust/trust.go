// Package trust opens files of the host that a root process is about to believe or run: configuration, CDI Specs,
// executables. Whoever may change such a file, or put another in its place, is root already; that is checked here for
// the file and for every directory and symbolic link on the way to it.
package trust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// maxLinks bounds the symbolic links that one lookup follows, as the kernel's own limit does.
const maxLinks = 40

// ErrUntrusted is in the chain of every error that is about owner, mode or type rather than about presence.
var ErrUntrusted = errors.New("not trusted")

// Owner is who may own a trusted file besides root.
type Owner struct {
	UID uint32
}

// Root trusts files of uid 0 alone.
func Root() Owner { return Owner{} }

func (o Owner) owns(uid uint32) bool { return uid == 0 || uid == o.UID }

// OpenFile opens the regular file at the absolute path for reading. Symbolic links are followed; every directory passed
// and every link followed must be trusted, and so must the file: owned by root (or o), writable by nobody else. A
// directory that others may write is accepted only with the sticky bit, where they cannot replace what is not theirs.
// The open never blocks on a FIFO. The returned handle is the very file that was checked; its name is path.
func (o Owner) OpenFile(path string) (*os.File, error) {
	resolved, err := o.walk(path)
	if err != nil {
		return nil, err
	}
	file, err := openLast(resolved, path)
	if err != nil {
		return nil, err
	}
	st, err := linux.Fstat(file)
	if err == nil {
		err = o.checkFile(&st)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// openLast opens the file at resolved, which must be no link, and calls it name. It does not block on a FIFO.
func openLast(resolved, name string) (*os.File, error) {
	fd := -1
	err := linux.Retry(func() (err error) {
		fd, err = unix.Open(resolved, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// lstat returns the metadata of what is at path, a link itself if it is one.
func lstat(path string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := linux.Retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return nil, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return &st, nil
}

// Executable reports why path must not be run as root: it is not absolute and clean, not a trusted regular file, not
// executable, or set-user-ID.
func (o Owner) Executable(path string) error {
	file, err := o.OpenFile(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s: %w: it is not executable", path, ErrUntrusted)
	}
	if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return fmt.Errorf("%s: %w: it is set-user-ID or set-group-ID", path, ErrUntrusted)
	}
	return nil
}

// Dir reports why the directory at the absolute path, or one above it, cannot be trusted.
func (o Owner) Dir(path string) error {
	resolved, err := o.walk(path)
	if err != nil {
		return err
	}
	st, err := lstat(resolved)
	if err != nil {
		return err
	}
	return o.checkDir(resolved, st)
}

// walk resolves path link by link, checks every directory and link on the way and returns a path without links, whose
// last component is unchecked.
func (o Owner) walk(path string) (string, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return "", fmt.Errorf("%q: %w: the path is not absolute and clean", path, ErrUntrusted)
	}
	done, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			// There are no links in what is done, so this is the directory that the kernel would go to.
			done = filepath.Dir(done)
			continue
		}
		target, err := o.enter(done, name)
		if err != nil {
			return "", err
		}
		if target == "" {
			done = filepath.Join(done, name)
			continue
		}
		if links++; links > maxLinks {
			return "", &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}

// enter checks the directory and, if name in it is a symbolic link, that too, and returns the link's target or "".
func (o Owner) enter(dir, name string) (target string, err error) {
	st, err := lstat(dir)
	if err != nil {
		return "", err
	}
	if err := o.checkDir(dir, st); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if st, err = lstat(path); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", nil
	}
	if !o.owns(st.Uid) {
		return "", fmt.Errorf("%s: %w: the symbolic link is owned by uid %d", path, ErrUntrusted, st.Uid)
	}
	return os.Readlink(path)
}

func (o Owner) checkDir(path string, st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return &os.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	case !o.owns(st.Uid):
		return fmt.Errorf("%s: %w: the directory is owned by uid %d", path, ErrUntrusted, st.Uid)
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("%s: %w: the directory is writable by group or others (mode %04o)", path, ErrUntrusted, st.Mode&0o7777)
	}
	return nil
}

func (o Owner) checkFile(st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: it is not a regular file", ErrUntrusted)
	case !o.owns(st.Uid):
		return fmt.Errorf("%w: it is owned by uid %d", ErrUntrusted, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%w: it is writable by group or others (mode %04o)", ErrUntrusted, st.Mode&0o7777)
	}
	return nil
}
