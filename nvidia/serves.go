package nvidia

import (
	"path"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/state"
)

// MountRoot is the directory below which mounts of /dev/null request devices, by NVIDIA's convention.
const MountRoot = "/var/run/nvidia-container-devices"

// BelowMountRoot returns the paths below [MountRoot], relative to it, on which the container mounts /dev/null.
func BelowMountRoot(c *state.Container) (unsafePaths []string) {
	for _, m := range c.Spec.Mounts {
		below, found := strings.CutPrefix(path.Clean(m.Destination), MountRoot+"/")
		if found && path.Clean(m.Source) == "/dev/null" {
			unsafePaths = append(unsafePaths, below)
		}
	}
	return unsafePaths
}

// Serves returns what NVIDIA's hook serves when an engine runs it for the container: it decides by its own rules and
// the administrator's configuration of it. variable is the variable that it decides by, or "" if it decides by mounts,
// and value is what that variable or those mounts name. A configuration that cannot be read is taken for NVIDIA's
// defaults.
func (t Toolkit) Serves(c *state.Container) (v contract.Visible, variable, value string) {
	config, err := t.readConfig()
	if err != nil {
		config = map[string]any{}
	}
	if mounts, _ := config[acceptMounts].(bool); mounts {
		if below := BelowMountRoot(c); len(below) > 0 {
			v, _ = VisibleOf(below)
			return v, "", strings.Join(below, ",")
		}
	}
	if !c.Privileged() && !acceptsUnprivileged(config) {
		return contract.Visible{Nothing: "closed"}, "", ""
	}
	preferred, _ := config["swarm-resource"].(string)
	var names, values []string
	for name := range strings.SplitSeq(preferred, ",") {
		if value, set := c.Env(strings.TrimSpace(name)); set {
			names, values = append(names, strings.TrimSpace(name)), append(values, value)
		}
	}
	if value, set := c.Env(VisibleDevices); len(names) == 0 && set {
		names, values = []string{VisibleDevices}, []string{value}
	}
	if len(names) == 0 && LegacyImage(c) {
		value, _ := c.Env(CUDAVersion)
		return contract.Visible{IDs: []string{"all"}}, CUDAVersion, value
	}
	v, err = ParseVisible(strings.Join(values, ","))
	if err != nil {
		v = contract.Visible{Nothing: "no list"}
	}
	return v, strings.Join(names, "+"), strings.Join(values, ",")
}
