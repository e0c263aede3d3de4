package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// Podman is a podman with a store and cgroups of its own.
type Podman struct {
	site   *Site
	dir    string
	parent string // of its containers' control groups
	user   *gpuhost.User
	global []string
}

// NewPodman makes a podman for containers such as b, and their root filesystem.
func (s *Site) NewPodman(b gpuhost.Bundle) (*Podman, error) {
	// podman stores all of its paths in its database, and limits their length.
	dir, err := os.MkdirTemp("", "ghp")
	if err != nil {
		return nil, err
	}
	p := &Podman{site: s, dir: dir, parent: "/" + s.ID(), user: b.User, global: []string{
		"podman", "--root", filepath.Join(dir, "store"), "--runroot", filepath.Join(dir, "run"),
		"--tmpdir", filepath.Join(dir, "tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", cmp.Or(b.Runtime, "runc"),
	}}
	if !b.OwnHooks {
		p.global = append(p.global, "--hooks-dir", s.Host.Path("hooks.d"))
	}
	for _, dir := range b.HooksDirs {
		p.global = append(p.global, "--hooks-dir", s.Host.Path(dir))
	}
	err = errors.Join(gpuhost.RootFS(p.rootfs()), b.Fill(p.rootfs()), gpuhost.Chown(p.rootfs(), b.Owner),
		os.Chmod(dir, 0o711))
	if err == nil && b.User != nil {
		err = gpuhost.Chown(dir, b.User.UID)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Podman) rootfs() string { return filepath.Join(p.dir, "rootfs") }

// Container returns the part of a command line that describes the container, including its program.
func (p *Podman) Container(b gpuhost.Bundle) []string {
	root := p.rootfs()
	if b.Overlay {
		root += ":O"
	}
	return append(append(p.flags(b), "--rootfs", root), b.Args...)
}

// Of is [Podman.Container] for a container of an image. The image's own program runs if the bundle has none.
func (p *Podman) Of(image string, b gpuhost.Bundle) []string {
	return append(append(p.flags(b), image), b.Args...)
}

func (p *Podman) flags(b gpuhost.Bundle) []string {
	argv := append(slices.Clone(limits), "--pids-limit", "0")
	if !slices.Contains(b.Flags, "--network") {
		argv = append(argv, "--network", "none")
	}
	if p.user == nil {
		argv = append(argv, "--cgroup-parent", p.parent)
	}
	for _, v := range b.Env {
		argv = append(argv, "--env", v)
	}
	for k, v := range b.Annotations {
		argv = append(argv, "--annotation", annotation(k, v))
	}
	return append(argv, b.Flags...)
}

// limits are low enough for every machine, because root may not raise limits everywhere.
var limits = []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"}

// Build builds an image of this name from the root filesystem and further lines of a Containerfile, and returns the
// outcome. It does not use the network.
func (p *Podman) Build(name string, lines, flags []string) (Outcome, error) {
	dir, err := os.MkdirTemp(p.dir, "build")
	if err != nil {
		return Outcome{}, err
	}
	tar := exec.Command("tar", "-C", p.rootfs(), "-cf", filepath.Join(dir, "rootfs.tar"), ".")
	if out, err := tar.CombinedOutput(); err != nil {
		return Outcome{}, fmt.Errorf("tar: %w: %s", err, out)
	}
	text := strings.Join(append([]string{"FROM scratch", "ADD rootfs.tar /"}, lines...), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "Containerfile"), []byte(text), 0o600); err != nil {
		return Outcome{}, err
	}
	build := []string{"build", "--network", "none", "--cgroup-parent", p.parent, "--tag", name}
	return p.Run(slices.Concat(build, limits, flags, []string{dir})...)
}

// PodmanMajor returns the major version of podman, or 0 if it is not installed.
var PodmanMajor = sync.OnceValue(func() int {
	out, err := exec.Command("podman", "--version").Output()
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(out))
	major, _, _ := strings.Cut(fields[len(fields)-1], ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0
	}
	return n
})

// annotation returns the value for podman's flag --annotation. podman before 5.0 reads it as a line of CSV.
func annotation(key, value string) string {
	if PodmanMajor() >= 5 {
		return key + "=" + value
	}
	return `"` + strings.ReplaceAll(key+"="+value, `"`, `""`) + `"`
}

// Command returns a whole command line of podman.
func (p *Podman) Command(args ...string) []string { return append(slices.Clone(p.global), args...) }

// Run runs a command of podman.
func (p *Podman) Run(args ...string) (Outcome, error) {
	argv := p.Command(args...)
	if p.user != nil {
		return RunAs(p.user, p.dir, argv...)
	}
	return run(p.site.Dir, argv...)
}

// Close removes everything of this podman. Its containers must have ended.
func (p *Podman) Close() error {
	return errors.Join(endPause(p.dir), awaitEnd(p.dir), RemoveCgroups(p.parent), remove(p.dir))
}

// remove removes podman's directory and the mounts in it. Processes that podman leaves behind may still use it.
func remove(dir string) error {
	var err error
	for range 100 {
		if err = errors.Join(unmountBelow(dir), os.RemoveAll(dir)); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// unmountBelow unmounts what podman forgets, such as the overlay of a root filesystem.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	for _, line := range slices.Backward(strings.Split(string(data), "\n")) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			errs = append(errs, unix.Unmount(fields[4], unix.MNT_DETACH))
		}
	}
	return errors.Join(errs...)
}

// endPause ends the process with which a rootless podman keeps its namespaces.
func endPause(own string) error {
	return filepath.WalkDir(own, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "pause.pid" {
			return nil //nolint:nilerr // a directory that is gone has no pause process
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // the process has removed its file
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return err
		}
		return unix.Kill(pid, unix.SIGKILL)
	})
}

// awaitEnd waits for processes that outlive podman for a moment: conmon and the clean-up that conmon starts. They have
// the path in their command lines.
func awaitEnd(path string) error {
	for range 1000 {
		running := false
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, line := range lines {
			data, err := os.ReadFile(line)
			running = running || (err == nil && bytes.Contains(data, []byte(path)))
		}
		if !running {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("processes of podman still run for %s", path)
}

// RemoveCgroups removes what engines leave of a test's cgroup parent, in every hierarchy.
func RemoveCgroups(parent string) error {
	var errs []error
	for _, pattern := range []string{"/sys/fs/cgroup" + parent, "/sys/fs/cgroup/*" + parent} {
		tops, _ := filepath.Glob(pattern)
		for _, top := range tops {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) {
				if err := removeCgroup(dir); err != nil && !errors.Is(err, unix.ENOENT) {
					errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// removeCgroup removes a cgroup once its last process has ended: conmon, which watches a container, ends after it.
func removeCgroup(dir string) error {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Rmdir(dir)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
	}
}
