package precedence

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// otherHook is a vendor's own hook in config.json: it runs for this container whatever gpu-hook does, by its own rules.
type otherHook struct {
	*contract.Other
	vendor   *config.Vendor
	contract contract.Vendor
	serves   *request.Request // what it will serve
}

// OtherHook reports whether config.json runs a vendor's own hook beside gpu-hook.
func OtherHook(c *config.Config, container *state.Container) bool {
	for i := range c.Vendors {
		if c.ContractOf(&c.Vendors[i]).Other(container) != nil {
			return true
		}
	}
	return false
}

// findOther returns the first vendor's own hook that will serve something, or nil.
func findOther(c *config.Config, container *state.Container) *otherHook {
	for i := range c.Vendors {
		v := &c.Vendors[i]
		o := &otherHook{vendor: v, contract: c.ContractOf(v)}
		if o.Other = o.contract.Other(container); o.Other == nil || o.Serves.Nothing != "" {
			continue
		}
		origin := config.Source{Kind: config.SourceMount}
		if o.Variable != "" {
			origin = request.Env(o.Variable)
		}
		o.serves = request.New(origin, o.Value).With([]*config.Vendor{v}, o.Serves.IDs)
		o.serves.Files = o.Serves.None
		return o
	}
	return nil
}

// leave takes out of the winners what the vendor's own hook will serve, and returns the others. A request of the same
// vendor for something else, even for nothing, is the error: both would be served, which nobody has requested. If the
// hook will serve a request that counts for nothing here, a warning reports it.
func (t *contest) leave(o *otherHook, requests, winners []*request.Request) (left []*request.Request, err error) {
	if o == nil {
		return winners, nil
	}
	hint := "remove the other hook's definition, or set " + o.Off
	reported := false
	for _, r := range requests {
		switch wins := slices.Contains(winners, r); {
		case !o.concerns(r) && wins:
			left = append(left, r)
		case !o.concerns(r) || t.beaten[r] || r.Status == plan.Refused:
		case o.same(r):
			r.Status, r.Reason = plan.Overridden, fmt.Sprintf("left to %s, which config.json runs too (%s)", o.Path, o.Stage)
			t.warnings = append(t.warnings, fault.New(fault.OtherHook, r.String(), "%s", r.Reason).
				WithHint("%s to have gpu-hook serve it", hint))
			reported = true
		case wins && r.Weak:
			r.Status = plan.Overridden
			r.Reason = fmt.Sprintf("config.json runs %s too (%s), which will serve %s", o.Path, o.Stage, o.serves)
		case wins || r.Status == plan.Empty:
			f := fault.New(fault.Conflict, r.String(),
				"config.json also runs %s, which will serve %s", path.Base(o.Path), o.serves).
				WithHint("%s", hint)
			return nil, r.Stop(f)
		}
	}
	if !reported {
		t.warnings = append(t.warnings, fault.New(fault.OtherHook, "config.json",
			"it also runs %s (%s), which will serve %s whatever is decided here", o.Path, o.Stage, o.serves).
			WithHint("%s", hint))
	}
	return left, nil
}

// concerns reports whether a request may go to the hook's vendor, for devices.
func (o *otherHook) concerns(r *request.Request) bool {
	return r.Part == "" && slices.ContainsFunc(r.Vendors, func(v *config.Vendor) bool { return v.Name == o.vendor.Name })
}

// same reports whether a request is for what the hook will serve, as it will serve it.
func (o *otherHook) same(r *request.Request) bool {
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	selected := sorted(o.contract.Selected(r.Selected(r.Vendors[0])))
	byHook := r.Pin == "" || strings.HasSuffix(r.Pin, config.DriverRuntimeHook)
	return byHook && request.SameDevices(r, o.serves) && (len(selected) == 0 || slices.Equal(selected, sorted(o.Selected)))
}
