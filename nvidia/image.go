package nvidia

import "github.com/gpu-hook/gpu-hook/state"

// LegacyImage reports whether the container's image is of the time before NVIDIA_VISIBLE_DEVICES: it states its CUDA version
// and no requirement of CUDA. Such an image means all devices, if its environment says nothing of devices.
func LegacyImage(c *state.Container) bool {
	version, _ := c.Env(CUDAVersion)
	require, _ := c.Env(RequirePrefix + "CUDA")
	return version != "" && require == ""
}
