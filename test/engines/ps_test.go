package engines

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// answering starts a container of this name in the foreground that holds a device, and returns once it runs.
func (s *site) answering(p *engine.Podman, name, device string, b gpuhost.Bundle) *engine.Running {
	s.t.Helper()
	b.Annotations = asks("device=" + device).Annotations
	b.Args = []string{"sh", "-c", engine.Evaluates}
	c, err := p.Start(name, b)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.End() })
	if _, err := c.Ask("true"); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// holders returns which containers hold which devices, and by which request, according to gpu-hook ps of the user or,
// if it is nil, of root. It leaves out those of other tests.
func (s *site) holders(u *gpuhost.User) []string {
	s.t.Helper()
	var o engine.Outcome
	var err error
	if u == nil {
		o, err = s.GPUHook("ps", "--json")
	} else {
		o, err = engine.RunAs(u, u.Home, s.Host.Path("bin/gpu-hook"), "--config", s.Host.Path("config.toml"), "ps", "--json")
	}
	if err != nil || o.Status != 0 {
		s.t.Fatalf("gpu-hook ps: %v %s", err, o.Stderr)
	}
	var list report.Holders
	if err := json.Unmarshal([]byte(o.Stdout), &list); err != nil {
		s.t.Fatal(err)
	}
	held := []string{}
	for _, c := range list.Containers {
		if !strings.HasPrefix(c.Name, "ps-") {
			continue
		}
		for _, h := range c.Holds {
			held = append(held, fmt.Sprintf("%s %s of %d: %q by %s %q", c.Engine, c.Name, c.UID, h.Devices, h.Source, h.Value))
		}
		if at := time.Since(c.Since); len(c.ID) != 64 || at < 0 || at > 5*time.Minute {
			s.t.Errorf("%+v", c)
		}
	}
	slices.Sort(held)
	return held
}

// ps shows the containers that run, each with the device that it has, and no other. devices shows who holds which.
func TestPs(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			var b gpuhost.Bundle
			p := s.session(e, &b)
			a := s.answering(p, "ps-a", "0", b)
			ended := s.answering(p, "ps-ended", "1", b)
			c := s.answering(p, "ps-b", "1", b)
			if err := ended.End(); err != nil {
				t.Fatal(err)
			}
			const ofA = `podman ps-a of 0: ["nvidia.com/gpu=0"] by annotation:gpu-hook/gpus "device=0"`
			const ofB = `podman ps-b of 0: ["nvidia.com/gpu=1"] by annotation:gpu-hook/gpus "device=1"`
			if diff := cmp.Diff([]string{ofA, ofB}, s.holders(nil)); diff != "" {
				t.Error(diff)
			}
			if all := s.prints("last", "--all"); strings.Count(all, " applied ") != 3 || !strings.Contains(all, " ps-ended ") {
				t.Errorf("last --all: %s", all)
			}
			if text := s.prints("ps"); strings.Count(text, "podman  ps-") != 2 {
				t.Errorf("ps: %s", text)
			}
			list := s.prints("devices")
			for _, want := range []string{"held by podman ps-a (", "held by podman ps-b ("} {
				if strings.Count(list, want) != 1 {
					t.Errorf("devices does not have %q once: %s", want, list)
				}
			}
			if err := a.End(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{ofB}, s.holders(nil)); diff != "" {
				t.Error(diff)
			}
			if err := c.End(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{}, s.holders(nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// prints returns what a command of gpu-hook prints.
func (s *site) prints(args ...string) string {
	s.t.Helper()
	o, err := s.GPUHook(args...)
	if err != nil || o.Status != 0 {
		s.t.Fatalf("gpu-hook %q: %v %s", args, err, o.Stderr)
	}
	return o.Stdout
}

// Root sees what a user's rootless containers hold, and the user sees the same.
func TestPsRootless(t *testing.T) {
	s, u := rootless(t)
	b := asks("device=0")
	b.User = u
	p, err := s.NewPodman(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	argv := append([]string{"run", "--rm", "--interactive", "--name", "ps-user"}, p.Container(gpuhost.Bundle{
		Annotations: b.Annotations, User: u, Args: []string{"sh", "-c", "exec sleep 600"},
	})...)
	done := make(chan engine.Outcome, 1)
	go func() {
		o, _ := p.Run(argv...)
		done <- o
	}()
	want := []string{
		fmt.Sprintf(`podman ps-user of %d: ["nvidia.com/gpu=0"] by annotation:gpu-hook/gpus "device=0"`, u.UID),
	}
	var ofRoot []string
	end := time.Now().Add(time.Minute)
	for ; len(ofRoot) == 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		ofRoot = s.holders(nil)
	}
	if diff := cmp.Diff(want, ofRoot); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, s.holders(u)); diff != "" {
		t.Error(diff)
	}
	s.podmanRun(p, "kill", "ps-user")
	if o := <-done; o.Status != 128+int(syscall.SIGKILL) {
		t.Errorf("status %d: %s", o.Status, o.Stderr)
	}
	if got := s.holders(nil); len(got) > 0 {
		t.Errorf("it has ended, and yet there are %q", got)
	}
}
