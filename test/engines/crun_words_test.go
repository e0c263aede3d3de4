package engines

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// crun discards what a hook writes. The user of podman still sees why the container does not start.
func TestCrunShowsWhy(t *testing.T) {
	if require.Cgroup(t) != 2 {
		t.Skip("an old crun takes version 2 alone")
	}
	s := newSite(t)
	for name, flags := range map[string][]string{"plain": nil, "terminal": {"--tty"}, "detached": {"--detach"}} {
		t.Run(name, func(t *testing.T) {
			b := asks("device=7")
			b.Runtime, b.Flags = s.crun(), flags
			o := s.ended(s.Podman(withArgs(b)))
			// podman 5.4 sometimes loses the whole output of a failed start with a terminal, whichever hook failed.
			if name == "terminal" && o.Status != 0 && strings.Contains(o.Stderr, "no logs from conmon") {
				return
			}
			s.shows(o)
		})
	}
}

func TestCrunShowsWhyRootless(t *testing.T) {
	if require.Cgroup(t) != 2 {
		t.Skip("an old crun takes version 2 alone")
	}
	s, u := rootless(t)
	b := asks("device=7")
	b.User, b.Runtime = u, s.crun()
	s.shows(s.ended(s.Podman(withArgs(b))))
}

// Without conmon in between, the user sees what crun writes.
func TestCrunShowsWhyAlone(t *testing.T) {
	if require.Cgroup(t) != 2 {
		t.Skip("an old crun takes version 2 alone")
	}
	s := newSite(t)
	s.shows(s.ended(s.Runc(s.crun(), withArgs(asks("device=7")))))
}

func (s *site) shows(o outcome) {
	s.t.Helper()
	if o.Status == 0 {
		s.t.Error("the container starts")
	}
	for _, part := range []string{"gpu-hook: E-NAME: ", "nvidia.com/gpu=7", "gpu-hook: fix: ", "error executing hook"} {
		if !strings.Contains(o.Stderr, part) {
			s.t.Errorf("no %q in: %s", part, o.Stderr)
		}
	}
}
