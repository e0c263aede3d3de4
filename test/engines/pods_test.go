package engines

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// podman kube play gives the pod's annotations to each of its containers, but does not give a container its name.
// gpu-hook finds the name where podman keeps it.
func TestKubePlay(t *testing.T) {
	for _, e := range players(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			o := s.played(e, s.fixture("pod.yaml"))
			o.has(t, "nvidia0", "nvidia1", "nvidiactl")
		})
	}
}

// A pod requests devices for all of its containers, whose root filesystems are read-only.
func TestKubePlayReadOnly(t *testing.T) {
	for _, e := range players(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			pod := strings.NewReplacer("gpus.a", "gpus",
				"name: a,", "name: a, securityContext: {readOnlyRootFilesystem: true},").Replace(s.fixture("pod.yaml"))
			s.played(e, pod).has(t, "nvidia0", "nvidia1", "nvidiactl")
		})
	}
}

// players returns the podmans that can play a pod here. On version 2, podman before 5.0 may give the cgroup of a pod a
// device program that denies every device. Then none of the pod's containers starts, with or without gpu-hook.
func players(t *testing.T) []starter {
	t.Helper()
	if require.Cgroup(t) == 2 && engine.PodmanMajor() < 5 {
		t.Log("this podman plays no pod on version 2; the run on version 1 tests this")
		return nil
	}
	return stagings(t)
}

// played returns what container a of pod p printed.
func (s *site) played(e starter, pod string) outcome {
	s.t.Helper()
	s.write("containers.conf",
		"[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\npids_limit = 0\n"+
			"[engine]\ninfra_image = \"localhost/gpu-hook-test\"\n", 0o644)
	s.t.Setenv("CONTAINERS_CONF", s.Host.Path("containers.conf"))
	// The cgroups of a pod cannot be placed elsewhere, and podman leaves some of them behind. One that is in use stays.
	s.t.Cleanup(func() { _ = engine.RemoveCgroups("/libpod_parent") })
	var b gpuhost.Bundle
	p := s.sessionOf(e, &b)
	// The infra container must end when it is told to.
	s.image(p, []string{`CMD ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]`}, nil)
	s.write("pod.yaml", pod, 0o644)
	s.t.Cleanup(func() {
		_ = s.ended(p.Run("pod", "kill", "p"))
		_ = s.ended(p.Run("pod", "rm", "--force", "p"))
	})
	s.podmanRun(p, "kube", "play", "--network", "none", "--log-driver", "k8s-file", s.Host.Path("pod.yaml"))
	_ = s.ended(p.Run("wait", "p-a"))
	return s.podmanRun(p, "logs", "p-a")
}
