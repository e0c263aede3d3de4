package hook

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// choose settles which of its capabilities a request that names a driver asks for, where the driver has none of its lists
// whole. As with Docker since 29.0 they gate nothing then: of the first list, those stay that the driver's vendor or
// NVIDIA's contract knows, and the others are left out.
func (r *request) choose() {
	if len(r.asked.Capabilities) == 0 || len(r.vendors) > 0 && r.matches(r.vendors[0]) {
		return
	}
	list := r.asked.Capabilities[0]
	if i := slices.IndexFunc(r.asked.Capabilities, r.knowsAll); i >= 0 {
		list = r.asked.Capabilities[i]
	}
	r.chosen = []string{}
	for _, c := range list {
		if r.knows(c) {
			r.chosen = append(r.chosen, c)
		} else {
			r.dropped = append(r.dropped, c)
		}
	}
}

func (r *request) matches(v *config.Vendor) bool {
	_, ok := r.asked.Match(v.Capabilities)
	return ok
}

func (r *request) knowsAll(capabilities []string) bool {
	return !slices.ContainsFunc(capabilities, func(c string) bool { return !r.knows(c) })
}

// knows reports whether a capability means something to the driver that the request names. The driver "cdi" is anybody's.
func (r *request) knows(capability string) bool {
	if len(r.vendors) == 0 {
		return capability == "gpu" || len(nvidia.Selected([]string{capability})) > 0
	}
	v := r.vendors[0]
	return slices.Contains(v.Capabilities, capability) || v.NVIDIA() && len(nvidia.Selected([]string{capability})) > 0
}

// selected are the capabilities by which the request asks the vendor.
func (r *request) selected(v *config.Vendor) []string {
	if r.chosen != nil {
		return r.chosen
	}
	selected, _ := r.asked.Match(v.Capabilities)
	return selected
}

// unknown warns of the capabilities that are left out.
func (p *planner) unknown(r *request) {
	if len(r.dropped) == 0 {
		return
	}
	p.warn(fault.New(fault.Skipped, describe(r), "driver %q has no capability %s, which is left out", r.Driver, strings.Join(r.dropped, ", ")).
		WithHint("ask for capabilities that the driver has; gpu-hook devices lists them"))
}
