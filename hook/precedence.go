package hook

import (
	"fmt"
	"slices"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
)

// contest decides, per vendor, which requests hold: those of the highest source that is set, be it to an explicit
// nothing. Refused ones are out of it. It sets the status of the losers, returns the winners that ask for something and
// says of each loser that asked for something else what it lost to. A mistake in a value that wins is the error, and so
// is one that leaves no vendor to contest for.
func contest(requests []*Request) (winners []*Request, warnings []*fault.Error, err error) {
	highest := map[string]*Request{}
	for _, r := range requests {
		if r.Status == statusRefused {
			warnings = append(warnings, fault.New(fault.Refused, describe(r), "%s", r.Reason).
				WithHint("the administrator of this host decides this in %s", DefaultConfig))
			continue
		}
		if r.err != nil && r.Vendor == "" {
			r.Status, r.Reason = statusRefused, r.err.Error()
			return nil, warnings, r.err
		}
		if best := highest[r.Vendor]; best == nil || r.level < best.level {
			highest[r.Vendor] = r
		}
	}
	for _, r := range requests {
		best := highest[r.Vendor]
		switch {
		case r.Status == statusRefused:
		case r.level > best.level:
			if differs(r, best) && r.Status != statusEmpty {
				warnings = append(warnings, fault.New(fault.Overridden, describe(r), "overridden by %s, which stands higher", describe(best)).
					WithHint("remove one of the two requests"))
			}
			if r.Status != statusEmpty {
				r.Status, r.Reason = statusOverridden, fmt.Sprintf("%s is set, and stands higher", best.Source)
			}
		case r.err != nil:
			r.Status, r.Reason = statusRefused, r.err.Error()
			return nil, warnings, r.err
		case r.Status != statusEmpty:
			winners = append(winners, r)
		}
	}
	return winners, warnings, nil
}

func differs(a, b *Request) bool {
	compare := func(x, y devices.Name) int {
		switch {
		case x.String() < y.String():
			return -1
		case x.String() > y.String():
			return 1
		}
		return 0
	}
	x, y := slices.Clone(a.names), slices.Clone(b.names)
	slices.SortFunc(x, compare)
	slices.SortFunc(y, compare)
	return !slices.Equal(x, y)
}

func describe(r *Request) string { return fmt.Sprintf("%s %q", r.Source, r.Value) }
