package devices

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Allowed reports whether device rules, of which later ones stand over earlier ones, give the node all that it needs.
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

// covered reports whether a rule is about the device, for some or all access.
func (d *DeviceNode) covered(r specs.LinuxDeviceCgroup) bool {
	number := func(have *int64, want int64) bool { return have == nil || *have == -1 || *have == want }
	kind := r.Type == "" || r.Type == "a" || r.Type == d.Type
	return kind && number(r.Major, d.Major) && number(r.Minor, d.Minor) && (r.Allow || strings.ContainsAny(d.Permissions, r.Access) || r.Access == "")
}
