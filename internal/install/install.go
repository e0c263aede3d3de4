// Package install puts gpu-hook in place and takes it away again: the binary, the hook definitions that engines read,
// and the drop-in that tells podman about a directory of definitions. It prints nothing. What it did, and what is left
// for the administrator to do, it returns as a list of [Change].
package install

import (
	"bytes"
	"os"
	"slices"
	"time"
)

// Options describe what is installed.
type Options struct {
	Program string        // path of the binary to copy; the other fields describe its definitions
	Flags   []string      // flags that the definitions pass before the command
	Timeout time.Duration // how long one run of the hook may take; the definitions give it at least twice that
}

// Action is what was done to a file.
type Action int

// Actions. [Install] returns Installed, Unmerged, Overruled and Unread, and [Uninstall] returns Removed and Left.
const (
	Installed Action = iota + 1 // the file is new or was replaced
	Removed                     // the file is gone
	Left                        // the file is still there, because it is not what Install writes: Why
	Unmerged                    // the drop-in was not written, so podman must be told about Dir on the host itself
	Overruled                   // podman reads this file of its configuration later and does not find Dir in it
	Unread                      // CRI-O is not configured to read Dir
)

// Change is what [Install] or [Uninstall] did to one file, or what is left to do about it.
type Change struct {
	Action Action
	Path   string // with Unmerged and Overruled as podman sees it, "" with Unread, otherwise below Destdir
	Why    string // with Left
	Dir    string // a directory of definitions, with Unmerged, Overruled and Unread
}

// file is a file to write. Its path is as the engines see it.
type file struct {
	path string
	data []byte
	mode os.FileMode
}

// Install writes the files of a target, all of them or none: on error every file is as it was before, and the error
// names those that were taken back. Each is written in one step, so that a second Install replaces the first and no
// engine reads half a file.
//
// Where the default directories of definitions are on a read-only filesystem, the definitions go to [AdminHooks] and
// [AdminPodmanHooks].
func Install(t Target, o Options) ([]Change, error) {
	l, err := t.writable()
	if err != nil {
		return nil, err
	}
	files, err := l.files(o)
	if err != nil {
		return nil, err
	}
	var changes []Change
	x := &transaction{}
	for _, f := range files {
		path := l.below(f.path)
		if err := x.put(path, f.data, f.mode); err != nil {
			return nil, x.undone(path, err)
		}
		changes = append(changes, Change{Action: Installed, Path: path})
	}
	x.keep()
	changes = append(changes, podmanConf{l}.advice()...)
	return append(changes, crioConf{l}.advice()...), nil
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
	// A package's files may be on a read-only filesystem.
	return slices.DeleteFunc(files, l.asPackaged), nil
}

// asPackaged reports whether a package has put the file in place as Install would write it.
func (l *layout) asPackaged(f file) bool {
	if !l.ofPackage(f.path) {
		return false
	}
	data, err := os.ReadFile(l.below(f.path))
	return err == nil && bytes.Equal(data, f.data)
}
