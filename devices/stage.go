package devices

import (
	"tags.cncf.io/container-device-interface/pkg/cdi"

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

// RunBy reports why the runtime must not be given the hook to run with the host's root rights. A startContainer hook is a
// program of the container's own, and runs as that.
func (h *Hook) RunBy(owner trust.Owner) error {
	if h.HookName == cdi.StartContainerHook {
		return nil
	}
	return h.trusted(owner)
}
