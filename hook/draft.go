package hook

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// draft is a plan that is being made.
type draft struct {
	requests   []*request // all of them
	won        []*request // those that hold
	attempts   []plan.Attempt
	grants     []plan.Grant
	cdiDevices []string
	asked      part
	wishes     []part // one for each group, in order
	warnings   []*fault.Error
	errors     []*fault.Error
}

func newDraft() *draft { return &draft{asked: newPart()} }

// part is a [plan.Part] that is being made.
type part struct {
	requests  []*request
	edits     *devices.Edits
	delegates []*plan.Delegate
	forgone   bool
}

func newPart() part { return part{edits: devices.NewEdits()} }

func (d *draft) warn(f *fault.Error) { d.warnings = append(d.warnings, f) }

func (d *draft) fail(err error) { d.errors = append(d.errors, fault.From(err)) }

func (d *draft) failed() bool { return len(d.errors) > 0 }

func (d *draft) index(r *request) int { return slices.Index(d.requests, r) }

// forgo settles wishes that come to nothing because of f: their requests are unserved, with a warning, and nothing is
// granted to them.
func (d *draft) forgo(wishes *part, f *fault.Error) {
	wishes.forgone = true
	for _, r := range wishes.requests {
		r.Status, r.Reason = plan.Unserved, report.Plain(f.Error())
		d.warn(plan.Without(r.Request, f))
	}
	d.grants = slices.DeleteFunc(d.grants, func(g plan.Grant) bool { return d.requests[g.Request].Status == plan.Unserved })
	d.cdiDevices = plan.Names(d.grants)
	plan.Skip(wishes.edits)
}

// edits returns those of all parts, as [plan.Plan.Edits] does.
func (d *draft) edits() *devices.Edits { return d.plan().Edits() }

// plan returns what the draft has come to.
func (d *draft) plan() plan.Plan {
	p := plan.Plan{
		Attempts: d.attempts, Grants: d.grants, CDIDevices: d.cdiDevices, Asked: d.finish(d.asked),
		Warnings: d.warnings, Errors: d.errors,
	}
	for _, r := range d.requests {
		p.Requests = append(p.Requests, r.Request)
	}
	for _, w := range d.wishes {
		p.Wishes = append(p.Wishes, d.finish(w))
	}
	return p
}

func (d *draft) finish(p part) plan.Part {
	out := plan.Part{Edits: p.edits, Delegates: p.delegates, Forgone: p.forgone}
	for _, r := range p.requests {
		out.Requests = append(out.Requests, d.index(r))
	}
	out.Beside = !slices.ContainsFunc(p.requests, func(r *request) bool { return r.part == "" })
	return out
}
