package rules

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
)

// Rule allows one device.
type Rule struct {
	kind         string // c or b
	major, minor int64
	permissions  string
}

func (r Rule) String() string {
	return fmt.Sprintf("%s %d:%d %s", r.kind, r.major, r.minor, r.permissions)
}

// Of returns the rules that the nodes need, each once. A node that could not be made needs none.
func Of(nodes []*devices.DeviceNode) []Rule {
	var out []Rule
	for _, d := range nodes {
		r := Rule{d.Type, d.Major, d.Minor, d.Permissions}
		isDevice := r.kind == "c" || r.kind == "b"
		if d.Status == devices.Failed || !isDevice || r.permissions == "" || slices.Contains(out, r) {
			continue
		}
		out = append(out, r)
	}
	return out
}

// Missing returns the rules that the nodes need and that config.json does not give. A node that config.json lists may
// still need a rule: the runtime makes nodes from one list and rules from another.
func Missing(container *specs.Spec, nodes []*devices.DeviceNode) []Rule {
	if container.Linux == nil || container.Linux.Resources == nil {
		return Of(nodes)
	}
	given := container.Linux.Resources.Devices
	return Of(slices.DeleteFunc(slices.Clone(nodes), func(d *devices.DeviceNode) bool { return d.Allowed(given) }))
}
