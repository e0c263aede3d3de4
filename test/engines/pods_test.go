package engines

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// podman kube play gives the pod's annotations to each of its containers, but no container its name. The one that an
// annotation names gets its GPUs, or, where podman's name for it is not to be had, the record has words that are true of
// podman.
func TestKubePlay(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			o := s.played(e, s.fixture("pod.yaml"))
			if s.last().Result != report.ResultApplied {
				s.saysTheTruth()
				return
			}
			o.has(t, "nvidia0", "nvidia1", "nvidiactl")
		})
	}
}

// A pod's request for all of its containers, whose root filesystem is read-only.
func TestKubePlayReadOnly(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			pod := strings.NewReplacer("gpus.a", "gpus", "name: a,", "name: a, securityContext: {readOnlyRootFilesystem: true},").Replace(s.fixture("pod.yaml"))
			s.played(e, pod).has(t, "nvidia0", "nvidia1", "nvidiactl")
		})
	}
}

// played is what container a of pod p printed.
func (s *site) played(e starter, pod string) outcome {
	s.t.Helper()
	s.write("containers.conf", "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\npids_limit = 0\n[engine]\ninfra_image = \"localhost/gpu-hook-test\"\n", 0o644)
	s.t.Setenv("CONTAINERS_CONF", s.Host.Path("containers.conf"))
	// The cgroups of a pod cannot be put elsewhere, and podman leaves some of them. One that is in use stays.
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
	s.podmanRun(p, "kube", "play", "--log-driver", "k8s-file", s.Host.Path("pod.yaml"))
	_ = s.ended(p.Run("wait", "p-a"))
	return s.podmanRun(p, "logs", "p-a")
}

// saysTheTruth checks that gpu-hook last gives a reason, and not that the container is outside of pods.
func (s *site) saysTheTruth() {
	s.t.Helper()
	o, err := s.GPUHook("last")
	if err != nil || !strings.Contains(o.Stdout, "gpu-hook/gpus.a") || !strings.Contains(o.Stdout, "hint") || strings.Contains(o.Stdout, "outside of pods") {
		s.t.Errorf("gpu-hook last: %v %s%s", err, o.Stdout, o.Stderr)
	}
}
