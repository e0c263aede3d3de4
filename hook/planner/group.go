package planner

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/precedence"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// group is the requests of one vendor, which one driver serves.
type group struct {
	name     string
	vendor   *config.Vendor // nil for a vendor that is not configured
	requests []*request.Request
}

// same reports whether the groups are the same requests of one vendor.
func (g *group) same(o *group) bool {
	return g.vendor == o.vendor && slices.Equal(g.requests, o.requests)
}

// wish reports whether all of the group are wishes.
func (g *group) wish() bool {
	return !slices.ContainsFunc(g.requests, func(r *request.Request) bool { return !r.Weak })
}

// groups puts the winners of each vendor together, in the order of the first of each.
func groups(winners []*request.Request) []*group {
	var out []*group
	for _, r := range winners {
		if r.Status == plan.Unserved {
			continue
		}
		i := slices.IndexFunc(out, func(g *group) bool { return g.name == r.Vendor })
		if i < 0 {
			g := &group{name: r.Vendor}
			if len(r.Vendors) > 0 {
				g.vendor = r.Vendors[0]
			}
			out, i = append(out, g), len(out)
		}
		out[i].requests = append(out[i].requests, r)
	}
	return out
}

// apart returns what of the group was asked for, as a group of its own, and its wishes.
func (g *group) apart() (asked *group, wishes part) {
	asked, wishes = &group{name: g.name, vendor: g.vendor}, newPart()
	for _, r := range g.requests {
		if r.Weak {
			wishes.requests = append(wishes.requests, r)
		} else {
			asked.requests = append(asked.requests, r)
		}
	}
	return asked, wishes
}

// chooseVendor settles which vendor a request goes to that may go to several: the first whose drivers can serve it. One
// vendor's tools on the host do not hide another's devices.
func (p *Planner) chooseVendor(r *request.Request) error {
	if len(r.Vendors) < 2 {
		return nil
	}
	var failures []*fault.Error
	candidates := r.Vendors
	for _, v := range candidates {
		r.Vendors, r.Vendor = []*config.Vendor{v}, v.Name
		g := &group{v.Name, v, []*request.Request{r}}
		tried, err := p.try(g)
		if err != nil {
			return err
		}
		if served(tried) {
			r.Capabilities = append([]string{}, r.Selected(v)...)
			p.fellBack(g, v.Name, slices.DeleteFunc(failures, absent))
			return nil
		}
		failures = append(failures, p.attempted(g, tried)...)
		if precedence.Stopper(p.Config, failures) != nil {
			break
		}
	}
	r.Vendors, r.Vendor = candidates, candidates[0].Name
	return p.unserved([]*request.Request{r}, p.nobody(candidates, absentLast(failures)))
}

// absent reports whether the failure is that a vendor has nothing on this host: no Spec defines its kind, or its hook
// is not installed. That is no mistake of a request that names no vendor.
func absent(f *fault.Error) bool { return f.Code() == fault.NoSpec || f.Code() == fault.Delegate }

// nobody puts first, if no vendor has anything on this host, what the vendor lacks whose driver is loaded. If none is,
// it puts first that nobody has anything: the tools of the first vendor are not what is missing then.
func (p *Planner) nobody(vendors []*config.Vendor, failures []*fault.Error) []*fault.Error {
	if slices.ContainsFunc(failures, func(f *fault.Error) bool { return !absent(f) }) {
		return failures
	}
	for _, v := range vendors {
		if loaded, _ := p.Config.ContractOf(v).HasDriver(); loaded {
			others := func(f *fault.Error) bool { return !slices.Contains(v.Drivers, f.What()) }
			own := func(f *fault.Error) bool { return slices.Contains(v.Drivers, f.What()) }
			return append(slices.DeleteFunc(slices.Clone(failures), others), slices.DeleteFunc(slices.Clone(failures), own)...)
		}
	}
	first := fault.New(fault.NoSpec, "", "no vendor has a CDI Spec or a hook on this host").
		WithHint("load or install the GPU's driver, then generate its CDI Spec: nvidia-ctk or amd-ctk cdi generate")
	return append([]*fault.Error{first}, failures...)
}

// absentLast puts the failures first that explain more than that a vendor has nothing here.
func absentLast(failures []*fault.Error) []*fault.Error {
	there := func(f *fault.Error) bool { return !absent(f) }
	return append(slices.DeleteFunc(slices.Clone(failures), absent), slices.DeleteFunc(slices.Clone(failures), there)...)
}
