package devices

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Allowed reports whether the device rules give the node all the access that it needs. A later rule overrides an
// earlier one.
func (d *DeviceNode) Allowed(rules []specs.LinuxDeviceCgroup) bool {
	if d.Permissions == "" || (d.Type != "c" && d.Type != "b") {
		return true
	}
	given := false
	for _, r := range rules {
		if d.covered(r) {
			given = r.Allow && strings.Trim(d.Permissions, r.Access) == ""
		}
	}
	return given
}

// covered reports whether the rule is about the device, for some or all access.
func (d *DeviceNode) covered(r specs.LinuxDeviceCgroup) bool {
	number := func(have *int64, want int64) bool { return have == nil || *have == -1 || *have == want }
	kind := r.Type == "" || r.Type == "a" || r.Type == d.Type
	access := r.Allow || strings.ContainsAny(d.Permissions, r.Access) || r.Access == ""
	return kind && number(r.Major, d.Major) && number(r.Minor, d.Minor) && access
}
