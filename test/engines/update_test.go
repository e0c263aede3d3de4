package engines

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// opens has a container that runs [engine.Tries] open its GPU.
func (s *site) opens(c *engine.Running, when string) {
	s.t.Helper()
	got, err := c.Ask("/dev/nvidia0")
	if err != nil {
		s.t.Fatal(err)
	}
	if got != "open" {
		s.t.Errorf("%s the GPU is %s", when, got)
	}
}

// Device rules stay through the update of a running container, by runc itself.
func TestSurvivesRuncUpdate(t *testing.T) {
	debian, err := exec.LookPath("runc")
	if err != nil {
		require.Program(t, "runc")
	}
	for _, runc := range []string{debian, require.Program(t, "runc")} {
		t.Run(filepath.Base(filepath.Dir(runc)), func(t *testing.T) {
			s := newSite(t)
			b := asks("device=0")
			b.Args = []string{"sh", "-c", engine.Tries}
			dir, err := s.Bundle(b)
			if err != nil {
				t.Fatal(err)
			}
			c, err := engine.Start(dir, s.RuncCommand(runc, "run", s.ID())...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.End() })
			s.opens(c, "at first")
			s.update(s.RuncCommand(runc, "update", "--resources", "-", s.ID()))
			s.opens(c, "after an update")
		})
	}
}

// podman 4.3.1 can update already, by its runtime.
func TestSurvivesPodmanUpdate(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := asks("device=0")
			b.Args = []string{"sh", "-c", engine.Tries}
			p := s.session(e, &b)
			c, err := p.Start("updated", b)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.End() })
			s.opens(c, "at first")
			update := []string{"update"}
			if require.Cgroup(t) == 1 {
				update = append(update, "--cpu-shares", "512")
			}
			s.podmanRun(p, append(update, "updated")...)
			s.opens(c, "after an update")
		})
	}
}

// update runs a command that updates the limits of a container. Version 2 has no controllers here that could be set, but
// the runtime goes the same way.
func (s *site) update(argv []string) {
	s.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader("{}")
	if require.Cgroup(s.t) == 1 {
		cmd.Stdin = strings.NewReader(`{"cpu": {"shares": 512}}`)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%q: %v: %s", argv, err, out)
	}
}
