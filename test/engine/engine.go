// Package engine starts real containers, by runc or podman, on a synthetic GPU host where gpu-hook is installed,
// through the definition that it ships. Tests and the demonstration use it.
package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// Site is a synthetic host with gpu-hook installed. Everything is in Dir, apart from cgroups and podman's own temporary
// directory.
type Site struct {
	Host *gpuhost.Host
	Dir  string
}

// Outcome is the result of a container's run.
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
	out, err := exec.Command(binary, "--config", host.Path("config.toml"), "install",
		"--bin-dir", host.Path("bin"), "--hooks-dir", host.Path("hooks.d"),
		"--precreate-dir", host.Path("precreate.d")).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("install: %w: %s", err, out)
	}
	return s, nil
}

// GPUHook runs the installed binary.
func (s *Site) GPUHook(args ...string) (Outcome, error) {
	return run(s.Dir, append([]string{s.Host.Path("bin/gpu-hook"), "--config", s.Host.Path("config.toml")}, args...)...)
}

// Delegate installs NVIDIA's real hook and removes the CDI Spec.
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

// ID returns a container id that no other test uses.
func (s *Site) ID() string {
	return fmt.Sprintf("gpu-hook-%d-%s", os.Getpid(), strings.ReplaceAll(strings.Trim(s.Dir, "/"), "/", "-"))
}

// Bundle writes a bundle as an engine would from the installed definition.
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
	// Root of the container's own user namespace must be able to reach the root filesystem.
	return dir, errors.Join(gpuhost.WriteBundle(dir, b), os.Chmod(dir, 0o711))
}

// Runc runs a container to its end.
func (s *Site) Runc(runc string, b gpuhost.Bundle) (Outcome, error) {
	dir, err := s.Bundle(b)
	if err != nil {
		return Outcome{}, err
	}
	return run(dir, s.RuncCommand(runc, "run", s.ID())...)
}

// RuncCommand returns a command line of runc that keeps its state in this site.
func (s *Site) RuncCommand(runc string, args ...string) []string {
	return append([]string{runc, "--root", filepath.Join(s.Dir, "runc")}, args...)
}

// Crun returns the path of a script that runs crun. An old crun needs help on a machine where limits cannot be raised.
func (s *Site) Crun(crun, memlock string) (string, error) {
	const name = "bin/crun"
	script := fmt.Sprintf("#!/bin/sh\nLD_PRELOAD=%s exec %s \"$@\"\n", memlock, crun)
	return s.Host.Path(name), s.Host.Write(name, script, 0o755)
}

// Podman runs a container to its end, with cgroups of its own, and removes those that podman leaves behind.
func (s *Site) Podman(b gpuhost.Bundle) (o Outcome, err error) {
	p, err := s.NewPodman(b)
	if err != nil {
		return Outcome{}, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	// podman can lose the output of a container that ends at once (seen with 4.3.1), so it is also kept in a file.
	b.Args = append([]string{"sh", "-c", `"$0" "$@" >/.output`}, b.Args...)
	// With /dev/null as its input, an old crun gives the host's /dev/null to the container's root.
	o, err = p.Run(append([]string{"run", "--rm", "--interactive"}, p.Container(b)...)...)
	if wrote, readErr := os.ReadFile(filepath.Join(p.rootfs(), ".output")); readErr == nil {
		o.Stdout = string(wrote)
	}
	return o, err
}

// RunAs runs a command as an ordinary user, whose runtime directory is dir.
func RunAs(user *gpuhost.User, dir string, argv ...string) (Outcome, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + user.Home, "XDG_RUNTIME_DIR=" + dir}
	return finish(cmd, dir)
}

func run(dir string, argv ...string) (Outcome, error) {
	return finish(exec.Command(argv[0], argv[1:]...), dir)
}

func finish(cmd *exec.Cmd, dir string) (Outcome, error) {
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return Outcome{}, err
	}
	return Outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
}
