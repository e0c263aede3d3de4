package planner

import (
	"errors"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/precedence"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// trial is how one driver takes a group: its offer, and an error for each request, nil for those that it could serve.
type trial struct {
	group  *group
	driver string
	offer  offer
	errs   []error
}

func (t trial) serves() bool {
	return !slices.ContainsFunc(t.errs, func(err error) bool { return err != nil })
}

// try asks the vendor's drivers for offers, in order, until one can serve the group or no other driver may be tried. It
// leaves no trace in the draft.
func (p *Planner) try(g *group) (tried []trial, err error) {
	list, err := precedence.Drivers(g.vendor, g.requests)
	if err != nil {
		return nil, err
	}
	for _, driver := range list {
		t := p.trial(driver, g)
		tried = append(tried, t)
		if t.serves() || precedence.Stopper(p.Config, labelled(driver, t.errs)) != nil {
			break
		}
	}
	return tried, nil //nolint:nilerr // how they fail is the answer
}

// trial asks a driver for its offer. A group is tried by one driver once, though wishes and what may go to several
// vendors are tried before they are served: what is decided in between, such as the driver's capabilities by admission,
// has no part in an offer.
func (p *Planner) trial(driver string, g *group) trial {
	known := func(t trial) bool { return t.driver == driver && t.group.same(g) }
	if i := slices.IndexFunc(p.trials, known); i >= 0 {
		return p.trials[i]
	}
	o, errs := p.offerBy(driver, g)
	t := trial{g, driver, o, errs}
	p.trials = append(p.trials, t)
	return t
}

// served reports whether one of the drivers that were tried can serve the group.
func served(tried []trial) bool { return slices.ContainsFunc(tried, trial.serves) }

// attempted writes down drivers that were tried, and returns their failures.
func (p *Planner) attempted(g *group, tried []trial) []*fault.Error {
	var out []*fault.Error
	for _, t := range tried {
		p.attempt(g, t)
		out = append(out, labelled(t.driver, t.errs)...)
	}
	return out
}

// labelled returns the errors with the driver's name before them, each once.
func labelled(driver string, errs []error) []*fault.Error {
	var out []*fault.Error
	for _, err := range errs {
		if err == nil {
			continue
		}
		e := fault.From(err)
		e = fault.New(e.Code(), driver, "%w", err).WithHint("%s", e.Hint())
		if !slices.ContainsFunc(out, func(o *fault.Error) bool { return o.Error() == e.Error() }) {
			out = append(out, e)
		}
	}
	return out
}

// skip writes down that a driver was not tried.
func (p *Planner) skip(g *group, driver, reason string) {
	for _, r := range g.requests {
		p.attempts = append(p.attempts, plan.Attempt{
			Request: p.index(r), Vendor: g.name, Driver: driver, Status: plan.Skipped, Reason: reason,
		})
	}
}

// attempt writes down how a driver took each request.
func (p *Planner) attempt(g *group, t trial) {
	serves := t.serves()
	for i, r := range g.requests {
		a := plan.Attempt{Request: p.index(r), Vendor: g.name, Driver: t.driver, Status: plan.Chosen}
		switch {
		case t.errs[i] != nil:
			f := fault.From(t.errs[i])
			a.Status, a.Reason, a.Hint = plan.Failed, report.Plain(f.Error()), report.Plain(f.Hint())
		case !serves:
			a.Status, a.Reason = plan.Skipped, "it cannot serve another request of this vendor"
		}
		p.attempts = append(p.attempts, a)
	}
}

// unserved ends requests that no driver could serve: with an error or, for wishes, with a warning, and the container
// starts without. Both say what is to blame alone; what else the drivers said is in the requests' reason and in the
// attempts.
func (p *Planner) unserved(requests []*request.Request, failures []*fault.Error) error {
	if len(failures) == 0 {
		failures = []*fault.Error{fault.New(fault.Config, "", "the vendor has no drivers").
			WithHint("list some under [[vendor]] in %s", config.DefaultPath)}
	}
	why := make([]string, 0, len(failures))
	for _, f := range failures {
		why = append(why, f.Error())
	}
	blamed := p.blame(failures)
	// Without the driver's name, which nobody asked for, and without a device that is the whole value of the request.
	cause := strings.TrimPrefix(blamed.Unwrap().Error(), requests[0].Value+": ")
	weak := !slices.ContainsFunc(requests, func(r *request.Request) bool { return !r.Weak })
	for _, r := range requests {
		r.Status, r.Reason = plan.Unserved, report.Plain("no driver can serve it: "+strings.Join(why, "; "))
		if weak {
			p.Warn(fault.New(fault.Weak, r.String(), "the container starts without: %s", cause).WithHint("%s", blamed.Hint()))
		}
	}
	if weak {
		return nil
	}
	return fault.New(blamed.Code(), requests[0].String(), "%s", cause).WithHint("%s", blamed.Hint())
}

// blame returns the failure that explains why nothing serves a request: what stopped the search, else what is there and
// does not work, else the first thing that is not there.
func (p *Planner) blame(failures []*fault.Error) *fault.Error {
	if f := precedence.Stopper(p.Config, failures); f != nil {
		return f
	}
	return absentLast(failures)[0]
}

// fellBack warns of the drivers that failed before the one that serves the group.
func (p *Planner) fellBack(g *group, driver string, failures []*fault.Error) {
	if len(failures) == 0 {
		return
	}
	why := make([]error, 0, len(failures))
	for _, f := range failures {
		why = append(why, f)
	}
	p.Warn(fault.New(fault.Fallback, g.requests[0].String(), "%s serves it, because %w", driver, errors.Join(why...)).
		WithHint("%s", failures[0].Hint()))
}
