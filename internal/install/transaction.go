package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/atomicfile"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// oldPrefix begins the name that a replaced file has until all files are written. No engine reads a file whose name
// ends neither in .json nor in .conf.
const oldPrefix = ".old-"

// transaction writes several files, all of them or none. Every put must be followed by keep or takeBack in the end.
type transaction struct{ steps []step }

// step is one file that was written, or was about to be when an error ended that.
type step struct {
	path  string
	old   string   // second name of the file or symbolic link that was there, or ""
	fresh bool     // whether nothing was there
	dirs  []string // directories that were made for it, the outermost first
}

// put writes a file in one step: a reader sees the old file or the new one. A symbolic link at path is replaced and not
// followed. Missing directories are made.
func (x *transaction) put(path string, data []byte, mode os.FileMode) error {
	s := step{path: path, dirs: missing(filepath.Dir(path))}
	err := os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // every user's engine must be able to read it
	if err == nil {
		s.old, err = secondName(path)
		s.fresh = s.old == "" && err == nil
	}
	x.steps = append(x.steps, s)
	if err != nil {
		return err
	}
	return withoutTemp(atomicfile.WriteDurable(path, data, mode))
}

// keep ends the transaction: what was replaced is gone for good.
func (x *transaction) keep() {
	for _, s := range x.steps {
		if s.old != "" {
			_ = os.Remove(s.old)
		}
	}
}

// takeBack ends the transaction: every file is the one that was there before, with its owner, mode and times, or a copy
// if it could get no second name. It begins with the last file, so that no engine finds a definition whose binary is
// gone. It returns what could not be taken back.
func (x *transaction) takeBack() error {
	var errs []error
	for i := len(x.steps) - 1; i >= 0; i-- {
		if err := x.steps[i].takeBack(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *step) takeBack() error {
	var err error
	switch {
	case s.old != "":
		err = os.Rename(s.old, s.path)
		// Where the new file was not written, both are names of one file, and rename(2) removes neither.
		_ = os.Remove(s.old)
	case s.fresh && exists(s.path):
		err = os.Remove(s.path)
	}
	for i := len(s.dirs) - 1; i >= 0; i-- {
		_ = os.Remove(s.dirs[i]) // refuses one that others have put something into
	}
	return err
}

// missing returns the directories that do not exist on the way to dir, the outermost first.
func missing(dir string) []string {
	var out []string
	for !exists(dir) {
		out = append([]string{dir}, out...)
		dir = filepath.Dir(dir)
	}
	return out
}

// secondName gives what is at path a second name beside it and returns that, or "" if nothing is there.
func secondName(path string) (string, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case info.IsDir():
		return "", unix.EISDIR
	}
	// The name of a file that is removed at once is free for the link.
	file, err := os.CreateTemp(filepath.Dir(path), oldPrefix)
	if err != nil {
		return "", withoutTemp(err)
	}
	name := file.Name()
	if err := errors.Join(file.Close(), os.Remove(name)); err != nil {
		return "", withoutTemp(err)
	}
	if os.Link(path, name) == nil {
		return name, nil
	}
	// The kernel gives a user no second name of another's file, and some filesystems have none at all.
	if err := duplicate(path, name, info.Mode()); err != nil {
		return "", withoutTemp(err)
	}
	return name, nil
}

// duplicate makes a file or symbolic link at name that is as the one at path, but for its owner and times.
func duplicate(path, name string, mode os.FileMode) error {
	if mode&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(target, name)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return atomicfile.Write(name, data, mode.Perm())
}

// withoutTemp returns the cause of an error about a temporary file, whose name tells nobody anything.
func withoutTemp(err error) error {
	var about *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &about) && isTemp(about.Path):
		return about.Err
	case errors.As(err, &link) && (isTemp(link.Old) || isTemp(link.New)):
		return link.Err
	}
	return err
}

func isTemp(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, oldPrefix) || strings.HasPrefix(name, atomicfile.TempPrefix)
}

// undone takes back what was written before an error about a file, and returns that error with the files that were
// taken back.
func (x *transaction) undone(path string, cause error) error {
	err := x.takeBack()
	var before []string
	for _, s := range x.steps {
		if s.path != path {
			before = append(before, s.path)
		}
	}
	switch {
	case err != nil:
		cause = fmt.Errorf("%w; not everything that was written before could be taken back: %w", cause, err)
	case len(before) > 0:
		cause = fmt.Errorf("%w; taken back: %s", cause, strings.Join(before, ", "))
	}
	return failure(path, cause)
}

// failure is an E-INSTALL about a file or directory.
func failure(what string, err error) error {
	f := fault.New(fault.Install, what, "%w", err)
	if errors.Is(err, unix.EROFS) {
		return f.WithHint("choose places that can be written with --bin-dir and --hooks-dir, or make gpu-hook a part of " +
			"the host's image (docs/readonly.md)")
	}
	return f.WithHint("run it as root, with --user, or choose another place with --bin-dir and --hooks-dir")
}
