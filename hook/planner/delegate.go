package planner

import (
	"path"
	"slices"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// offerHook returns the run of the vendor's own hook that serves the group.
func (p *Planner) offerHook(g *group) (offer, []error) {
	hook := p.Config.ContractOf(g.vendor)
	order, errs := p.order(g)
	delegation, err := hook.Run(order)
	if err == nil && hook.Given(p.Container.Spec, order.IDs) {
		// The engine has applied Specs that gpu-hook does not see: the hook would put everything there again.
		delegation = nil
	}
	o := offer{edits: devices.NewEdits(), delegation: delegation, names: make([][]string, len(g.requests))}
	if delegation != nil {
		o.note(delegation.Warnings...)
	}
	return o, fill(errs, err)
}

// order returns all that the group requests of the vendor's own hook, and an error for each request that the hook
// cannot serve.
func (p *Planner) order(g *group) (contract.Order, []error) {
	o := contract.Order{Container: p.contractView(), Demands: demands(g), Parts: map[string][]string{}}
	errs := make([]error, len(g.requests))
	for i, r := range g.requests {
		ids, err := p.ownIDs(g.vendor, r)
		errs[i] = err
		if r.Part != "" {
			o.Parts[r.Part] = append(o.Parts[r.Part], ids...)
			continue
		}
		for _, id := range ids {
			if !slices.Contains(o.IDs, id) {
				o.IDs = append(o.IDs, id)
			}
		}
		o.FromEnv = o.FromEnv || r.FromEnv()
	}
	return o, errs
}

// fill makes err the reason where there is none yet.
func fill(errs []error, err error) []error {
	if err == nil {
		return errs
	}
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

// ownIDs returns what a request is for by the ids that the vendor's own hook knows.
func (p *Planner) ownIDs(v *config.Vendor, r *request.Request) ([]string, error) {
	kind, hook := r.Kind(v), path.Base(v.RuntimeHook)
	var ids []string
	for _, n := range r.Names(v) {
		if n.Kind() != kind {
			return nil, fault.New(fault.Delegate, n.String(), "%s knows devices of kind %s alone", hook, kind).
				WithHint("have CDI serve it: a Spec must define the kind %s", n.Kind())
		}
		if contract.Reserved(n.Device) {
			return nil, fault.New(fault.Request, n.String(),
				"%q is no device, and would empty the whole list of %s", n.Device, hook).
				WithHint("ask for devices alone, or for nothing but %q", n.Device)
		}
		if err := p.Config.ContractOf(v).CheckID(r.Part, n.Device); err != nil {
			return nil, err
		}
		ids = append(ids, n.Device)
	}
	return ids, nil
}
