// Package gpuhost makes a synthetic GPU host, for tests and the demonstration. It has device nodes that have the number
// of another device, driver libraries that are small text files, a CDI Spec for them, the configuration of gpu-hook and
// of NVIDIA's hook, and a root filesystem with busybox. Everything is in one directory.
package gpuhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Driver is the version of the driver that the host pretends to have.
const Driver = "580.65.06"

// Major and Minor are the number of every GPU node of the host: that of /dev/kmsg, which runtimes deny to containers.
const (
	Major = 1
	Minor = 11
)

// LibDir is where the Spec puts the libraries in a container.
const LibDir = "/usr/lib/x86_64-linux-gnu"

// Host is a synthetic GPU host.
type Host struct{ Dir string }

// New makes a host with two GPUs in dir, which must be empty or must not exist. It needs root, for the device nodes.
func New(dir string) (*Host, error) {
	h := &Host{dir}
	var errs []error
	for _, sub := range []string{"dev", "lib", "cdi", "bin", "run"} {
		errs = append(errs, os.MkdirAll(h.Path(sub), 0o755))
	}
	for _, node := range []string{"nvidia0", "nvidia1", "nvidiactl"} {
		errs = append(errs, h.Node(node))
	}
	for _, lib := range []string{"libcuda.so.", "libnvidia-ml.so."} {
		errs = append(errs, h.Write("lib/"+lib+Driver, "this stands for "+lib+Driver+"\n", 0o644))
	}
	errs = append(errs,
		h.Write("cdi/nvidia.yaml", h.Spec(), 0o644),
		h.Write("version", Driver+"\n", 0o644),
		h.Write("config.toml", h.Config(), 0o644),
		h.Write("nvidia.toml", h.nvidiaConfig(), 0o644),
		h.Write("bin/nvidia-container-cli", h.recorder(), 0o755),
		h.Write("bin/nvidia-ctk", "#!/bin/sh\n", 0o755),
		h.Write("bin/nvidia-modprobe", "#!/bin/sh\n", 0o755),
	)
	return h, errors.Join(errs...)
}

// Path is a path in the host's directory.
func (h *Host) Path(name string) string { return filepath.Join(h.Dir, name) }

// Node makes a device node in the host's dev.
func (h *Host) Node(name string) error {
	path := h.Path("dev/" + name)
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(Major, Minor))); err != nil {
		return fmt.Errorf("mknod %s: %w", path, err)
	}
	return os.Chmod(path, 0o666)
}

// Write writes a file with exactly this mode.
func (h *Host) Write(name, text string, mode os.FileMode) error {
	if err := os.WriteFile(h.Path(name), []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(h.Path(name), mode)
}

// UUID is the second name of GPU n.
func UUID(n int) string { return fmt.Sprintf("GPU-%08d-1111-2222-3333-444455556666", n) }

// Spec is the host's CDI Spec, of the shape that nvidia-ctk writes.
func (h *Host) Spec() string {
	var b strings.Builder
	node := func(indent, name string) {
		fmt.Fprintf(&b, "%[1]s- path: /dev/%[2]s\n%[1]s  hostPath: %[3]s\n", indent, name, h.Path("dev/"+name))
	}
	b.WriteString("---\ncdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices:\n")
	for n := range 2 {
		for _, name := range []string{fmt.Sprint(n), UUID(n)} {
			fmt.Fprintf(&b, "- name: %q\n  containerEdits:\n    deviceNodes:\n", name)
			node("    ", fmt.Sprintf("nvidia%d", n))
		}
	}
	b.WriteString("- name: all\n  containerEdits:\n    deviceNodes:\n")
	node("    ", "nvidia0")
	node("    ", "nvidia1")
	b.WriteString("containerEdits:\n  env:\n  - NVIDIA_VISIBLE_DEVICES=void\n  deviceNodes:\n")
	node("  ", "nvidiactl")
	b.WriteString("  mounts:\n")
	for _, lib := range []string{"libcuda.so.", "libnvidia-ml.so."} {
		fmt.Fprintf(&b, "  - hostPath: %s\n    containerPath: %s/%s%s\n    options: [ro, nosuid, nodev, rbind, rprivate]\n",
			h.Path("lib/"+lib+Driver), LibDir, lib, Driver)
	}
	return b.String()
}

// Config is gpu-hook's configuration on this host.
func (h *Host) Config() string {
	return fmt.Sprintf(`[cdi]
spec-dirs = [%q]

[[vendor]]
name = "nvidia"
runtime-hook = %q

[nvidia]
runtime-config = %q
driver-version-file = %q

[record]
dir = %q
`, h.Path("cdi"), h.Path("bin/nvidia-container-runtime-hook"), h.Path("nvidia.toml"), h.Path("version"), h.Path("run"))
}

func (h *Host) nvidiaConfig() string {
	return fmt.Sprintf("[nvidia-container-cli]\npath = %q\nload-kmods = true\n", h.Path("bin/nvidia-container-cli"))
}

// recorder returns a script that replaces nvidia-container-cli, which needs a driver. It records how it was called, and
// puts a node and a library into the container, as the real program would. If there is a file FAIL in its directory, it
// fails.
func (h *Host) recorder() string {
	return fmt.Sprintf(`#!/bin/sh
out=%[1]q
mkdir -p "$out"
printf '%%s\n' "$@" >"$out/args"
env >"$out/env"
cat >"$out/stdin"
if [ -e "$out/FAIL" ]; then
	echo "nvidia-container-cli: initialization error: driver rpc error: Permission denied" >&2
	exit 1
fi
for last; do case $last in --pid=*) pid=${last#--pid=};; esac; done
nsenter -t "$pid" -m sh -ec '
	mknod -m 666 "$1/dev/nvidia0" c %[2]d %[3]d 2>/dev/null ||
		{ : >"$1/dev/nvidia0"; mount --bind %[6]q "$1/dev/nvidia0"; }
	mkdir -p "$1%[4]s"
	echo "put here by the delegate" >"$1%[4]s/libcuda.so.%[5]s"
' sh "$last"
`, h.Path("recorded"), Major, Minor, LibDir, Driver, h.Path("dev/nvidia0"))
}

// RootFS makes a root filesystem with busybox in dir.
func RootFS(dir string) error {
	var errs []error
	for _, sub := range []string{"bin", "dev", "proc", "sys", "etc", "tmp", "usr/lib"} {
		errs = append(errs, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(busybox)
	errs = append(errs, err, os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755))
	for _, name := range strings.Fields("sh ls cat env find grep readlink sleep true dd mount id stat rm") {
		errs = append(errs, os.Symlink("busybox", filepath.Join(dir, "bin", name)))
	}
	return errors.Join(errs...)
}

// Chown makes a user the owner of a tree.
func Chown(dir string, owner int) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, owner, owner))
	})
}

// Bundle is the part of an OCI bundle that a test sets.
type Bundle struct {
	Args        []string
	Env         []string
	Annotations map[string]string
	// Hook is an element of hooks.createRuntime, as an engine would write it from a definition.
	Hook json.RawMessage
	// Edit changes the rest of config.json.
	Edit func(config map[string]any)
	// Owner of the root filesystem.
	Owner int
	// Flags are further flags for podman.
	Flags []string
	// Runtime is the runtime that podman uses, if it is not runc.
	Runtime string
	// OwnHooks says that podman looks for hooks in the directories of its own configuration.
	OwnHooks bool
	// HooksDirs are further directories of the host in which podman looks for hooks, such as precreate.d.
	HooksDirs []string
	// User is the user who runs podman; nil for the user who runs the test.
	User *User
	// Image has further files of the root filesystem, by absolute path, and Links symbolic links.
	Image, Links map[string]string
	// Overlay makes podman put an overlay over the root filesystem.
	Overlay bool
}

// User is an ordinary user.
type User struct {
	UID, GID   int
	Name, Home string
}

// Fill puts the image's files and links into the root filesystem.
func (b *Bundle) Fill(rootfs string) error {
	var errs []error
	for name, text := range b.Image {
		path := filepath.Join(rootfs, name)
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
	}
	for name, target := range b.Links {
		path := filepath.Join(rootfs, name)
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path))
	}
	return errors.Join(errs...)
}

// runcSpec is what "runc spec" writes.
var runcSpec = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gpuhost")
	if err != nil {
		return nil, err
	}
	spec := exec.Command("runc", "spec")
	spec.Dir = dir
	if out, err := spec.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("runc spec: %w: %s", err, out), os.RemoveAll(dir))
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	return data, errors.Join(err, os.RemoveAll(dir))
})

// WriteBundle makes an OCI bundle in dir, based on what "runc spec" writes.
func WriteBundle(dir string, b Bundle) error {
	rootfs := filepath.Join(dir, "rootfs")
	if err := errors.Join(RootFS(rootfs), b.Fill(rootfs), Chown(rootfs, b.Owner)); err != nil {
		return err
	}
	data, err := runcSpec()
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	process := config["process"].(map[string]any)
	delete(process, "rlimits") // not every root may raise them
	process["terminal"] = false
	process["args"] = b.Args
	process["env"] = append([]string{"PATH=/bin"}, b.Env...)
	config["root"].(map[string]any)["readonly"] = false
	config["annotations"] = b.Annotations
	if b.Hook != nil {
		config["hooks"] = map[string]any{"createRuntime": []json.RawMessage{b.Hook}}
	}
	if b.Edit != nil {
		b.Edit(config)
	}
	if data, err = json.MarshalIndent(config, "", " "); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
}

// HookOf returns the hook in a definition file, which an engine copies into config.json.
func HookOf(definition string) (json.RawMessage, error) {
	data, err := os.ReadFile(definition)
	if err != nil {
		return nil, err
	}
	var d struct {
		Hook json.RawMessage `json:"hook"`
	}
	err = json.Unmarshal(data, &d)
	return d.Hook, err
}
