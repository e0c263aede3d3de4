package state

import (
	"io"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// config is what of config.json is read. Of specs.Spec as a whole encoding/json makes tables that take a quarter of the
// time of a container that requests nothing.
type config struct {
	Version     string            `json:"ociVersion"`
	Process     *process          `json:"process"`
	Root        *specs.Root       `json:"root"`
	Mounts      []mount           `json:"mounts"`
	Hooks       *specs.Hooks      `json:"hooks"`
	Annotations map[string]string `json:"annotations"`
	Linux       *linuxConfig      `json:"linux"`
}

type process struct {
	User         specs.User               `json:"user"`
	Args         []string                 `json:"args"`
	Env          []string                 `json:"env"`
	Cwd          string                   `json:"cwd"`
	Capabilities *specs.LinuxCapabilities `json:"capabilities"`
}

type mount struct {
	Destination string `json:"destination"`
	Type        string `json:"type"`
	Source      string `json:"source"`
}

type linuxConfig struct {
	Resources *struct {
		Devices []specs.LinuxDeviceCgroup `json:"devices"`
	} `json:"resources"`
	CgroupsPath string                          `json:"cgroupsPath"`
	Namespaces  []specs.LinuxNamespace          `json:"namespaces"`
	Devices     []specs.LinuxDevice             `json:"devices"`
	NetDevices  map[string]specs.LinuxNetDevice `json:"netDevices"`
	IntelRdt    *specs.LinuxIntelRdt            `json:"intelRdt"`
}

// decodeConfig reads a config.json of size bytes, or of an unknown size if it is 0. Of the result only what config
// lists is set.
func decodeConfig(r io.Reader, size int64) (*specs.Spec, error) {
	var c *config
	if _, err := decode(r, size, limits.Config, &c); err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errNull
	}
	spec := &specs.Spec{Version: c.Version, Root: c.Root, Hooks: c.Hooks, Annotations: c.Annotations}
	for _, m := range c.Mounts {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: m.Destination, Type: m.Type, Source: m.Source})
	}
	if p := c.Process; p != nil {
		spec.Process = &specs.Process{
			User: p.User, Args: p.Args, Env: p.Env, Cwd: p.Cwd, Capabilities: p.Capabilities,
		}
	}
	if l := c.Linux; l != nil {
		spec.Linux = &specs.Linux{
			CgroupsPath: l.CgroupsPath, Namespaces: l.Namespaces, Devices: l.Devices, NetDevices: l.NetDevices,
			IntelRdt: l.IntelRdt,
		}
		if l.Resources != nil {
			spec.Linux.Resources = &specs.LinuxResources{Devices: l.Resources.Devices}
		}
	}
	return spec, nil
}
