package engines

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// podman kube play gives the pod's annotations to each of its containers. The one that an annotation names gets its GPUs;
// where its name is not to be had the start fails, with words that are true of podman.
func TestKubePlay(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			s.write("containers.conf", "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\npids_limit = 0\nlog_driver = \"k8s-file\"\n[engine]\ninfra_image = \"localhost/gpu-hook-test\"\n", 0o644)
			t.Setenv("CONTAINERS_CONF", s.Host.Path("containers.conf"))
			var b gpuhost.Bundle
			p := s.sessionOf(e, &b)
			s.image(p, []string{`CMD ["sleep", "600"]`}, nil)
			s.write("pod.yaml", s.fixture("pod.yaml"), 0o644)
			t.Cleanup(func() { _ = s.ended(p.Run("pod", "rm", "--force", "--time", "0", "--all")) })
			o := s.ended(p.Run("kube", "play", s.Host.Path("pod.yaml")))
			if o.Status != 0 || strings.Contains(o.Stderr, "rror") {
				if r := s.last(); len(r.Errors) != 1 || strings.Contains(r.Errors[0].Message+r.Errors[0].Hint, "outside of pods") {
					t.Errorf("status %d: %s\nrecord: %+v", o.Status, o.Stderr, r.Errors)
				}
				return
			}
			_ = s.ended(p.Run("wait", "p-a"))
			s.podmanRun(p, "logs", "p-a").has(t, "nvidia0", "nvidia1")
		})
	}
}
