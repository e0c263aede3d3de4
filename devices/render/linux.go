package render

import (
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// linux adds device rules and sets Intel RDT.
func (p Plan) linux(spec object) (changed bool, err error) {
	err = spec.within("linux", func(linux object) error {
		if changed, err = p.rules(linux); err != nil || p.IntelRdt == nil {
			return err
		}
		changed = true
		setting := specs.LinuxIntelRdt{ClosID: p.IntelRdt.ClosID}
		if s := p.IntelRdt.Setting; s != nil {
			setting = specs.LinuxIntelRdt{
				ClosID: s.ClosID, Schemata: s.Schemata, L3CacheSchema: s.L3CacheSchema, MemBwSchema: s.MemBwSchema,
				EnableMonitoring: s.EnableMonitoring,
			}
		}
		return linux.set("intelRdt", setting)
	})
	return changed, err
}

// rules adds device rules for the nodes of the plan that need them, also for nodes that config.json already has:
// runtimes make nodes from one list and rules from another. A new rule comes last, so that it overrides those before
// it.
func (p Plan) rules(linux object) (changed bool, err error) {
	err = linux.within("resources", func(resources object) error {
		var have []json.RawMessage
		var rules []specs.LinuxDeviceCgroup
		if err := resources.read("devices", &have); err != nil {
			return err
		}
		if err := resources.read("devices", &rules); err != nil {
			return err
		}
		for _, d := range p.Rules {
			if d.Allowed(rules) {
				continue
			}
			rule := specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: d.Permissions}
			raw, err := encode(rule)
			if err != nil {
				return err
			}
			rules, have, changed = append(rules, rule), append(have, raw), true
		}
		if !changed {
			return nil
		}
		return resources.set("devices", have)
	})
	return changed, err
}
