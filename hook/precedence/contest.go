package precedence

import (
	"cmp"
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// contest is the settling of all requests of one container.
type contest struct {
	config   *config.Config
	ladder   ladder
	requests []*request.Request        // in the order in which they are settled
	beaten   map[*request.Request]bool // lost, and above nobody any more
	warnings []*fault.Error
}

// Contest decides which requests win, per vendor: those of the highest source that is set, even if it is set to
// nothing. A request that may go to any of several vendors takes part for each of them, and wins if no higher source
// has a request for any of these. Refused requests take no part.
//
// It sets the status of the losers and returns the winners that request something. A warning names each loser that
// requested something else, and what it lost to. A mistake in a value that wins is the error, and so is one that leaves
// no vendor to contest for.
//
// The vendor's own hook in config.json, if there is one, then takes what it will serve; see [otherHook.leave].
func Contest(
	c *config.Config, container *state.Container, requests []*request.Request,
) (winners []*request.Request, warnings []*fault.Error, err error) {
	order, _ := request.Sources(c, container)
	t := &contest{config: c, ladder: order, beaten: map[*request.Request]bool{}}
	t.requests = t.ladder.sorted(requests)
	if err := t.refused(requests); err != nil {
		return nil, t.warnings, err
	}
	for _, r := range t.requests {
		wins, err := t.settle(r)
		if err != nil {
			return nil, t.warnings, err
		}
		if wins {
			winners = append(winners, r)
		}
	}
	winners, err = t.leave(findOther(c, container), requests, winners)
	return winners, t.warnings, err
}

// refused reports the requests that policy refuses, and those that nobody can contest with.
func (t *contest) refused(requests []*request.Request) error {
	for _, r := range requests {
		switch {
		case r.Status == plan.Refused:
			f := fault.New(fault.Refused, r.String(), "%s", r.Reason).
				WithHint("%s", cmp.Or(r.Hint, "the administrator of this host decides this in "+config.DefaultPath))
			if t.config.Requests.OnRefused == config.Error && !r.Weak {
				return f.WithCode(fault.Policy)
			}
			t.warnings = append(t.warnings, f)
		case r.Err != nil && len(r.Vendors) == 0 && r.Vendor == "":
			return r.Stop(r.Err)
		}
	}
	return nil
}

// settle decides whether the request wins. All requests that it can lose to were settled before.
func (t *contest) settle(r *request.Request) (wins bool, err error) {
	above := t.overriding(r)
	switch {
	case r.Status == plan.Refused, r.Engine: // nobody takes away what the engine serves
		return false, nil
	case above != nil:
		t.beaten[r] = true
		return false, t.override(r, above)
	case r.Err != nil:
		return false, r.Stop(r.Err)
	}
	return r.Status != plan.Empty, nil
}

// overriding returns the highest request that takes precedence over r for one of its vendors, or nil.
func (t *contest) overriding(r *request.Request) *request.Request {
	var highest *request.Request
	for _, o := range t.requests {
		switch {
		case o.Status == plan.Refused || t.beaten[o] || !t.ladder.above(o, r):
		case highest != nil && t.ladder.level(o) >= t.ladder.level(highest):
		case o.Void && !r.FromEnv() && r.Origin.Kind != config.SourceMount:
			// Engines and Specs leave "void" for other hooks (a variable, and a mount since NVIDIA's toolkit 1.20): it
			// must not cancel what the user requested.
		case slices.ContainsFunc(o.Parties(), func(party string) bool { return slices.Contains(r.Parties(), party) }):
			highest = o
		}
	}
	return highest
}

// override settles a request that lost to another. If it is for something else, that is reported: as a warning or, by
// policy, as the error.
func (t *contest) override(r, above *request.Request) error {
	if r.Status == plan.Empty {
		return nil
	}
	r.Status, r.Reason = plan.Overridden, above.By()+" is set, and stands higher"
	if request.SameDevices(r, above) {
		return nil
	}
	hint := "remove one of the two requests"
	if len(r.Vendors) > 1 || len(above.Vendors) > 1 {
		hint += ", or name a driver in both if they are meant for different vendors"
	}
	f := fault.New(fault.Overridden, r.String(), "overridden by %s, which stands higher", above).WithHint("%s", hint)
	if t.config.Requests.OnConflict == config.Error && !r.Weak {
		return f.WithCode(fault.Conflict)
	}
	t.warnings = append(t.warnings, f)
	return nil
}
