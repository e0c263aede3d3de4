package planner

import (
	"testing"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// What the vendor's own hook will not give is told where it serves, and not where CDI does, which gives what its Specs
// have.
func TestCapabilitiesOfTheHookAlone(t *testing.T) {
	for driver, want := range map[string]int{"nvidia.runtime-hook": 1, "nvidia.cdi": 0} {
		p, _ := scene{
			host: withHook(), gpus: "driver=" + driver, env: []string{"NVIDIA_DRIVER_CAPABILITIES=compute"},
			container: func(c *state.Container) { c.Spec.Process.Args = []string{"nvidia-smi"} },
		}.plan(t)
		if p.Failed() || len(p.Warnings) != want || want == 1 && p.Warnings[0].Code() != fault.Skipped {
			t.Errorf("%s: %v %v", driver, p.Errors, p.Warnings)
		}
	}
}
