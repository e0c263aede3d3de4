package engines

import (
	"strings"
	"testing"

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
			s.write("containers.conf", "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\npids_limit = 0\n[engine]\ninfra_image = \"localhost/gpu-hook-test\"\n", 0o644)
			t.Setenv("CONTAINERS_CONF", s.Host.Path("containers.conf"))
			// The cgroups of a pod cannot be put elsewhere, and podman leaves some of them. One that is in use stays.
			t.Cleanup(func() { _ = engine.RemoveCgroups("/libpod_parent") })
			var b gpuhost.Bundle
			p := s.sessionOf(e, &b)
			// The infra container must end when it is told to.
			s.image(p, []string{`CMD ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]`}, nil)
			s.write("pod.yaml", s.fixture("pod.yaml"), 0o644)
			t.Cleanup(func() {
				_ = s.ended(p.Run("pod", "kill", "p"))
				_ = s.ended(p.Run("pod", "rm", "--force", "p"))
			})
			s.podmanRun(p, "kube", "play", "--log-driver", "k8s-file", s.Host.Path("pod.yaml"))
			_ = s.ended(p.Run("wait", "p-a"))
			o := s.podmanRun(p, "logs", "p-a")
			if r := s.last(); r.Result != "applied" {
				s.saysTheTruth()
				return
			}
			o.has(t, "nvidia0", "nvidia1", "nvidiactl")
		})
	}
}

// saysTheTruth checks that gpu-hook last gives a reason, and not that the container is outside of pods.
func (s *site) saysTheTruth() {
	s.t.Helper()
	o, err := s.GPUHook("last")
	if err != nil || !strings.Contains(o.Stdout, "gpu-hook/gpus.a") || !strings.Contains(o.Stdout, "hint") || strings.Contains(o.Stdout, "outside of pods") {
		s.t.Errorf("gpu-hook last: %v %s%s", err, o.Stdout, o.Stderr)
	}
}
