package hook

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// This file is the one place that decides what takes precedence over what, and says why: source over source, vendor over
// vendor, driver over driver, and our hook beside others.

// contest decides, per vendor, which requests hold: those of the highest source that is set, be it to an explicit
// nothing. A request that may go to any of several vendors takes part for each of them, and holds if nobody stands above
// it with any. Refused ones are out of it. It sets the status of the losers, returns the winners that ask for something
// and says of each loser that asked for something else what it lost to. A mistake in a value that wins is the error, and
// so is one that leaves no vendor to contest for.
func contest(c *config.Config, requests []*request) (winners []*request, warnings []*fault.Error, err error) {
	for _, r := range requests {
		if r.Status == plan.Refused {
			f := fault.New(fault.Refused, describe(r), "%s", r.Reason).WithHint("%s", cmp.Or(r.hint, "the administrator of this host decides this in "+config.DefaultPath))
			if c.Requests.OnRefused == config.Error && !r.weak {
				return nil, warnings, f.WithCode(fault.Policy)
			}
			warnings = append(warnings, f)
			continue
		}
		if r.err != nil && len(r.vendors) == 0 && r.Vendor == "" {
			return nil, warnings, r.lost(r.err)
		}
	}
	byLevel := slices.Clone(requests)
	slices.SortStableFunc(byLevel, func(a, b *request) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.level, b.level))
	})
	for _, r := range byLevel {
		switch above := overriding(r, byLevel); {
		case r.Status == plan.Refused, r.engine: // nobody else serves what the engine does, and nobody takes it away
		case above != nil:
			r.beaten = true
			f := override(r, above)
			if f == nil {
				continue
			}
			if c.Requests.OnConflict == config.Error && !r.weak {
				return nil, warnings, f.WithCode(fault.Conflict)
			}
			warnings = append(warnings, f)
		case r.err != nil:
			return nil, warnings, r.lost(r.err)
		case r.Status != plan.Empty:
			winners = append(winners, r)
		}
	}
	return winners, warnings, nil
}

// rank puts wishes behind all that is asked for.
func (r *request) rank() int {
	if r.weak {
		return 1
	}
	return 0
}

// overriding returns the highest request that stands above r for one of its vendors, or nil.
func overriding(r *request, requests []*request) *request {
	var above *request
	for _, o := range requests {
		if o.Status == plan.Refused || o.beaten || !o.standsAbove(r) || (above != nil && o.level >= above.level) {
			continue
		}
		// Engines and Specs leave "void" for other hooks (a variable, and a mount since NVIDIA's toolkit 1.20): it must not
		// cancel what the user asked for.
		if o.void && !r.fromEnv() && r.source.Kind != config.SourceMount {
			continue
		}
		if slices.ContainsFunc(o.parties(), func(party string) bool { return slices.Contains(r.parties(), party) }) {
			above = o
		}
	}
	return above
}

// standsAbove reports whether o comes before r where both are for one vendor: by the level of its source or, as it was asked
// for and r is only wished, wherever it stands.
func (o *request) standsAbove(r *request) bool {
	switch {
	case o.weak && !r.weak:
		return false
	case r.weak && !o.weak && o.Status != plan.Empty:
		return true
	}
	return o.level < r.level
}

// override settles a request that lost to another, and says so if it asked for something else.
func override(r, above *request) *fault.Error {
	if r.Status == plan.Empty {
		return nil
	}
	r.Status, r.Reason = plan.Overridden, fmt.Sprintf("%s is set, and stands higher", above.Source)
	if sameDevices(r, above) {
		return nil
	}
	hint := "remove one of the two requests"
	if len(r.vendors) > 1 || len(above.vendors) > 1 {
		hint += ", or name a driver in both if they are meant for different vendors"
	}
	return fault.New(fault.Overridden, describe(r), "overridden by %s, which stands higher", describe(above)).WithHint("%s", hint)
}

// lost settles a request that stops the start.
func (r *request) lost(err *fault.Error) *fault.Error {
	r.Status, r.Reason = plan.Refused, report.Plain(err.Unwrap().Error())
	return err
}

func sameDevices(a, b *request) bool {
	names := func(r *request) []string {
		var v *config.Vendor
		if len(r.vendors) > 0 {
			v = r.vendors[0]
		}
		var out []string
		for _, n := range r.names(v) {
			out = append(out, n.String())
		}
		slices.Sort(out)
		return out
	}
	return a.files == b.files && (a.Status == plan.Empty) == (b.Status == plan.Empty) && slices.Equal(names(a), names(b))
}

// otherHook is NVIDIA's own hook in config.json: it runs for this container whatever we do, and it goes by its own rules.
type otherHook struct {
	path, stage string
	serves      *request // what it will serve, or nil
	caps        []string // the driver capabilities that the image asks it for
}

// findOther looks for NVIDIA's own hook among the hooks that run before the container's program.
func findOther(c *config.Config, container *state.Container) *otherHook {
	vendor := c.OfNVIDIA()
	if container.Spec.Hooks == nil || vendor == nil {
		return nil
	}
	for _, stage := range []struct {
		name  string
		hooks []specs.Hook
	}{
		{"prestart", container.Spec.Hooks.Prestart}, //nolint:staticcheck // deprecated, and what NVIDIA's tools write
		{"createRuntime", container.Spec.Hooks.CreateRuntime},
	} {
		for _, h := range stage.hooks {
			if name := path.Base(h.Path); name != "nvidia-container-runtime-hook" && name != "nvidia-container-toolkit" {
				continue
			}
			value, _ := container.Env(nvidia.DriverCapabilities)
			o := &otherHook{path: h.Path, stage: stage.name, caps: strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })}
			v, variable, value := nvidia.Toolkit{Config: c.NVIDIA.RuntimeConfig, Owner: c.Self.Owner}.Serves(container)
			if v.Nothing == "" {
				source := config.Source{Kind: config.SourceMount}
				if variable != "" {
					source = envSource(variable)
				}
				o.serves = newRequest(source, value).with([]*config.Vendor{vendor}, v.IDs)
				o.serves.files = v.None
			}
			return o
		}
	}
	return nil
}

// leave takes out of the winners what NVIDIA's own hook will serve. A request of the same vendor for something else, an
// explicit nothing too, would be served beside it, which nobody has asked for: that is the error. What it will serve
// although it counts for nothing here is said.
func (o *otherHook) leave(requests, winners []*request) (left []*request, warnings []*fault.Error, err error) {
	if o == nil || o.serves == nil {
		return winners, nil, nil
	}
	hint := fmt.Sprintf("remove the other hook's definition from the hooks directories, or set %s=void", nvidia.VisibleDevices)
	said := false
	for _, r := range requests {
		nvidias := slices.ContainsFunc(r.vendors, (*config.Vendor).NVIDIA) && r.part == ""
		switch holds := slices.Contains(winners, r); {
		case !nvidias && holds:
			left = append(left, r)
		case !nvidias || r.beaten || r.Status == plan.Refused:
		case o.same(r):
			r.Status, r.Reason = plan.Overridden, fmt.Sprintf("left to %s, which config.json runs too (%s)", o.path, o.stage)
			warnings = append(warnings, fault.New(fault.OtherHook, describe(r), "%s", r.Reason).WithHint("%s to have gpu-hook serve it", hint))
			said = true
		case holds && r.weak:
			r.Status, r.Reason = plan.Overridden, fmt.Sprintf("config.json runs %s too (%s), which will serve %s", o.path, o.stage, describe(o.serves))
		case holds || r.Status == plan.Empty:
			f := fault.New(fault.Conflict, describe(r), "config.json also runs %s (%s), which will serve %s beside it", o.path, o.stage, describe(o.serves)).WithHint("%s", hint)
			return nil, warnings, r.lost(f)
		}
	}
	if !said {
		warnings = append(warnings, fault.New(fault.OtherHook, "config.json", "it also runs %s (%s), which will serve %s whatever is decided here", o.path, o.stage, describe(o.serves)).WithHint("%s", hint))
	}
	return left, warnings, nil
}

// same reports whether a request is for what the other hook will serve, as it will serve it.
func (o *otherHook) same(r *request) bool {
	selected := slices.Sorted(slices.Values(nvidia.Selected(r.selected(r.vendors[0]))))
	byHook := r.pin == "" || strings.HasSuffix(r.pin, config.DriverRuntimeHook)
	return byHook && sameDevices(r, o.serves) && (len(selected) == 0 || slices.Equal(selected, slices.Sorted(slices.Values(o.caps))))
}

// drivers returns what may serve requests of the vendor, in order: the one driver that a request is pinned to, else the
// vendor's own order. One vendor has one driver in one container, since two would inject over each other.
func drivers(v *config.Vendor, requests []*request) ([]string, error) {
	pinned := (*request)(nil)
	for _, r := range requests {
		switch {
		case r.pin == "":
		case pinned == nil:
			pinned = r
		case pinned.pin != r.pin:
			return nil, r.lost(fault.New(fault.Conflict, describe(r), "it is for driver %q, and %s for driver %q: one vendor has one driver in one container", r.pin, describe(pinned), pinned.pin).
				WithHint("name the same driver in both, or none"))
		}
	}
	switch {
	case v == nil:
		return []string{config.DriverAnyCDI}, nil
	case pinned == nil:
		return v.Drivers, nil
	case !slices.Contains(v.Drivers, pinned.pin):
		return nil, pinned.lost(fault.New(fault.Policy, describe(pinned), "driver %q is not among those of vendor %s: %s", pinned.pin, v.Name, strings.Join(v.Drivers, ", ")).
			WithHint("the administrator of this host decides this in %s", config.DefaultPath))
	}
	return []string{pinned.pin}, nil
}

// mayFallBack reports whether the next driver may be tried after these failures, or returns the one that forbids it.
func mayFallBack(c *config.Config, failures []*fault.Error) *fault.Error {
	for _, f := range failures {
		switch {
		case fault.KindOf(f) == fault.Mistake:
			return f
		case fault.KindOf(f) == fault.Broken && c.Drivers.OnFallback == config.Error:
			return f.WithHint(`%s; on-fallback is "error" under [drivers], so no other driver is tried`, f.Hint())
		case (f.Code() == fault.Stale || f.Code() == fault.Major) && c.CDI.OnStale == config.Error:
			return f.WithHint(`%s; on-stale is "error" under [cdi], so no other driver is tried`, f.Hint())
		}
	}
	return nil
}

// present returns how many edits of those that createRuntime makes are in config.json already, put there by the engine or
// another hook.
func present(edits *devices.Edits) int {
	n := 0
	for e := range edits.All() {
		if *e.State() == devices.Present && e.Makes() {
			n++
		}
	}
	return n
}
