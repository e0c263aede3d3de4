package install

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// Uninstall removes what [Install] with the same arguments has written, unless it was changed since. A definition is
// removed whatever engine it names, and the binary if it is Options.Program and no definition runs it any more. A file
// that is not there is not in the list. What is a package's stays. On error the changes until then are returned.
func Uninstall(t Target, o Options) ([]Change, error) {
	l, err := t.layout()
	if err != nil {
		return nil, err
	}
	files, err := l.definitions(o)
	if err != nil {
		return nil, err
	}
	r := &removal{layout: l}
	err = r.all(files, o.Program)
	return r.changes, err
}

// removal removes files of a layout and keeps account of it.
type removal struct {
	*layout
	changes []Change
}

// all removes podman's configuration first and the binary last, so that no engine looks for a file that is gone.
func (r *removal) all(definitions []file, program string) error {
	if r.conf != "" {
		if err := r.remove(r.conf, unchanged, "it was changed by hand"); err != nil {
			return err
		}
	}
	for _, f := range definitions {
		same := func(data []byte) bool { return bytes.Equal(withoutEngine(data), withoutEngine(f.data)) }
		why := "it is not as install with these flags and this configuration writes it"
		if err := r.remove(f.path, same, why); err != nil {
			return err
		}
	}
	if r.precreate == PodmanHooks {
		// Remove refuses a directory that holds anything else.
		_ = os.Remove(r.below(PodmanHooks))
		_ = os.Remove(r.below(filepath.Dir(PodmanHooks)))
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
	podman := cmp.Or(r.precreate, PodmanHooks)
	for _, path := range []string{
		filepath.Join(r.hooks, definition.CreateRuntime),
		filepath.Join(podman, definition.CreateRuntime),
		filepath.Join(podman, definition.Precreate),
	} {
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
	if err := os.Remove(path); err != nil {
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
