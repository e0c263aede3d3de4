package devices

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

// NodesOf returns the paths of the device nodes that config.json already gives to the container: those in
// linux.devices, and bind mounts below /dev, which engines use instead in a user namespace.
func NodesOf(container *specs.Spec) []string {
	var out []string
	if container.Linux != nil {
		for _, d := range container.Linux.Devices {
			out = append(out, path.Clean(d.Path))
		}
	}
	for _, m := range container.Mounts {
		if bindsNode(m) {
			out = append(out, path.Clean(m.Destination))
		}
	}
	return out
}

// bindsNode reports whether the mount can be a device node below /dev, or a directory of some. What engines mount there
// in every container cannot be, and so few containers have any nodes.
func bindsNode(m specs.Mount) bool {
	destination := path.Clean(m.Destination)
	bind := slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
	switch {
	case destination == "/dev/shm", destination == "/dev/mqueue": // which engines bind, too
		return false
	case !bind && slices.Contains([]string{"devpts", "tmpfs", "mqueue"}, m.Type):
		return false
	}
	return strings.HasPrefix(destination, "/dev/")
}

// Carried returns the devices of the kind that a container with these nodes already has, one name for each. It has a
// device if it has all of the device's own nodes, or one of them that no other device has: a GPU's /dev/nvidia0, but
// not AMD's /dev/kfd, which all GPUs share.
func (r *Registry) Carried(kind string, nodes []string) []string {
	if !r.touched(kind, nodes) {
		return nil
	}
	names, has := r.Every(kind), Set(nodes)
	owners := map[string]int{} // how many devices have a node
	for _, name := range names {
		for node := range Set(r.ownNodes(name)) {
			owners[node]++
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return !carries(r.ownNodes(name), owners, has) })
}

// Set returns the texts of the list as a set.
func Set(list []string) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, s := range list {
		out[s] = true
	}
	return out
}

// touched reports whether a device of the kind has one of the nodes itself. For 1,025 devices it takes a fraction of
// the time of [Registry.Every], which sorts their names and finds those of one device.
func (r *Registry) touched(kind string, nodes []string) bool {
	r.need(kind)
	set := Set(nodes)
	for name, d := range r.devices {
		has := func(node *cdispecs.DeviceNode) bool { return set[path.Clean(node.Path)] }
		if kindOf(name) == kind && slices.ContainsFunc(d.raw.ContainerEdits.DeviceNodes, has) {
			return true
		}
	}
	return false
}

// Covered reports whether the named devices are all among the carried ones, by these or other names. A name of several
// devices, such as "all", is covered if each of its own nodes belongs to a carried device.
func (r *Registry) Covered(names, carried []string) bool {
	nodes, groups := r.OwnNodes(carried), r.alike(carried)
	return !slices.ContainsFunc(names, func(name string) bool {
		if slices.ContainsFunc(groups[r.mark(name)], func(o string) bool { return o == name || r.same(o, name) }) {
			return false
		}
		own := r.ownNodes(name)
		return len(own) == 0 || slices.ContainsFunc(own, func(node string) bool { return !nodes[node] })
	})
}

// Defines reports whether a Spec of this host defines the name.
func (r *Registry) Defines(name string) bool { return r.device(name) != nil }

// OwnNodes returns the nodes that a Spec gives to one of the named devices itself, and not to all devices of the Spec.
func (r *Registry) OwnNodes(names []string) map[string]bool {
	out := map[string]bool{}
	for _, name := range names {
		for _, node := range r.ownNodes(name) {
			out[node] = true
		}
	}
	return out
}

// carries reports whether a container that has these nodes has the device with its own nodes, as [Registry.Carried]
// defines it. owners says how many devices of its kind have a node.
func carries(own []string, owners map[string]int, has map[string]bool) bool {
	if len(own) == 0 || !slices.ContainsFunc(own, func(node string) bool { return !has[node] }) {
		return len(own) > 0
	}
	return slices.ContainsFunc(own, func(node string) bool { return has[node] && owners[node] == 1 })
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
