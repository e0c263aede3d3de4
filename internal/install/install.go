// Package install puts gpu-hook in place and takes it away again: the binary, the hook definitions that engines read,
// and the drop-in that tells podman about a directory of definitions. It prints nothing. What it did, and what is left
// for the administrator to do, it returns as a list of [Change].
package install

import (
	"os"
	"path/filepath"
	"time"

	"github.com/gpu-hook/gpu-hook/internal/atomicfile"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Options describe what is installed.
type Options struct {
	Program string        // path of the binary to copy; the other fields describe its definitions
	Flags   []string      // flags that the definitions pass before the command
	Timeout time.Duration // how long one run of the hook may take; the definitions give it at least twice that
}

// Action is what was done to a file.
type Action int

// Actions. [Install] returns Installed, Unmerged and Overruled, and [Uninstall] returns Removed and Left.
const (
	Installed Action = iota + 1 // the file is new or was replaced
	Removed                     // the file is gone
	Left                        // the file is still there, because it is not what Install writes: Why
	Unmerged                    // the drop-in was not written, so podman must be told about Dir on the host itself
	Overruled                   // podman reads this file of its configuration later and does not find Dir in it
)

// Change is what [Install] or [Uninstall] did to one file, or what is left to do about it.
type Change struct {
	Action Action
	Path   string // with Unmerged and Overruled as podman sees it, otherwise below Destdir
	Why    string // with Left
	Dir    string // a directory of definitions, with Unmerged and Overruled
}

// file is a file to write. Its path is as the engines see it.
type file struct {
	path string
	data []byte
	mode os.FileMode
}

// Install writes the files of a target. Each is written in one step, so that a second Install replaces the first and no
// engine reads half a file. On error no change is returned, and the files written until then stay.
func Install(t Target, o Options) ([]Change, error) {
	l, err := t.layout()
	if err != nil {
		return nil, err
	}
	files, err := l.files(o)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, f := range files {
		path := l.below(f.path)
		if err := put(path, f.data, f.mode); err != nil {
			return nil, err
		}
		changes = append(changes, Change{Action: Installed, Path: path})
	}
	return append(changes, podmanConf{l}.advice()...), nil
}

// files returns what Install writes, in that order. The binary is first: engines read a definition at once, and
// silently skip one whose binary is missing.
func (l *layout) files(o Options) ([]file, error) {
	program, err := os.ReadFile(o.Program)
	if err != nil {
		return nil, failure(l.binary(), err)
	}
	files := []file{{l.binary(), program, 0o755}}
	definitions, err := l.definitions(o)
	if err != nil {
		return nil, err
	}
	files = append(files, definitions...)
	if c := (podmanConf{l}); l.conf != "" && c.knows() {
		files = append(files, file{l.conf, c.dropIn(), 0o644})
	}
	return files, nil
}

// put writes a file in one step: a reader sees the old file or the new one. A symbolic link at path is replaced and not
// followed. On error the old file stays and nothing else is left.
func put(path string, data []byte, mode os.FileMode) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // every user's engine must be able to read it
	if err != nil {
		return failure(path, err)
	}
	if err := atomicfile.WriteDurable(path, data, mode); err != nil {
		return failure(path, err)
	}
	return nil
}

// failure is an E-INSTALL about a file or directory.
func failure(what string, err error) error {
	return fault.New(fault.Install, what, "%w", err).
		WithHint("run it as root, with --user, or choose another place with --bin-dir and --hooks-dir")
}
