package planner

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// features adds what an image requests beside a vendor's devices, by variables such as NVIDIA_GDS: wishes, each a group
// of its own, and only if a device is granted. They never fail the start. If environment does not count, a warning
// reports what it requested.
func (p *Planner) features() {
	for i := range p.Config.Vendors {
		v := &p.Config.Vendors[i]
		features := p.Config.ContractOf(v).Features(p.Container)
		if len(features) == 0 || !p.granted(v) {
			continue
		}
		for _, f := range features {
			r := request.New(request.Env(f.Variable), f.Value).With([]*config.Vendor{v}, []string{f.Kind + "=all"})
			r.Part, r.Weak, r.Pin = f.Kind, true, v.Name+config.DriverCDI
			p.Requests = append(p.Requests, r)
			if why := request.EnvClosed(p.Config, p.Container); why != "" {
				r.Refuse("%s", why)
				p.Warn(fault.New(fault.Refused, r.String(), "%s", why).WithHint("the administrator of this host decides this "+
					"in %s", config.DefaultPath))
				continue
			}
			p.feature(&group{v.Name, v, []*request.Request{r}})
		}
	}
}

// feature has CDI serve the group, or says why it cannot.
func (p *Planner) feature(g *group) {
	driver := g.requests[0].Pin
	failures := []*fault.Error{fault.New(fault.Policy, "",
		"%s is not among the drivers of vendor %s", driver, g.vendor.Name).
		WithHint("the administrator of this host decides this in %s", config.DefaultPath)}
	if slices.Contains(g.vendor.Drivers, driver) {
		t := p.trial(driver, g)
		p.attempt(g, t)
		if t.serves() {
			p.accept(g, driver, t.offer)
			return
		}
		failures = labelled(driver, t.errs)
	}
	// Of wishes it makes a warning alone.
	if err := p.unserved(g.requests, failures); err != nil {
		p.Warn(fault.From(err))
	}
}

// granted reports whether a device of the vendor's is among the grants.
func (p *Planner) granted(v *config.Vendor) bool {
	for _, g := range p.grants {
		r := p.Requests[g.Request]
		own := func(o *config.Vendor) bool { return o.Name == v.Name }
		if slices.ContainsFunc(r.Vendors, own) && r.Part == "" && !r.Files {
			return true
		}
	}
	return false
}
