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

// Podman is a podman with a store, and control groups, of its own.
type Podman struct {
	site   *Site
	dir    string
	parent string // of its containers' control groups
	user   *gpuhost.User
	global []string
}

// NewPodman makes one for containers such as b, whose root filesystem it makes too.
func (s *Site) NewPodman(b gpuhost.Bundle) (*Podman, error) {
	// podman keeps all its paths in its database, and wants them short.
	dir, err := os.MkdirTemp("", "ghp")
	if err != nil {
		return nil, err
	}
	p := &Podman{site: s, dir: dir, parent: "/" + s.ID(), user: b.User, global: []string{
		"podman", "--root", filepath.Join(dir, "store"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", cmp.Or(b.Runtime, "runc"),
	}}
	if !b.OwnHooks {
		p.global = append(p.global, "--hooks-dir", s.Host.Path("hooks.d"))
	}
	for _, dir := range b.HooksDirs {
		p.global = append(p.global, "--hooks-dir", s.Host.Path(dir))
	}
	err = errors.Join(gpuhost.RootFS(p.rootfs()), b.Fill(p.rootfs()), gpuhost.Chown(p.rootfs(), b.Owner), os.Chmod(dir, 0o711)) //nolint:gosec // as in Bundle
	if err == nil && b.User != nil {
		err = gpuhost.Chown(dir, b.User.UID)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Podman) rootfs() string { return filepath.Join(p.dir, "rootfs") }

// Container is what of a command line describes the container, its program included.
func (p *Podman) Container(b gpuhost.Bundle) []string {
	argv := []string{"--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--pids-limit", "0"}
	if p.user == nil {
		argv = append(argv, "--cgroup-parent", p.parent)
	}
	for _, v := range b.Env {
		argv = append(argv, "--env", v)
	}
	for k, v := range b.Annotations {
		argv = append(argv, "--annotation", annotation(k, v))
	}
	return append(append(append(argv, b.Flags...), "--rootfs", p.rootfs()), b.Args...)
}

// PodmanMajor is the first number of podman's version, or 0 where there is none.
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

// annotation is the value of podman's flag of that name. Before 5.0 podman reads it as a line of CSV.
func annotation(key, value string) string {
	if PodmanMajor() >= 5 {
		return key + "=" + value
	}
	return `"` + strings.ReplaceAll(key+"="+value, `"`, `""`) + `"`
}

// Command is a whole command line of podman.
func (p *Podman) Command(args ...string) []string { return append(slices.Clone(p.global), args...) }

// Run runs a command of podman.
func (p *Podman) Run(args ...string) (Outcome, error) {
	argv := p.Command(args...)
	if p.user != nil {
		return RunAs(p.user, p.dir, argv...)
	}
	return run(p.site.Dir, argv...)
}

// Close takes away what is left of it. Its containers have ended.
func (p *Podman) Close() error {
	return errors.Join(endPause(p.dir), awaitEnd(p.dir), RemoveCgroups(p.parent), os.RemoveAll(p.dir))
}

// endPause ends the process by which a rootless podman keeps its namespaces.
func endPause(own string) error {
	return filepath.WalkDir(own, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "pause.pid" {
			return nil //nolint:nilerr // what is gone holds no process
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return err
		}
		return unix.Kill(pid, unix.SIGKILL)
	})
}

// awaitEnd waits for what podman leaves running for a moment after it: conmon and the clean-up that this starts, known by
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

// RemoveCgroups removes what engines leave of a cgroup parent of ours, in every hierarchy.
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
				if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
					errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}
