package devices

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// present is what config.json has already. It is made once for all edits, since each path in it has to be cleaned.
type present struct {
	mounts map[presentMount]bool
	nodes  map[presentNode]bool
}

type presentMount struct {
	on, hostPath string
	tmpfs        bool
}

type presentNode struct {
	path, kind   string
	major, minor int64
}

// presentIn returns what the container's config.json has.
func presentIn(container *specs.Spec) present {
	p := present{map[presentMount]bool{}, map[presentNode]bool{}}
	for _, m := range container.Mounts {
		p.mounts[presentMount{path.Clean(m.Destination), path.Clean(m.Source), m.Type == "tmpfs"}] = true
	}
	if container.Linux == nil {
		return p
	}
	for _, d := range container.Linux.Devices {
		kind := strings.Replace(d.Type, "u", "c", 1)
		p.nodes[presentNode{path.Clean(d.Path), kind, d.Major, d.Minor}] = true
	}
	return p
}

// mounted reports whether the host path, or a tmpfs, is mounted on the container path.
func (p present) mounted(hostPath, containerPath string, tmpfs bool) bool {
	return p.mounts[presentMount{path.Clean(containerPath), path.Clean(hostPath), tmpfs}]
}

// has reports whether the node is there, by itself or as a mount.
func (p present) has(d *DeviceNode) bool {
	return p.mounted(d.HostPath, d.Path, false) || p.nodes[presentNode{path.Clean(d.Path), d.Type, d.Major, d.Minor}]
}
