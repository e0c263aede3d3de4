package devices

import (
	"strconv"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/trust"
)

// Statuses returns where the status of each edit stands, list by list in the order of the JSON form.
func (e *Edits) Statuses() []*Status {
	var out []*Status
	for _, v := range e.Env {
		out = append(out, &v.Status)
	}
	for _, d := range e.DeviceNodes {
		out = append(out, &d.Status)
	}
	for _, m := range e.Mounts {
		out = append(out, &m.Status)
	}
	for _, h := range e.Hooks {
		out = append(out, &h.Status)
	}
	for _, n := range e.NetDevices {
		out = append(out, &n.Status)
	}
	for _, g := range e.AdditionalGIDs {
		out = append(out, &g.Status)
	}
	for _, rdt := range e.IntelRdt {
		out = append(out, &rdt.Status)
	}
	return out
}

// InSpec turns completed edits into those that are to be made in a runtime-spec object of the version, before there is a
// container: there nothing is late but network devices, which runtime-spec knows since 1.3. A hook that must not be run is
// Skipped, with a warning, where the rule lets a container do without it, and else the error.
func (e *Edits) InSpec(version string, owner trust.Owner, rule Optional) (skipped []*fault.Error, err error) {
	for _, h := range e.Hooks {
		// A startContainer hook is a program of the container's own.
		if h.Status != Late || h.HookName == cdi.StartContainerHook {
			continue
		}
		if err := h.trusted(owner); err != nil {
			note := rule.Hook(h, err)
			if note == nil {
				return nil, err
			}
			h.Status, skipped = Skipped, append(skipped, note)
		}
	}
	for _, s := range e.Statuses() {
		if *s == Late {
			*s = Apply
		}
	}
	for _, n := range e.NetDevices {
		if n.Status == Apply && !knowsNetDevices(version) {
			n.Status = Late
		}
	}
	return skipped, nil
}

// knowsNetDevices says whether runtime-spec of the version has linux.netDevices.
func knowsNetDevices(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	minor, err := strconv.Atoi(parts[1])
	return err == nil && (major > 1 || major == 1 && minor >= 3)
}
