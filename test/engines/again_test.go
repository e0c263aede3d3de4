package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// podmans are podman with each runtime that there is here.
func podmans(t *testing.T) []starter {
	t.Helper()
	var out []starter
	for _, e := range starters(t) {
		if strings.HasPrefix(e.name, "podman") {
			out = append(out, e)
		}
	}
	return out
}

// session returns a podman for several commands. Its runtime is the starter's.
func (s *site) session(e starter, b *gpuhost.Bundle) *engine.Podman {
	s.t.Helper()
	if strings.HasSuffix(e.name, "crun") {
		b.Runtime = s.crun()
	}
	p, err := s.NewPodman(*b)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return p
}

func (s *site) podmanRun(p *engine.Podman, args ...string) outcome {
	s.t.Helper()
	o := s.ended(p.Run(args...))
	if o.Status != 0 {
		s.t.Fatalf("podman %s: status %d: %s", args[0], o.Status, o.Stderr)
	}
	return o
}

// countingHook returns the end of a Spec with a createContainer hook. hookRan counts how often the hook ran.
func (s *site) countingHook() string {
	s.t.Helper()
	if err := s.Host.Write("bin/count", "#!/bin/sh\necho run >>"+s.Host.Path("runs")+"\n", 0o755); err != nil {
		s.t.Fatal(err)
	}
	return "  hooks:\n  - {hookName: createContainer, path: " + s.Host.Path("bin/count") + ", args: [count]}\n"
}

func (s *site) hookRan(times int) {
	s.t.Helper()
	data, err := os.ReadFile(s.Host.Path("runs"))
	if n := strings.Count(string(data), "run"); err != nil || n != times {
		s.t.Errorf("the Spec's hook ran %d times, not %d, %v", n, times, err)
	}
}

// A stopped container that is started again gets the same devices again, and the hooks of its Spec run once for each
// start.
func TestStartAgain(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			hooks := s.countingHook()
			if err := s.Host.Write("cdi/nvidia.yaml", s.Host.Spec()+hooks, 0o644); err != nil {
				t.Fatal(err)
			}
			b := withArgs(asks("device=0"))
			p := s.session(e, &b)
			s.podmanRun(p, append([]string{"create", "--name", "again"}, p.Container(b)...)...)
			for range 3 {
				o := s.podmanRun(p, "start", "--attach", "again")
				o.has(t, "node /dev/nvidia0", "node /dev/nvidiactl", library, "open")
				if r := s.last(); r.Result != "applied" || len(r.Warnings) != 0 {
					t.Errorf("record: %s %+v", r.Result, r.Warnings)
				}
			}
			s.podmanRun(p, "rm", "again")
			s.hookRan(3)
		})
	}
}

// What podman's own CDI has injected is found in config.json, reported, and not injected again. What is missing is
// added.
func TestEngineInjectsToo(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			hooks := s.countingHook()
			// podman of that version reads Specs only from two directories of the host.
			kind := fmt.Sprintf("gpu-hook.test/gpu%d", os.Getpid())
			spec := strings.ReplaceAll(s.Host.Spec(), "nvidia.com/gpu", kind) + hooks
			file := filepath.Join("/var/run/cdi", fmt.Sprintf("gpu-hook-test-%d.yaml", os.Getpid()))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(file); _ = os.Remove(filepath.Dir(file)) })
			if err := s.Host.Write("cdi/test.yaml", spec, 0o644); err != nil {
				t.Fatal(err)
			}
			b := withArgs(gpuhost.Bundle{Annotations: map[string]string{"cdi.k8s.io/test": kind + "=0," + kind + "=1"}})
			b.Flags = []string{"--device", kind + "=0"}
			o := e.run(s, b)
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "node /dev/nvidia0", "node /dev/nvidia1", library, "open")
			if n := strings.Count(o.Stdout, library); n != 1 {
				t.Errorf("the library is there %d times", n)
			}
			r := s.last()
			statuses := map[string]devices.Status{}
			for _, d := range r.Edits.DeviceNodes {
				statuses[d.Path] = d.Status
			}
			for _, m := range r.Edits.Mounts {
				statuses[m.ContainerPath] = m.Status
			}
			statuses["hook"] = r.Edits.Hooks[0].Status
			for what, want := range map[string]devices.Status{
				"/dev/nvidia0": devices.Present, "/dev/nvidiactl": devices.Present, "/dev/nvidia1": devices.Applied,
				"hook": devices.Present,
				gpuhost.LibDir + "/libcuda.so." + gpuhost.Driver: devices.Present,
			} {
				if statuses[what] != want {
					t.Errorf("%s: %s, not %s", what, statuses[what], want)
				}
			}
			if len(r.Warnings) != 1 || r.Warnings[0].Code != "W-DUP" {
				t.Errorf("warnings: %+v", r.Warnings)
			}
			s.hookRan(1)
		})
	}
}

// A device node from --device or --privileged comes without the driver's libraries, so NVIDIA's hook still runs and
// injects them.
func TestDelegateBesideANode(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.delegate()
			b := gpuhost.Bundle{
				Env:   []string{"NVIDIA_VISIBLE_DEVICES=0"},
				Flags: []string{"--device", s.Host.Path("dev/nvidia0") + ":/dev/nvidia0"},
			}
			o := e.run(s, b)
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "node /dev/nvidia0", "put here by the delegate", "open")
		})
	}
}
