package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook"
	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

func install(p process, options hook.Options, args []string) error {
	flags := newFlags("install", p, commandUsage("[--config FILE] [--cdi-spec-dir DIR]... install [flags]"))
	bin := flags.String("bin-dir", "/usr/local/bin", "put the binary into `DIR`")
	hooks := flags.String("hooks-dir", "/usr/share/containers/oci/hooks.d", "put the hook definition into `DIR`, which podman and CRI-O read")
	dest := flags.String("destdir", "", "put both below `DIR`, for packages; the definition names the binary without it")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	given, err := absoluteFlags(options)
	if err != nil {
		return err
	}
	for _, dir := range []*string{bin, hooks} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return installError(*dir, err)
		}
	}
	binary := filepath.Join(*bin, "gpu-hook")
	data, err := definition.For(binary, given)
	if err != nil {
		return installError(definition.Name, err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return installError(binary, err)
	}
	// The binary first: engines read a definition at once, and one whose binary is missing is passed over in silence.
	if err := put(filepath.Join(*dest, binary), self, 0o755); err != nil {
		return err
	}
	file := filepath.Join(*dest, *hooks, definition.Name)
	if err := put(file, data, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "installed %s\ninstalled %s\n", filepath.Join(*dest, binary), file)
	return err
}

// absoluteFlags returns the flags of this call as the definition is to have them: the hook's working directory will be
// another.
func absoluteFlags(o hook.Options) ([]string, error) {
	var out []string
	add := func(name, path string) error {
		abs, err := filepath.Abs(path)
		if err != nil {
			return installError(path, err)
		}
		out = append(out, name, abs)
		return nil
	}
	if o.Config != "" {
		if err := add("--config", o.Config); err != nil {
			return nil, err
		}
	}
	for _, dir := range o.SpecDirs {
		if err := add("--cdi-spec-dir", dir); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// put writes a file in one step: whoever reads path meanwhile sees the old one or the new one, and on error the old one
// stays and nothing else is left.
func put(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return installError(path, err)
	}
	file, err := os.CreateTemp(dir, ".gpu-hook-")
	if err != nil {
		return installError(path, err)
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return installError(path, err)
	}
	return nil
}

func installError(path string, err error) error {
	return fault.New(fault.Install, path, "%w", err).WithHint("run it as root, or choose another place with --bin-dir and --hooks-dir")
}
