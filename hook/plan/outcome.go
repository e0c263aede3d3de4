package plan

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Outcome is what became of a plan that was carried out.
type Outcome struct {
	Result string         // one of the constants below
	Edits  *devices.Edits // those of the plan, each with what became of it
	// Delegated are the nodes that delegates left in the container's /dev.
	Delegated []*devices.DeviceNode
	// Forgone says of requests, by their index, why they came to nothing while the container starts all the same.
	Forgone map[int]*fault.Error
	// Output is what each delegate wrote, by its path.
	Output   map[string]string
	Warnings []*fault.Error
	Errors   []*fault.Error
}

// Results.
const (
	ResultApplied = "applied" // done
	ResultPlanned = "planned" // it could be done
	ResultNothing = "nothing" // nothing to do
	ResultRefused = "refused" // found out beforehand; nothing was touched
	ResultFailed  = "failed"  // while it was being done
)

// NewOutcome returns the outcome of a plan that nothing was done of yet.
func NewOutcome() Outcome {
	return Outcome{Result: ResultApplied, Forgone: map[int]*fault.Error{}, Output: map[string]string{}}
}

// Warn adds a warning.
func (o *Outcome) Warn(f *fault.Error) { o.Warnings = append(o.Warnings, f) }

// Fail ends the outcome with err.
func (o *Outcome) Fail(err error) {
	o.Result = ResultFailed
	o.Errors = append(o.Errors, fault.From(err))
}

// Nothing reports whether all that was granted came to nothing.
func (o *Outcome) Nothing(p Plan) bool {
	return !slices.ContainsFunc(p.Grants, func(g Grant) bool { return o.Forgone[g.Request] == nil })
}

// Forgo settles a part that came to nothing because of f: its requests are unserved, and what was not done of its edits
// never is. What carrying them out has settled stays: a hook that ran has run.
func (o *Outcome) Forgo(p Plan, part Part, f *fault.Error) {
	for _, i := range part.Requests {
		o.Forgone[i] = f
		o.Warn(Without(p.Requests[i], f))
	}
	Skip(part.Edits)
}

// Without is the warning that a container starts without what was wished, because of f.
func Without(r Request, f *fault.Error) *fault.Error {
	if f.What() == r.String() { // it is named once
		return fault.New(fault.Weak, r.String(), "the container starts without: %w", f.Unwrap()).WithHint("%s", f.Hint())
	}
	return fault.New(fault.Weak, r.String(), "the container starts without: %w", f).WithHint("%s", f.Hint())
}

// Skip makes the edits Skipped that were to be applied.
func Skip(edits *devices.Edits) {
	for e := range edits.All() {
		if *e.State() == devices.Apply {
			*e.State() = devices.Skipped
		}
	}
}
