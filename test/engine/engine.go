// Package engine starts real containers, by runc or podman, on a synthetic GPU host where gpu-hook is installed, through
// the definition that it ships. Tests and the demonstration use it.
package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// Site is a synthetic host with gpu-hook installed. Everything but control groups and podman's own short-lived folder
// lies in Dir.
type Site struct {
	Host *gpuhost.Host
	Dir  string
}

// Outcome is how a container ended.
type Outcome struct {
	Status         int
	Stdout, Stderr string
}

// New makes the host in dir and installs the binary there, by its own install command.
func New(dir, binary string) (*Site, error) {
	host, err := gpuhost.New(filepath.Join(dir, "host"))
	if err != nil {
		return nil, err
	}
	s := &Site{host, dir}
	out, err := exec.Command(binary, "--config", host.Path("config.toml"), "install", "--bin-dir", host.Path("bin"), "--hooks-dir", host.Path("hooks.d")).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("install: %w: %s", err, out)
	}
	return s, nil
}

// GPUHook runs the installed binary.
func (s *Site) GPUHook(args ...string) (Outcome, error) {
	return run(s.Dir, append([]string{s.Host.Path("bin/gpu-hook"), "--config", s.Host.Path("config.toml")}, args...)...)
}

// Delegate installs NVIDIA's real hook and takes CDI away.
func (s *Site) Delegate(hook string) error {
	data, err := os.ReadFile(hook)
	if err != nil {
		return err
	}
	if err := s.Host.Write("bin/nvidia-container-runtime-hook", string(data), 0o755); err != nil {
		return err
	}
	return os.Remove(s.Host.Path("cdi/nvidia.yaml"))
}

// ID is a container id that nobody else uses.
func (s *Site) ID() string {
	return fmt.Sprintf("gpu-hook-%d-%s", os.Getpid(), strings.ReplaceAll(strings.Trim(s.Dir, "/"), "/", "-"))
}

// Bundle writes the bundle that an engine would, from the installed definition.
func (s *Site) Bundle(b gpuhost.Bundle) (string, error) {
	hook, err := gpuhost.HookOf(s.Host.Path("hooks.d/gpu-hook.json"))
	if err != nil {
		return "", err
	}
	b.Hook = hook
	dir, err := os.MkdirTemp(s.Dir, "bundle")
	if err != nil {
		return "", err
	}
	return dir, gpuhost.WriteBundle(dir, b)
}

// Runc runs a container to its end.
func (s *Site) Runc(runc string, b gpuhost.Bundle) (Outcome, error) {
	dir, err := s.Bundle(b)
	if err != nil {
		return Outcome{}, err
	}
	return run(dir, s.RuncCommand(runc, "run", s.ID())...)
}

// RuncCommand is a command line of runc that keeps to this site.
func (s *Site) RuncCommand(runc string, args ...string) []string {
	return append([]string{runc, "--root", filepath.Join(s.Dir, "runc")}, args...)
}

// Podman runs a container to its end, with cgroups of its own, and takes away what podman leaves of them.
func (s *Site) Podman(b gpuhost.Bundle) (o Outcome, err error) {
	err = s.withPodman(b, func(podman, start []string) error {
		o, err = run(s.Dir, append(podman, start...)...)
		return err
	})
	return o, err
}

// withPodman has do run a container by podman: the second command line is to be appended to the first, which is good for
// other commands about the container as well.
func (s *Site) withPodman(b gpuhost.Bundle, do func(podman, start []string) error) (err error) {
	// podman keeps all its paths in its database, and wants them short.
	own, err := os.MkdirTemp("", "ghp")
	if err != nil {
		return err
	}
	parent := "/" + s.ID()
	defer func() {
		err = errors.Join(err, awaitEnd(own), RemoveCgroups(parent), os.RemoveAll(own))
	}()
	rootfs := filepath.Join(own, "rootfs")
	if err := gpuhost.RootFS(rootfs); err != nil {
		return err
	}
	podman := []string{
		"podman", "--root", filepath.Join(own, "store"), "--runroot", filepath.Join(own, "run"), "--tmpdir", filepath.Join(own, "tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--hooks-dir", s.Host.Path("hooks.d"),
	}
	start := []string{
		"run", "--rm", "--interactive", "--name", s.ID(), "--network", "none", "--cgroup-parent", parent, "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--pids-limit", "0",
	}
	for _, v := range b.Env {
		start = append(start, "--env", v)
	}
	for k, v := range b.Annotations {
		// podman of that time reads the flag's value as CSV.
		start = append(start, "--annotation", `"`+strings.ReplaceAll(k+"="+v, `"`, `""`)+`"`)
	}
	start = append(start, "--rootfs", rootfs)
	return do(podman, append(start, b.Args...))
}

func run(dir string, argv ...string) (Outcome, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return Outcome{}, err
	}
	return Outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
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
