package install

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// Uninstall removes what [Install] with the same arguments has written, unless it was changed since or is on a
// read-only filesystem. It looks in all places that Install chooses from: the filesystem may have been read-only at one
// time and not at the other. A definition is removed whatever engine it names, and the binary if it is Options.Program
// and no definition runs it any more. A file that is not there is not in the list. What is a package's stays.
// On error the changes until then are returned.
func Uninstall(t Target, o Options) ([]Change, error) {
	l, err := t.layout()
	if err != nil {
		return nil, err
	}
	r := &removal{layout: l, layouts: []*layout{l}}
	if t.movable() {
		r.layouts = append(r.layouts, l.inEtc())
	}
	var files []file
	for _, l := range r.layouts {
		more, err := l.definitions(o)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	err = r.all(files, o.Program)
	return r.changes, err
}

// removal removes files of layouts, which differ in the places of their definitions alone, and keeps account of it.
type removal struct {
	*layout
	layouts []*layout
	changes []Change
}

// all removes podman's configuration first and the binary last, so that no engine looks for a file that is gone.
func (r *removal) all(definitions []file, program string) error {
	if r.conf != "" {
		if err := r.remove(r.conf, unchanged, "it was changed by hand"); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, f := range definitions {
		if seen[f.path] {
			continue
		}
		seen[f.path] = true
		same := func(data []byte) bool { return bytes.Equal(withoutEngine(data), withoutEngine(f.data)) }
		why := "it is not as install with these flags and this configuration writes it"
		if err := r.remove(f.path, same, why); err != nil {
			return err
		}
	}
	for _, l := range r.layouts {
		if l.precreate == PodmanHooks || l.precreate == AdminPodmanHooks {
			// Remove refuses a directory that holds anything else.
			_ = os.Remove(r.below(l.precreate))
			_ = os.Remove(r.below(filepath.Dir(l.precreate)))
		}
	}
	return r.binary(program)
}

// binary removes the binary if it is the same as program and no definition runs it.
func (r *removal) binary(program string) error {
	path := r.layout.binary()
	own, err := os.ReadFile(program)
	if err != nil {
		return failure(path, err)
	}
	if user := r.userOfBinary(); user != "" {
		return r.remove(path, func([]byte) bool { return false }, user+" runs it")
	}
	same := func(data []byte) bool { return bytes.Equal(data, own) }
	return r.remove(path, same, "it is another than this one; run it to uninstall it")
}

// userOfBinary returns a definition that runs the binary, below Destdir, or "".
func (r *removal) userOfBinary() string {
	var paths []string
	for _, l := range r.layouts {
		podman := PodmanHooks
		if l.moved {
			podman = AdminPodmanHooks
		}
		podman = cmp.Or(l.precreate, podman)
		paths = append(paths, filepath.Join(l.hooks, definition.CreateRuntime),
			filepath.Join(podman, definition.CreateRuntime), filepath.Join(podman, definition.Precreate))
	}
	for _, path := range paths {
		data, err := os.ReadFile(r.below(path))
		if err == nil && bytes.Contains(data, []byte(strconv.Quote(r.layout.binary()))) {
			return r.below(path)
		}
	}
	return ""
}

// remove removes a file whose content is as Install writes it, and leaves another one for the reason given. It removes
// a symbolic link to such content and not the file that the link points to.
func (r *removal) remove(path string, written func([]byte) bool, why string) error {
	if r.ofPackage(path) {
		written, why = func([]byte) bool { return false }, "it is a package's; remove the package"
	}
	path = r.below(path)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failure(path, err)
	}
	if !written(data) {
		r.changes = append(r.changes, Change{Action: Left, Path: path, Why: why})
		return nil
	}
	if err := os.Remove(path); errors.Is(err, unix.EROFS) {
		r.changes = append(r.changes, Change{Action: Left, Path: path, Why: "it is on a read-only filesystem"})
		return nil
	} else if err != nil {
		return failure(path, err)
	}
	r.changes = append(r.changes, Change{Action: Removed, Path: path})
	return nil
}

// withoutEngine returns a definition without the engine that it names. Whichever engine that is, gpu-hook wrote it.
func withoutEngine(data []byte) []byte {
	for _, engine := range []string{"podman", "cri-o", "containerd"} {
		data = bytes.Replace(data, []byte(",\n      \"--engine\",\n      \""+engine+"\""), nil, 1)
	}
	return data
}
