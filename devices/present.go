package devices

import (
	"path"
	"strings"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// carried finds the mounts and nodes that config.json has already. A container can have as many of them as a Spec has
// edits, so that they are not compared in pairs.
type carried struct {
	mountSet func() map[carriedMount]bool
	nodeSet  func() map[carriedNode]bool
}

type carriedMount struct {
	source, destination string
	tmpfs               bool
}

type carriedNode struct {
	path, kind   string
	major, minor int64
}

// carriedOf returns what the container carries. It is not read before the first question.
func carriedOf(container *specs.Spec) *carried {
	return &carried{
		sync.OnceValue(func() map[carriedMount]bool { return mountsIn(container) }),
		sync.OnceValue(func() map[carriedNode]bool { return nodesIn(container) }),
	}
}

func mountsIn(container *specs.Spec) map[carriedMount]bool {
	out := make(map[carriedMount]bool, len(container.Mounts))
	for _, m := range container.Mounts {
		out[carriedMount{path.Clean(m.Source), path.Clean(m.Destination), m.Type == "tmpfs"}] = true
	}
	return out
}

func nodesIn(container *specs.Spec) map[carriedNode]bool {
	if container.Linux == nil {
		return nil
	}
	out := make(map[carriedNode]bool, len(container.Linux.Devices))
	for _, d := range container.Linux.Devices {
		out[carriedNode{path.Clean(d.Path), strings.Replace(d.Type, "u", "c", 1), d.Major, d.Minor}] = true
	}
	return out
}

// mounts reports whether config.json mounts the host path, or a tmpfs, on the container path.
func (c *carried) mounts(hostPath, containerPath string, tmpfs bool) bool {
	return c.mountSet()[carriedMount{path.Clean(hostPath), path.Clean(containerPath), tmpfs}]
}

// has reports whether config.json has the node.
func (c *carried) has(d *DeviceNode) bool {
	return c.nodeSet()[carriedNode{path.Clean(d.Path), d.Type, d.Major, d.Minor}]
}
