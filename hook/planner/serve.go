package planner

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/hook/precedence"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// grant serves a group. A wish that cannot be granted, for whatever reason, comes to nothing with a warning. If it is
// in one group with what was asked for, that is served without it.
func (p *Planner) grant(g *group) error {
	err := p.serve(g)
	if err == nil {
		return nil
	}
	asked, wishes := g.apart()
	if len(wishes.requests) == 0 {
		return err
	}
	p.forgo(&wishes, fault.From(err))
	if len(asked.requests) == 0 {
		return nil
	}
	for _, r := range asked.requests {
		r.Status, r.Reason = "", ""
	}
	return p.serve(asked)
}

// serve tries the drivers of the group's vendor in order. The first one whose plan holds gets all its requests. A
// failed attempt leaves nothing behind but its reason.
func (p *Planner) serve(g *group) error {
	if done, err := p.hopeless(g); done || err != nil {
		return err
	}
	if err := p.admit(g); err != nil {
		return err
	}
	list, err := precedence.Drivers(g.vendor, g.requests)
	if err != nil {
		return err
	}
	var failures []*fault.Error
	var failed []trial
	chosen := ""
	for _, driver := range list {
		if chosen != "" {
			p.skip(g, driver, chosen+" serves the request")
			continue
		}
		if precedence.Stopper(p.Config, failures) != nil {
			p.skip(g, driver, "no other driver is tried")
			continue
		}
		t := p.trial(driver, g)
		p.attempt(g, t)
		if !t.serves() {
			failed = append(failed, t)
			failures = append(failures, labelled(driver, t.errs)...)
			continue
		}
		chosen = driver
		p.fellBack(g, driver, failures)
		p.accept(g, driver, t.offer)
	}
	if chosen != "" {
		return nil
	}
	return p.unserved(culpritFirst(g.requests, p.culprit(g, failed, failures)), failures)
}

// culprit returns the request that the failure to blame is about, or nil if no driver was tried.
func (p *Planner) culprit(g *group, failed []trial, failures []*fault.Error) *request.Request {
	if len(failures) == 0 {
		return nil
	}
	blamed := p.blame(failures).Error()
	for _, t := range failed {
		for i := range t.errs {
			for _, f := range labelled(t.driver, t.errs[i:i+1]) {
				if f.Error() == blamed {
					return g.requests[i]
				}
			}
		}
	}
	return nil
}

// hopeless settles a group of wishes alone that nothing can serve: what images demand of a driver that is not there
// concerns nobody then.
func (p *Planner) hopeless(g *group) (done bool, err error) {
	if !g.wish() {
		return false, nil
	}
	tried, err := p.try(g)
	if err != nil || served(tried) {
		return false, err
	}
	return true, p.unserved(g.requests, p.attempted(g, tried))
}

// admit checks the vendor's preconditions, before any driver is tried. It writes into each request for devices which
// capabilities of the driver it came to.
func (p *Planner) admit(g *group) error {
	if !slices.ContainsFunc(g.requests, func(r *request.Request) bool { return r.Part == "" }) {
		return nil
	}
	admission, err := p.Config.ContractOf(g.vendor).Admit(p.contractView(), demands(g))
	for _, warning := range admission.Warnings {
		p.Warn(warning)
	}
	for i, capabilities := range admission.Capabilities {
		if r := g.requests[i]; r.Part == "" && capabilities != nil {
			r.Capabilities = capabilities
		}
	}
	return err
}

// demands are the requests of the group as a contract judges them.
func demands(g *group) []contract.Demand {
	var out []contract.Demand
	for _, r := range g.requests {
		d := contract.Demand{What: r.String()}
		if g.vendor != nil {
			d.Capabilities = r.Selected(g.vendor)
		}
		out = append(out, d)
	}
	return out
}

// culpritFirst puts the request that an error is about before the others of its group.
func culpritFirst(requests []*request.Request, culprit *request.Request) []*request.Request {
	out := slices.Clone(requests)
	slices.SortStableFunc(out, func(a, b *request.Request) int {
		switch culprit {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	return out
}
