package nvidia

import "github.com/gpu-hook/gpu-hook/state"

// LegacyImage reports whether the container's image was made before NVIDIA_VISIBLE_DEVICES existed. Such an image
// states its CUDA version and does not require one. It requests all devices if the variable is not set.
func LegacyImage(c *state.Container) bool {
	version, _ := c.Env(CUDAVersion)
	require, _ := c.Env(RequirePrefix + "CUDA")
	return version != "" && require == ""
}
