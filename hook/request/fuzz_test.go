package request

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// FuzzGather: what a container carries is requested, refused or a mistake, each time the same, and never more than the
// bounds allow. A source that does not count grants nothing.
func FuzzGather(f *testing.F) {
	f.Add("gpu-hook/gpus", "all", "NVIDIA_VISIBLE_DEVICES=0,1", "0", "podman")
	f.Add("gpu-hook/gpus.main", `[{"Count":1},{"DeviceIDs":["0"]}]`, "AMD_VISIBLE_DEVICES=0-2", "imex/all", "cri-o")
	f.Add("cdi.k8s.io/x_y", "nvidia.com/gpu=0,amd.com/gpu=all", "CUDA_VERSION=12.4", "cdi/nvidia.com/gpu/0", "")
	f.Add("GPU-Hook/gpus", "\"device=0", "NVIDIA_IMEX_CHANNELS=0", "../0", "containerd")
	f.Add("\"gpu-hook/gpus", "device=0\"", "=all", "all,none", "buildah")
	f.Add("io.kubernetes.cri-o.Annotations", `{"gpu-hook/gpus":"1"}`, "NVIDIA_MIG_CONFIG_DEVICES=all", "", "cri-o")
	f.Fuzz(func(t *testing.T, key, value, env, mount, engine string) {
		a := asking{
			engine: engine, null: []string{mount}, env: []string{env, "NVIDIA_GDS=enabled"},
			annotations: map[string]string{key: value, "io.kubernetes.container.name": "main"},
		}
		got := a.gather()
		if diff := gocmp.Diff(lines(got), lines(a.gather())); diff != "" {
			t.Errorf("it is not the same again: %s", diff)
		}
		order, _ := Sources(a.config(), a.container())
		devices := 0
		for _, r := range got {
			devices += len(r.IDs)
			closed := r.Status == plan.Refused || r.Engine
			if !slices.Contains(order, r.Origin.Kind) && !closed {
				t.Errorf("its source does not count, and it is %q: %s", r.Status, line(r))
			}
			if r.Status == plan.Refused && r.Reason == "" {
				t.Errorf("it is refused without a reason: %s", line(r))
			}
		}
		if most := 4 * limits.Devices; devices > most {
			t.Errorf("%d devices", devices)
		}
	})
}
