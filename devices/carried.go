package devices

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// NodesOf returns the paths of the device nodes that config.json already gives to the container: those in
// linux.devices, and mounts below /dev, which engines use instead in a user namespace.
func NodesOf(container *specs.Spec) []string {
	var out []string
	if container.Linux != nil {
		for _, d := range container.Linux.Devices {
			out = append(out, path.Clean(d.Path))
		}
	}
	for _, m := range container.Mounts {
		if strings.HasPrefix(path.Clean(m.Destination), "/dev/") {
			out = append(out, path.Clean(m.Destination))
		}
	}
	return out
}

// Carried returns the devices of the kind that a container with these nodes already has, one name for each. It has a
// device if it has all of the device's own nodes, or one of them that no other device has: a GPU's /dev/nvidia0, but
// not AMD's /dev/kfd, which all GPUs share.
func (r *Registry) Carried(kind string, nodes []string) []string {
	names := r.Every(kind)
	return slices.DeleteFunc(names, func(name string) bool { return !r.carries(name, names, nodes) })
}

// Covered reports whether the named devices are all among the carried ones, by these or other names. A name of several
// devices, such as "all", is covered if each of its own nodes belongs to a carried device.
func (r *Registry) Covered(names, carried []string) bool {
	var nodes []string
	for _, name := range carried {
		nodes = append(nodes, r.ownNodes(name)...)
	}
	return !slices.ContainsFunc(names, func(name string) bool {
		if slices.ContainsFunc(carried, func(o string) bool { return o == name || r.same(o, name) }) {
			return false
		}
		own := r.ownNodes(name)
		return len(own) == 0 || slices.ContainsFunc(own, func(node string) bool { return !slices.Contains(nodes, node) })
	})
}

// Defines reports whether a Spec of this host defines the name.
func (r *Registry) Defines(name string) bool { return r.device(name) != nil }

// OwnNode reports whether a Spec gives the node to one of the named devices itself, and not to all devices of the Spec.
func (r *Registry) OwnNode(node string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(r.ownNodes(name), node) })
}

// carries reports whether a container with these nodes has the device, as [Registry.Carried] defines it. others are the
// devices of its kind.
func (r *Registry) carries(name string, others, nodes []string) bool {
	own := r.ownNodes(name)
	missing := func(node string) bool { return !slices.Contains(nodes, node) }
	if len(own) == 0 || !slices.ContainsFunc(own, missing) {
		return len(own) > 0
	}
	shared := func(node string) bool {
		return slices.ContainsFunc(others, func(o string) bool { return o != name && slices.Contains(r.ownNodes(o), node) })
	}
	return slices.ContainsFunc(own, func(node string) bool { return !missing(node) && !shared(node) })
}

// ownNodes returns the paths of the nodes in the device's own edits.
func (r *Registry) ownNodes(name string) []string {
	d := r.device(name)
	if d == nil {
		return nil
	}
	var out []string
	for _, node := range d.raw.ContainerEdits.DeviceNodes {
		out = append(out, path.Clean(node.Path))
	}
	return out
}
