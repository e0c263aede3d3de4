package nvidia

import (
	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/state"
)

// Features returns the features that the container's environment enables beside GPUs, in a fixed order.
func Features(c *state.Container) []contract.Feature {
	const enabled = "enabled" // no other value counts
	var out []contract.Feature
	for _, f := range []contract.Feature{
		{Variable: "NVIDIA_GDS", Value: enabled, Kind: "nvidia.com/gds"},
		{Variable: "NVIDIA_MOFED", Value: enabled, Kind: "nvidia.com/mofed"},
		{Variable: "NVIDIA_GDRCOPY", Value: enabled, Kind: "nvidia.com/gdrcopy"},
		{Variable: "NVIDIA_NVSWITCH", Value: enabled, Kind: "nvidia.com/nvswitch"},
	} {
		if value, _ := c.Env(f.Variable); value == f.Value {
			out = append(out, f)
		}
	}
	return out
}
