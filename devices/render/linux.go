package render

import (
	"encoding/json"
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
)

func (p Plan) linux(spec object) error {
	return spec.within("linux", func(linux object) error {
		for _, change := range []func(object) error{p.nodes, p.rules, p.netDevices, p.intelRdt} {
			if err := change(linux); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p Plan) nodes(linux object) error {
	add := slices.DeleteFunc(slices.Clone(p.Edits.DeviceNodes), func(d *devices.DeviceNode) bool { return d.Status != devices.Apply })
	if len(add) == 0 || p.Bind {
		return nil
	}
	var have []json.RawMessage
	if err := linux.read("devices", &have); err != nil {
		return err
	}
	for _, d := range add {
		have = slices.DeleteFunc(have, func(o json.RawMessage) bool { return path.Clean(nodePath(o)) == path.Clean(d.Path) })
		raw, err := encode(specs.LinuxDevice{
			Path: d.Path, Type: d.Type, Major: d.Major, Minor: d.Minor, FileMode: d.FileMode, UID: d.UID, GID: d.GID,
		})
		if err != nil {
			return err
		}
		have = append(have, raw)
	}
	return linux.set("devices", have)
}

func nodePath(device json.RawMessage) string {
	var d struct {
		Path string `json:"path"`
	}
	_ = json.Unmarshal(device, &d) // what is no device has no path
	return d.Path
}

// rules opens the nodes, also those that are there: runtimes make nodes from one list and rules from another. A new rule
// stands last, and so over what is there.
func (p Plan) rules(linux object) error {
	return linux.within("resources", func(resources object) error {
		var have []json.RawMessage
		var rules []specs.LinuxDeviceCgroup
		if err := resources.read("devices", &have); err != nil {
			return err
		}
		if err := resources.read("devices", &rules); err != nil {
			return err
		}
		before := len(rules)
		for _, d := range p.Edits.DeviceNodes {
			if (d.Status != devices.Apply && d.Status != devices.Present) || d.Allowed(rules) {
				continue
			}
			rule := specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: d.Permissions}
			raw, err := encode(rule)
			if err != nil {
				return err
			}
			rules, have = append(rules, rule), append(have, raw)
		}
		if len(rules) == before {
			return nil
		}
		return resources.set("devices", have)
	})
}

func (p Plan) netDevices(linux object) error {
	return linux.within("netDevices", func(have object) error {
		for _, n := range p.Edits.NetDevices {
			if n.Status != devices.Apply {
				continue
			}
			if err := have.set(n.HostInterfaceName, specs.LinuxNetDevice{Name: n.Name}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p Plan) intelRdt(linux object) error {
	for _, rdt := range p.Edits.IntelRdt {
		if rdt.Status != devices.Apply {
			continue
		}
		setting := specs.LinuxIntelRdt{ClosID: rdt.ClosID}
		if s := rdt.Setting; s != nil {
			setting = specs.LinuxIntelRdt{
				ClosID: s.ClosID, Schemata: s.Schemata, L3CacheSchema: s.L3CacheSchema, MemBwSchema: s.MemBwSchema, EnableMonitoring: s.EnableMonitoring,
			}
		}
		if err := linux.set("intelRdt", setting); err != nil {
			return err
		}
	}
	return nil
}
