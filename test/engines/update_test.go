package engines

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// tries checks whether a container that runs [engine.Tries] can open its GPU.
func (s *site) tries(c *engine.Running, when, want string) {
	s.t.Helper()
	got, err := c.Ask("/dev/nvidia0")
	if err != nil {
		s.t.Fatal(err)
	}
	if got != want {
		s.t.Errorf("%s the GPU is %s", when, got)
	}
}

// Device rules stay in force when runc itself updates a running container.
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
			s.tries(c, "at first", "open")
			s.update(s.RuncCommand(runc, "update", "--resources", "-", s.ID()))
			s.tries(c, "after an update", "open")
		})
	}
}

// podman 4.3.1 can already update containers, by its runtime. podman 5 also sends its own list of devices, which lacks
// those that hooks and CDI have added, and crun sets the rules again from this list. Devices that podman itself was
// told to allow stay open.
func TestSurvivesPodmanUpdate(t *testing.T) {
	for _, e := range podmans(t) {
		takesAway := engine.PodmanMajor() >= 5 && strings.HasSuffix(e.name, "crun")
		for name, test := range map[string]struct {
			flags []string
			after string
		}{
			"alone": {nil, map[bool]string{false: "open", true: "denied"}[takesAway]},
			"with podman's own rule": {
				[]string{"--device-cgroup-rule", fmt.Sprintf("c %d:%d rw", gpuhost.Major, gpuhost.Minor)}, "open",
			},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				s := newSite(t)
				b := asks("device=0")
				b.Args, b.Flags = []string{"sh", "-c", engine.Tries}, test.flags
				p := s.session(e, &b)
				c, err := p.Start("updated", b)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.End() })
				s.tries(c, "at first", "open")
				update := []string{"update"}
				if require.Cgroup(t) == 1 {
					update = append(update, "--cpu-shares", "512")
				}
				s.podmanRun(p, append(update, "updated")...)
				s.tries(c, "after an update", test.after)
			})
		}
	}
}

// update runs a command that updates the limits of a container. On version 2 there are no controllers here whose limits
// could be set, but the runtime does the same work.
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
