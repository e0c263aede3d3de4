package hook

import (
	"errors"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// failed are the reasons of the drivers of one vendor that could not serve, in order.
type failed struct {
	drivers []string
	errs    [][]error // per driver, per request
}

func (f *failed) all() func(yield func(string, []error) bool) {
	return func(yield func(string, []error) bool) {
		for i, driver := range f.drivers {
			if !yield(driver, f.errs[i]) {
				return
			}
		}
	}
}

// labelled are the errors with the driver's name before them, each once.
func (f *failed) labelled(driver string, errs []error) []*fault.Error {
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

func (p *planner) skip(g *group, driver, reason string) {
	for _, r := range g.requests {
		p.attempts = append(p.attempts, plan.Attempt{Request: p.index(r), Vendor: g.name, Driver: driver, Status: plan.Skipped, Reason: reason})
	}
}

// attempt writes down how a driver took each request.
func (p *planner) attempt(g *group, driver string, errs []error) {
	whole := !slices.ContainsFunc(errs, func(err error) bool { return err != nil })
	for i, r := range g.requests {
		a := plan.Attempt{Request: p.index(r), Vendor: g.name, Driver: driver, Status: plan.Chosen}
		switch {
		case errs[i] != nil:
			f := fault.From(errs[i])
			a.Status, a.Reason, a.Hint = plan.Failed, report.Plain(f.Error()), report.Plain(f.Hint())
		case !whole:
			a.Status, a.Reason = plan.Skipped, "it cannot serve another request of this vendor"
		}
		p.attempts = append(p.attempts, a)
	}
}

// unserved ends requests that no driver could serve: with every driver's reason in one error, or for weak ones with a
// warning, and the container starts without.
func (p *planner) unserved(requests []*request, failures []*fault.Error) error {
	first := fault.New(fault.Config, "", "the vendor has no drivers").WithHint("list some under [[vendor]] in %s", config.DefaultPath)
	why := []string{first.Error()}
	if len(failures) > 0 {
		first, why = failures[0], nil
	}
	for _, f := range failures {
		why = append(why, f.Error())
	}
	// What stopped the search explains more than what is merely not there.
	if f := mayFallBack(p.config, failures); f != nil {
		first = f
	}
	reason := "no driver can serve it: " + strings.Join(why, "; ")
	weak := !slices.ContainsFunc(requests, func(r *request) bool { return !r.weak })
	for _, r := range requests {
		r.Status, r.Reason = plan.Unserved, report.Plain(reason)
		if weak {
			p.warn(fault.New(fault.Weak, describe(r), "the container starts without: %s", reason).WithHint("%s", first.Hint()))
		}
	}
	if weak {
		return nil
	}
	return fault.New(first.Code(), describe(requests[0]), "%s", reason).WithHint("%s", first.Hint())
}

func (p *planner) fellBack(g *group, driver string, failures []*fault.Error) {
	if len(failures) == 0 {
		return
	}
	why := make([]error, 0, len(failures))
	for _, f := range failures {
		why = append(why, f)
	}
	p.warn(fault.New(fault.Fallback, describe(g.requests[0]), "%s serves it, because %w", driver, errors.Join(why...)).WithHint("%s", failures[0].Hint()))
}
