package request

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
)

// chooseCapabilities settles which of its capabilities a request that names a driver selects, if the driver has none of
// the request's lists whole. As in Docker since 29.0 they do not gate the driver then: of the first list that means
// something throughout, else of the first, those stay that mean something to the driver; the others are left out.
func (g *gatherer) chooseCapabilities(r *Request) {
	if len(r.Asked.Capabilities) == 0 || len(r.Vendors) > 0 && r.matches(r.Vendors[0]) {
		return
	}
	unknown := func(capability string) bool { return !g.knows(r, capability) }
	list := r.Asked.Capabilities[0]
	known := func(all []string) bool { return !slices.ContainsFunc(all, unknown) }
	if i := slices.IndexFunc(r.Asked.Capabilities, known); i >= 0 {
		list = r.Asked.Capabilities[i]
	}
	r.chosen = []string{}
	for _, c := range list {
		if unknown(c) {
			r.dropped = append(r.dropped, c)
		} else {
			r.chosen = append(r.chosen, c)
		}
	}
}

// knows reports whether a capability means something to the driver that the request names. The driver "cdi" is every
// vendor's.
func (g *gatherer) knows(r *Request, capability string) bool {
	selects := func(v *config.Vendor) bool { return len(g.config.ContractOf(v).Selected([]string{capability})) > 0 }
	if len(r.Vendors) == 0 {
		return capability == "gpu" || slices.ContainsFunc(g.config.Vendors, func(v config.Vendor) bool { return selects(&v) })
	}
	v := r.Vendors[0]
	return slices.Contains(v.Capabilities, capability) || selects(v)
}

func (r *Request) matches(v *config.Vendor) bool {
	_, ok := r.Asked.Match(v.Capabilities)
	return ok
}

// Selected returns the capabilities by which the request chooses the vendor or a part of its driver.
func (r *Request) Selected(v *config.Vendor) []string {
	if r.chosen != nil {
		return r.chosen
	}
	selected, _ := r.Asked.Match(v.Capabilities)
	return selected
}

// Dropped returns the capabilities of the request that mean nothing to the driver that it names, and are left out.
func (r *Request) Dropped() []string { return r.dropped }
