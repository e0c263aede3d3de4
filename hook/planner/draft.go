package planner

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Draft is a plan that is being made.
type Draft struct {
	Requests []*request.Request // all of them
	Won      []*request.Request // those that take precedence
	Warnings []*fault.Error
	Errors   []*fault.Error

	attempts   []plan.Attempt
	grants     []plan.Grant
	cdiDevices []string
	asked      part
	wishes     []part // one for each group, in order
}

// part is a [plan.Part] that is being made.
type part struct {
	requests  []*request.Request
	edits     *devices.Edits
	delegates []*plan.Delegate
	forgone   bool
}

func newPart() part { return part{edits: devices.NewEdits()} }

// NewDraft returns a draft in which nothing was requested yet.
func NewDraft() *Draft { return &Draft{asked: newPart()} }

// Warn adds a warning.
func (d *Draft) Warn(f *fault.Error) { d.Warnings = append(d.Warnings, f) }

// Fail adds a reason why the container must not start.
func (d *Draft) Fail(err error) { d.Errors = append(d.Errors, fault.From(err)) }

// Failed reports whether the container must not start.
func (d *Draft) Failed() bool { return len(d.Errors) > 0 }

// Notable reports whether this start deserves a record: it made a request, even one that came to nothing by a decision,
// or has an annotation of gpu-hook's that it should not have, or nobody knows whether it made one.
func (d *Draft) Notable() bool {
	warned := slices.ContainsFunc(d.Warnings, func(f *fault.Error) bool {
		return f.Code() == fault.PlanNote || f.Code() == fault.ConfigNote
	})
	return warned || slices.ContainsFunc(d.Requests, func(r *request.Request) bool { return r.Status != plan.Empty })
}

// FromEnv reports whether the environment makes one of the requests that are granted.
func (d *Draft) FromEnv() bool {
	return slices.ContainsFunc(append([]part{d.asked}, d.wishes...), func(p part) bool {
		return slices.ContainsFunc(p.requests, (*request.Request).FromEnv)
	})
}

// FailOrWarn ends planning because of err, which has nothing to do with what was requested: with the error or, if all
// winners are wishes, with a warning.
func (d *Draft) FailOrWarn(err error) {
	f := fault.From(err)
	switch {
	case slices.ContainsFunc(d.Won, func(r *request.Request) bool { return !r.Weak }):
		d.Fail(err)
	case len(d.Won) == 0:
		d.Warn(fault.New(fault.ConfigNote, "", "%w", f).WithHint("%s", f.Hint()))
	default:
		d.forgo(&part{requests: d.Won, edits: devices.NewEdits()}, f)
		d.Won = nil
	}
}

// forgo settles wishes that come to nothing because of f: their requests are unserved, with a warning, and nothing is
// granted to them.
func (d *Draft) forgo(wishes *part, f *fault.Error) {
	wishes.forgone = true
	for _, r := range wishes.requests {
		r.Status, r.Reason = plan.Unserved, report.Plain(f.Error())
		d.Warn(plan.Without(r.Request, f))
	}
	d.grants = slices.DeleteFunc(d.grants, func(g plan.Grant) bool {
		return d.Requests[g.Request].Status == plan.Unserved
	})
	d.cdiDevices = plan.Names(d.grants)
	plan.Skip(wishes.edits)
}

// Plan returns what the draft has come to.
func (d *Draft) Plan() plan.Plan {
	p := plan.Plan{
		Attempts: d.attempts, Grants: d.grants, CDIDevices: d.cdiDevices, Asked: d.finish(d.asked),
		Warnings: d.Warnings, Errors: d.Errors,
	}
	for _, r := range d.Requests {
		p.Requests = append(p.Requests, r.Request)
	}
	for _, w := range d.wishes {
		p.Wishes = append(p.Wishes, d.finish(w))
	}
	return p
}

func (d *Draft) finish(p part) plan.Part {
	out := plan.Part{Edits: p.edits, Delegates: p.delegates, Forgone: p.forgone}
	for _, r := range p.requests {
		out.Requests = append(out.Requests, d.index(r))
	}
	out.Beside = !slices.ContainsFunc(p.requests, func(r *request.Request) bool { return r.Part == "" })
	return out
}

func (d *Draft) index(r *request.Request) int { return slices.Index(d.Requests, r) }

// edits returns those of all parts, as [plan.Plan.Edits] does.
func (d *Draft) edits() *devices.Edits { return d.Plan().Edits() }
