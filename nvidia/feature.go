package nvidia

import "github.com/gpu-hook/gpu-hook/state"

// Enabled is the one value by which a variable asks for a [Feature].
const Enabled = "enabled"

// Feature is something beside GPUs that an image asks for by a variable, and its CDI kind.
type Feature struct{ Variable, Kind string }

// Features returns what the container's environment enables, in a fixed order.
func Features(c *state.Container) []Feature {
	var out []Feature
	for _, f := range []Feature{
		{"NVIDIA_GDS", "nvidia.com/gds"},
		{"NVIDIA_MOFED", "nvidia.com/mofed"},
		{"NVIDIA_GDRCOPY", "nvidia.com/gdrcopy"},
		{"NVIDIA_NVSWITCH", "nvidia.com/nvswitch"},
	} {
		if value, _ := c.Env(f.Variable); value == Enabled {
			out = append(out, f)
		}
	}
	return out
}
