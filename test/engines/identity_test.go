package engines

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// crun states "/" as the bundle of a container with a user namespace and a device. A container with a request is served
// nevertheless, whatever state the hooks of its Spec get. One without a request starts, and no record is left.
func TestBundleThatIsNone(t *testing.T) {
	for _, e := range podmans(t) {
		if !strings.HasSuffix(e.name, "crun") {
			continue // runc's bundle is one
		}
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := gpuhost.Bundle{Flags: append(mapped(), "--device", "/dev/zero:/dev/other"), Owner: mappedRoot}
			if o := e.run(s, b); o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			s.noRecord()
			b.Env = []string{"NVIDIA_VISIBLE_DEVICES=0"}
			o := e.run(s, b)
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "node /dev/nvidia0", library, "open")
			if r := s.last(); r.Container.Bundle == "/" || r.Container.Engine != "podman" {
				t.Errorf("bundle %q, engine %q", r.Container.Bundle, r.Container.Engine)
			}
		})
	}
}

// A container without a cgroup of its own is recognized as podman's by the conmon that watches it.
func TestPodmanWithoutControlGroup(t *testing.T) {
	if require.Cgroup(t) != 2 {
		t.Skip("crun alone runs without control groups, and an old one on version 2 alone")
	}
	for _, e := range podmans(t) {
		if !strings.HasSuffix(e.name, "crun") {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.configure("[engines.podman]\nsources = [\"env\"]\n")
			b := gpuhost.Bundle{Flags: []string{"--cgroups", "disabled"}, Env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}
			b.Annotations = map[string]string{"gpu-hook/gpus": "all"}
			b.Args = []string{"true"}
			p := s.sessionOf(e, &b)
			argv := p.Container(b)
			i := slices.Index(argv, "--cgroup-parent")
			_ = s.ended(p.Run(append([]string{"run", "--rm"}, slices.Delete(argv, i, i+2)...)...))
			r := s.last()
			if r.Container.Engine != "podman" || len(r.Requests) != 2 || r.Requests[0].Status == "refused" ||
				r.Requests[1].Status != "refused" {
				t.Errorf("engine %q, requests %+v", r.Container.Engine, r.Requests)
			}
		})
	}
}
