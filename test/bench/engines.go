package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// engineDivisor is how many fewer rounds the rows get whose starts take some tenths of a second.
const engineDivisor = 3

// tool is a program that test/setup has built, or a reason why there is none.
func (b *bench) tool(name string) (string, error) {
	path := b.program(name)
	if _, err := os.Stat(path); err != nil {
		return "", notMeasured(name + " is not there; test/setup bench builds it")
	}
	return path, nil
}

// installed returns the path of a program of a package, or says that there is none.
func installed(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", notMeasured(name + " is not installed; test/setup bench installs it")
	}
	return path, nil
}

// hookOf is an element of hooks.createRuntime.
func hookOf(argv ...string) json.RawMessage {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	data, err := json.Marshal(map[string]any{"path": argv[0], "args": argv, "env": env})
	if err != nil {
		panic(err) // strings
	}
	return data
}

// creates is runc create, or a runtime's around it, of a container whose environment asks for 8 GPUs and whose root
// filesystem is a new overlay each time.
func (b *bench) creates(name string, hook json.RawMessage, env []string, runtime string) (side, error) {
	p, err := b.place(all())
	if err != nil {
		return side{}, err
	}
	config := filepath.Join(p.bundle, "config.json")
	original, err := os.ReadFile(config)
	if err != nil {
		return side{}, err
	}
	text, err := withHook(original, hook)
	if err != nil {
		return side{}, err
	}
	root, id := filepath.Join(b.dir, "runc"), fmt.Sprintf("gpu-hook-bench-%d", os.Getpid())
	// The container's own process makes mounts and nodes, and counts.
	argv := append(append([]string{"env"}, env...), b.program("start"), "created", "")
	s := b.started(name, append(argv, runtime, "--root", root, "create", "--bundle", p.bundle, id))
	s.prepare = func() error { return errors.Join(os.WriteFile(config, text, 0o600), p.overlay()) }
	s.clean = func() error {
		out, err := exec.Command("runc", "--root", root, "delete", "--force", id).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("runc delete: %w: %s", err, out)
		}
		// A runtime that edits the spec leaves it edited.
		return errors.Join(err, p.plain(), os.WriteFile(config, original, 0o600))
	}
	return s, nil
}

// withHook is config.json with the hook, if there is one.
func withHook(config []byte, hook json.RawMessage) ([]byte, error) {
	if hook == nil {
		return config, nil
	}
	var spec map[string]any
	if err := json.Unmarshal(config, &spec); err != nil {
		return nil, err
	}
	spec["hooks"] = map[string]any{"createRuntime": []json.RawMessage{hook}}
	return json.Marshal(spec)
}

// overlay puts a new overlay over the root filesystem, and plain takes it away.
func (p *place) overlay() error {
	scratch, root := filepath.Join(p.bundle, "scratch"), filepath.Join(p.bundle, "rootfs")
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, ""); err != nil {
		return err
	}
	return overlay(root, scratch)
}

func (p *place) plain() error {
	return errors.Join(
		unix.Unmount(filepath.Join(p.bundle, "rootfs"), unix.MNT_DETACH),
		unix.Unmount(filepath.Join(p.bundle, "scratch"), unix.MNT_DETACH),
	)
}

// overlay mounts an overlay over a directory, with its changes in scratch.
func overlay(dir, scratch string) error {
	err := errors.Join(os.Mkdir(scratch+"/upper", 0o755), os.Mkdir(scratch+"/work", 0o755))
	options := "lowerdir=" + dir + ",upperdir=" + scratch + "/upper,workdir=" + scratch + "/work"
	return errors.Join(err, unix.Mount("overlay", dir, "overlay", 0, options))
}

// plainCreate is runc create alone, hookCreate that with gpu-hook.
func (b *bench) plainCreate() (side, error) {
	runc, err := installed("runc")
	if err != nil {
		return side{}, err
	}
	return b.creates("runc create", nil, nil, runc)
}

func (b *bench) hookCreate() (side, error) {
	runc, err := installed("runc")
	if err != nil {
		return side{}, err
	}
	p, err := b.place(all())
	if err != nil {
		return side{}, err
	}
	return b.creates("with gpu-hook", hookOf(p.gpuHook(b)...), nil, runc)
}

// legacyCreate is runc create with NVIDIA's hook.
func (b *bench) legacyCreate() (side, error) {
	runc, err := installed("runc")
	if err != nil {
		return side{}, err
	}
	p, hook, err := b.delegating()
	if err != nil {
		return side{}, err
	}
	return b.creates("with NVIDIA's legacy hook", hookOf(hook, "-config", p.Path("nvidia.toml"), "prestart"), nil, runc)
}

// runtimeCreate is the create of nvidia-container-runtime in CDI mode, which edits the spec and runs runc.
func (b *bench) runtimeCreate() (side, error) {
	runc, err := installed("runc")
	if err != nil {
		return side{}, err
	}
	runtime, err := b.tool("nvidia-container-runtime")
	if err != nil {
		return side{}, err
	}
	p, err := b.place(all())
	if err != nil {
		return side{}, err
	}
	config := fmt.Sprintf(`[nvidia-container-runtime]
mode = "cdi"
runtimes = [%q]
[nvidia-container-runtime.modes.cdi]
default-kind = "nvidia.com/gpu"
spec-dirs = [%q]
`, runc, p.Path("cdi"))
	err = os.MkdirAll(p.Path("xdg/nvidia-container-runtime"), 0o755)
	if err = errors.Join(err, p.Write("xdg/nvidia-container-runtime/config.toml", config, 0o644)); err != nil {
		return side{}, err
	}
	return b.creates("nvidia-container-runtime (CDI)", nil, []string{"XDG_CONFIG_HOME=" + p.Path("xdg")}, runtime)
}

// runcCreate compares what gpu-hook and nvidia-container-runtime add to runc create.
func (b *bench) runcCreate() (comparison, error) {
	return b.engines(b.rounds, b.hookCreate, b.runtimeCreate, b.plainCreate)
}

// runcStarts compares the ways of giving 8 GPUs to runc's containers, as whole starts.
func (b *bench) runcStarts() (comparison, error) {
	return b.engines(b.rounds, b.hookCreate, b.plainCreate, b.legacyCreate, b.runtimeCreate)
}

// engines compares sides that start engines.
func (b *bench) engines(rounds int, makers ...func() (side, error)) (comparison, error) {
	var sides []side
	for _, m := range makers {
		s, err := m()
		if err != nil {
			return comparison{}, err
		}
		sides = append(sides, s)
	}
	return b.versus(rounds, sides...)
}

// delegating is the place where NVIDIA's hook serves, with a nvidia-container-cli that does nothing.
func (b *bench) delegating() (*place, string, error) {
	hook, err := b.tool("nvidia-container-runtime-hook")
	if err != nil {
		return nil, "", err
	}
	s := all()
	s.noSpec = true
	p, err := b.place(s)
	if err != nil {
		return nil, "", err
	}
	place := p.Path("bin/nvidia-container-runtime-hook")
	err = errors.Join(copyFile(hook, place), copyFile(b.program("empty"), p.Path("bin/nvidia-container-cli")))
	return p, place, err
}

// delegate compares gpu-hook that runs NVIDIA's hook with that hook.
func (b *bench) delegate() (comparison, error) {
	p, hook, err := b.delegating()
	if err != nil {
		return comparison{}, err
	}
	return b.versus(b.rounds,
		b.starter("gpu-hook", "held", p.bundle, p.gpuHook(b)...),
		b.starter("NVIDIA's hook", "held", p.bundle, hook, "-config", p.Path("nvidia.toml"), "prestart"))
}

// copyFile copies a program.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// podman is a podman with stores of its own on a host with 8 GPUs. Its containers have busybox's root filesystem.
func (b *bench) podman(name string, bundle gpuhost.Bundle, more ...string) (side, error) {
	program, err := installed("podman")
	if err != nil {
		return side{}, err
	}
	dir, err := os.MkdirTemp(b.dir, "podman")
	if err != nil {
		return side{}, err
	}
	site, err := engine.New(dir, b.program("gpu-hook"))
	if err != nil {
		return side{}, err
	}
	p := &place{site.Host, ""}
	if err := p.fillHost(shape{}); err != nil {
		return side{}, err
	}
	pod, err := site.NewPodman(bundle)
	if err != nil {
		return side{}, err
	}
	b.cleanups = append(b.cleanups, pod.Close)
	bundle.Args, bundle.Overlay = []string{"true"}, true
	podman := pod.Command(slices.Concat([]string{"run", "--rm"}, more, pod.Container(bundle))...)
	podman[0] = program
	return b.starter(name, "whole", "", podman...), nil
}

// podmanQuiet compares podman run with both stages of gpu-hook with podman run, for a container that asks for nothing.
func (b *bench) podmanQuiet() (comparison, error) {
	return b.engines(b.rounds/engineDivisor,
		func() (side, error) {
			return b.podman("with gpu-hook", gpuhost.Bundle{HooksDirs: []string{"precreate.d"}})
		},
		func() (side, error) { return b.podman("podman run", gpuhost.Bundle{OwnHooks: true}) },
	)
}

// engineCDI is podman's own CDI, whose Spec lies where every engine looks for it, in an overlay of /etc.
func (b *bench) engineCDI() (side, error) {
	p, err := b.place(all())
	if err != nil {
		return side{}, err
	}
	scratch := filepath.Join(b.dir, "etc")
	err = errors.Join(os.Mkdir(scratch, 0o755), unix.Mount("tmpfs", scratch, "tmpfs", 0, ""))
	if err == nil {
		err = overlay("/etc", scratch)
	}
	if err != nil {
		return side{}, err
	}
	b.cleanups = append(b.cleanups, func() error {
		return errors.Join(unix.Unmount("/etc", unix.MNT_DETACH), unix.Unmount(scratch, unix.MNT_DETACH))
	})
	err = os.MkdirAll("/etc/cdi", 0o755)
	if err = errors.Join(err, copyFile(p.Path("cdi/nvidia.yaml"), "/etc/cdi/nvidia.yaml")); err != nil {
		return side{}, err
	}
	return b.podman("podman run --device", gpuhost.Bundle{OwnHooks: true}, "--device", "nvidia.com/gpu=all")
}

// podmanStarts compares the ways of giving 8 GPUs to podman's containers, as whole starts.
func (b *bench) podmanStarts() (comparison, error) {
	return b.engines(b.rounds/engineDivisor,
		func() (side, error) { return b.podman("with gpu-hook", gpuhost.Bundle{Env: all().env}) },
		func() (side, error) { return b.podman("podman run", gpuhost.Bundle{OwnHooks: true}) },
		b.engineCDI,
	)
}
