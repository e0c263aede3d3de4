// Package trust opens files of the host that a root process is about to believe or run: configuration, CDI Specs,
// executables. Nobody but root, or an owner who is named, may be able to change such a file or to put another in its
// place. This is checked for the file and for every directory and symbolic link on the way to it.
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

// ErrUntrusted is in the chain of every error about an owner, a mode, a type or the form of a path. It is not in that
// of an error about a file that cannot be found or read.
var ErrUntrusted = errors.New("not trusted")

// Owner is the user who may own a trusted file besides root.
type Owner struct {
	UID uint32
}

// Root returns the owner by whom only files of uid 0 are trusted.
func Root() Owner { return Owner{} }

// owns reports whether files of this uid are trusted.
func (o Owner) owns(uid uint32) bool { return uid == 0 || uid == o.UID }

// OpenFile opens the regular file at path, which must be absolute and clean, for reading. Symbolic links are followed.
// The file and every directory on the way must be owned by root or by o and be writable by nobody else; every link
// followed must be owned by root or by o. A directory that others may write is accepted with the sticky bit: they
// cannot replace files of others in it. The open never blocks on a FIFO. The handle is that of the file that was
// checked; its name is path.
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

// openLast opens the file at resolved, which must not be a link, without blocking on a FIFO. The handle's name is name.
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

// lstat returns the metadata of the file at path, or of the symbolic link if it is one.
func lstat(path string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := linux.Retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return nil, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return &st, nil
}

// Executable returns an error that says why path must not be run as root: [Owner.OpenFile] refuses it, or it is not
// executable, or it is set-user-ID or set-group-ID.
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

// Dir returns an error if the directory at path, which must be absolute and clean, cannot be trusted, or if one above
// it or a symbolic link on the way to it cannot.
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

// Resolve returns the path, which must be absolute, without symbolic links. Every link followed must be owned by root
// or by o: another user's leads wherever that user likes. Directories may be anybody's. What is found must be opened
// without following links ([linux.OpenResolved]), so that none can take the place of a directory meanwhile.
func (o Owner) Resolve(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q: the path is not absolute", path)
	}
	return o.follow(path, func(string, *unix.Stat_t) error { return nil })
}

// walk checks every directory and symbolic link on the way to path. It returns the path without links; its last
// component is not checked.
func (o Owner) walk(path string) (string, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return "", fmt.Errorf("%q: %w: the path is not absolute and clean", path, ErrUntrusted)
	}
	return o.follow(path, func(dir string, st *unix.Stat_t) error {
		if st == nil {
			var err error
			if st, err = lstat(dir); err != nil {
				return err
			}
		}
		return o.checkDir(dir, st)
	})
}

// follow returns the absolute path without links. It checks the owner of each link, and calls check for each directory
// before it looks for something in it, with the directory's metadata if these are known.
func (o Owner) follow(path string, check func(dir string, st *unix.Stat_t) error) (string, error) {
	done, rest, links := "/", strings.Split(path, "/"), 0
	var st *unix.Stat_t // of done, if it is known from the step before
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if st != nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return "", &os.PathError{Op: "open", Path: done, Err: unix.ENOTDIR}
		}
		switch name {
		case "", ".":
			continue
		case "..":
			// done has no links in it, so this is the parent that the kernel would find too.
			done, st = filepath.Dir(done), nil
			continue
		}
		if err := check(done, st); err != nil {
			return "", err
		}
		next, target, err := o.enter(filepath.Join(done, name))
		if err != nil {
			return "", err
		}
		if target == "" {
			done, st = filepath.Join(done, name), next
			continue
		}
		if links++; links > maxLinks {
			return "", &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		if filepath.IsAbs(target) {
			done, st = "/", nil
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}

// enter returns the metadata of the file at path. If that is a symbolic link, enter checks its owner and returns its
// target, otherwise "".
func (o Owner) enter(path string) (next *unix.Stat_t, target string, err error) {
	if next, err = lstat(path); err != nil {
		return nil, "", err
	}
	if next.Mode&unix.S_IFMT != unix.S_IFLNK {
		return next, "", nil
	}
	if !o.owns(next.Uid) {
		return nil, "", fmt.Errorf("%s: %w: the symbolic link is owned by uid %d", path, ErrUntrusted, next.Uid)
	}
	target, err = os.Readlink(path)
	return next, target, err
}

// checkDir returns why the directory at path cannot be trusted, given its metadata, or nil.
func (o Owner) checkDir(path string, st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return &os.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	case !o.owns(st.Uid):
		return fmt.Errorf("%s: %w: the directory is owned by uid %d", path, ErrUntrusted, st.Uid)
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("%s: %w: the directory is writable by group or others (mode %04o)",
			path, ErrUntrusted, st.Mode&0o7777)
	}
	return nil
}

// checkFile returns why a file with this metadata cannot be trusted, or nil.
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
