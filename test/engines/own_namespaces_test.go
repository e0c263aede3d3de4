package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// Namespaces that the container shares with the host belong to the host's root, and an ordinary user cannot join them.
// The hooks of a Spec run without joining them.
func TestRootlessSharesNamespaces(t *testing.T) {
	s, u := rootless(t)
	if err := os.MkdirAll(s.Host.Path("ran"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(s.Host.Path("ran"), u.UID, u.GID); err != nil {
		t.Fatal(err)
	}
	if err := s.Host.Write(
		"bin/probe", "#!/bin/sh\nreadlink /proc/self/ns/mnt >"+s.Host.Path("ran/probe")+"\n", 0o755,
	); err != nil {
		t.Fatal(err)
	}
	spec := s.Host.Spec() +
		fmt.Sprintf("  hooks:\n  - {hookName: createContainer, path: %s, args: [probe]}\n", s.Host.Path("bin/probe"))
	if err := s.Host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(s.Host.Path("ran"), "probe")
	for _, flags := range []string{
		"--ipc=host", "--uts=host", "--cgroupns=host", "", "--ipc=host --uts=host --cgroupns=host",
		"--userns=keep-id", "--userns=keep-id --ipc=host --uts=host --cgroupns=host",
	} {
		t.Run("network host "+flags, func(t *testing.T) {
			_ = os.Remove(probe)
			b := asks("device=0")
			b.User, b.Flags = u, strings.Fields(flags)
			o := s.onHostNetwork(withArgs(b))
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "node /dev/nvidia0", library, "open")
			own, err := os.Readlink("/proc/self/ns/mnt")
			if data, readErr := os.ReadFile(probe); err != nil || readErr != nil || strings.TrimSpace(string(data)) == own {
				t.Errorf("the hook ran in %q: %v %v", data, err, readErr)
			}
		})
	}
}

// onHostNetwork runs a container that shares the host's network.
func (s *site) onHostNetwork(b gpuhost.Bundle) outcome {
	s.t.Helper()
	p, err := s.NewPodman(b)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			s.t.Error(err)
		}
	}()
	// podman can lose the output of a container that ends at once.
	b.Args = append([]string{"sh", "-c", `"$0" "$@"; sleep 0.3`}, b.Args...)
	argv := p.Container(b)
	argv[slices.Index(argv, "none")] = "host"
	return s.ended(p.Run(append([]string{"run", "--rm"}, argv...)...))
}
