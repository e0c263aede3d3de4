package precedence

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Drivers returns what may serve requests of the vendor, in order: the one driver that a request is pinned to, else the
// vendor's own order. One vendor has one driver in one container, since two would inject over each other.
//
// v is nil for a vendor that is not configured.
func Drivers(v *config.Vendor, requests []*request.Request) ([]string, error) {
	pinned := (*request.Request)(nil)
	for _, r := range requests {
		switch {
		case r.Pin == "":
		case pinned == nil:
			pinned = r
		case pinned.Pin != r.Pin:
			return nil, r.Stop(fault.New(fault.Conflict, r.String(),
				"it is for driver %q, and %s for driver %q: one vendor has one driver in one container", r.Pin, pinned, pinned.Pin).
				WithHint("name the same driver in both, or none"))
		}
	}
	switch {
	case v == nil:
		return []string{config.DriverAnyCDI}, nil
	case pinned == nil:
		return v.Drivers, nil
	case !slices.Contains(v.Drivers, pinned.Pin):
		return nil, pinned.Stop(fault.New(fault.Policy, pinned.String(),
			"driver %q is not among those of vendor %s: %s", pinned.Pin, v.Name, strings.Join(v.Drivers, ", ")).
			WithHint("the administrator of this host decides this in %s", config.DefaultPath))
	}
	return []string{pinned.Pin}, nil
}

// Stopper returns the failure after which no other driver may be tried, with a hint that says why, or nil.
func Stopper(c *config.Config, failures []*fault.Error) *fault.Error {
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
