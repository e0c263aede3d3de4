package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gpu-hook/gpu-hook/hook"
	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// uninstall removes what install with the same flags has written, and nothing that was changed since.
func uninstall(p process, options hook.Options, args []string) error {
	to, engine, err := targetOf("uninstall", p, args)
	if err != nil {
		return err
	}
	rules, _ := hook.RulesFor(options, engine) // without a configuration the shipped definitions are the ones to find
	files, err := to.definitions(options, rules)
	if err != nil {
		return err
	}
	// podman's configuration first and the binary last, so that no engine looks for what is not there.
	if to.conf != "" {
		if err := to.remove(p, to.conf, unchanged, "it was changed by hand"); err != nil {
			return err
		}
	}
	for _, f := range files {
		same := func(data []byte) bool { return bytes.Equal(withoutEngine(data), withoutEngine(f.data)) }
		if err := to.remove(p, f.path, same, "it is not as install with these flags and this configuration writes it"); err != nil {
			return err
		}
	}
	if to.precreate == podmanHooks {
		// Only if nothing else is in them.
		_ = os.Remove(filepath.Join(to.dest, podmanHooks))
		_ = os.Remove(filepath.Join(to.dest, filepath.Dir(podmanHooks)))
	}
	return to.removeBinary(p)
}

// withoutEngine returns a definition without the engine that it names: whosever it is, it is ours.
func withoutEngine(data []byte) []byte {
	for _, engine := range []string{"podman", "cri-o", "containerd"} {
		data = bytes.Replace(data, []byte(",\n      \"--engine\",\n      \""+engine+"\""), nil, 1)
	}
	return data
}

// removeBinary removes the binary if it is this one and no definition runs it any more.
func (to *target) removeBinary(p process) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return installError(to.binary(), err)
	}
	why := "it is another than this one; run it to uninstall it"
	same := func(data []byte) bool { return bytes.Equal(data, self) }
	podman := cmp.Or(to.precreate, podmanHooks)
	for _, path := range []string{
		filepath.Join(to.hooks, definition.CreateRuntime), filepath.Join(podman, definition.CreateRuntime), filepath.Join(podman, definition.Precreate),
	} {
		data, err := os.ReadFile(filepath.Join(to.dest, path))
		if err == nil && bytes.Contains(data, []byte(strconv.Quote(to.binary()))) {
			why = filepath.Join(to.dest, path) + " runs it"
			same = func([]byte) bool { return false }
			break
		}
	}
	return to.remove(p, to.binary(), same, why)
}

// remove removes a file that is as it was written, and says of another why it stays. One that is not there is nothing to
// speak of.
func (to *target) remove(p process, path string, written func([]byte) bool, why string) error {
	path = filepath.Join(to.dest, path)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return installError(path, err)
	}
	if !written(data) {
		_, err := fmt.Fprintf(p.stdout, "left %s: %s\n", path, why)
		return err
	}
	if err := os.Remove(path); err != nil {
		return installError(path, err)
	}
	_, err = fmt.Fprintf(p.stdout, "removed %s\n", path)
	return err
}
