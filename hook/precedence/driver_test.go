package precedence

import (
	"slices"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// A vendor's drivers are tried in their order; a request that names one is for this one, or an error.
func TestDrivers(t *testing.T) {
	pinned := func(source config.Source, driver string) *request.Request {
		r := ask(source, "0")
		r.Pin = driver
		return r
	}
	const nvidia = "nvidia"
	for _, test := range []struct {
		name     string
		vendor   string // "" for one that is not configured
		requests requests
		want     []string
		code     fault.Code
		err      string
	}{
		{
			"no driver is named", nvidia,
			requests{ask(env(), "0")},
			[]string{"nvidia.cdi", "nvidia.runtime-hook"},
			"", "",
		},
		{
			"one is named", nvidia,
			requests{pinned(annotation(), "nvidia.runtime-hook")},
			[]string{"nvidia.runtime-hook"},
			"", "",
		},
		{
			"one request of several names one", nvidia,
			requests{ask(env(), "0"), pinned(annotation(), "nvidia.cdi"), ask(mount(), "1")},
			[]string{"nvidia.cdi"},
			"", "",
		},
		{
			"two requests name the same", nvidia,
			requests{pinned(annotation(), "nvidia.cdi"), pinned(cdi(), "nvidia.cdi")},
			[]string{"nvidia.cdi"},
			"", "",
		},
		{
			"two requests name two", nvidia,
			requests{pinned(annotation(), "nvidia.runtime-hook"), pinned(cdi(), "nvidia.cdi")},
			nil, fault.Conflict,
			`cdi.k8s.io/x=cdi-annotation: it is for driver "nvidia.cdi", and ` + annotationText +
				` for driver "nvidia.runtime-hook": one vendor has one driver in one container`,
		},
		{"a vendor that is not configured", "", requests{pinned(cdi(), "cdi")}, []string{"cdi"}, "", ""},
		{
			"a driver that the administrator has left out", "intel",
			requests{pinned(annotation(), "intel.runtime-hook")},
			nil, fault.Policy,
			annotationText + `: driver "intel.runtime-hook" is not among those of vendor intel: intel.cdi`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Drivers(config.Defaults().Vendor(test.vendor), test.requests)
			if !slices.Equal(got, test.want) || (err == nil) != (test.err == "") {
				t.Errorf("%q, %v", got, err)
			}
			if err == nil {
				return
			}
			last := test.requests[len(test.requests)-1]
			if err.Error() != test.err || !fault.Is(err, test.code) || last.Status != "refused" {
				t.Errorf("%v, want %s %s", err, test.code, test.err)
			}
		})
	}
}

// The user's mistake stops the search for a driver. What is not there does not, and what is broken does if policy says
// so.
func TestStopper(t *testing.T) {
	f := func(code fault.Code) *fault.Error { return fault.New(code, "what", "why").WithHint("do this") }
	fallback := func(c *config.Config) { c.Drivers.OnFallback = config.Error }
	stale := func(c *config.Config) { c.CDI.OnStale = config.Error }
	staleWarn := func(c *config.Config) { c.CDI.OnStale = config.Warn }
	const (
		noFallback = `do this; on-fallback is "error" under [drivers], so no other driver is tried`
		noStale    = `do this; on-stale is "error" under [cdi], so no other driver is tried`
	)
	for _, test := range []struct {
		name      string
		failures  []*fault.Error
		configure func(*config.Config)
		code      fault.Code // "" if the search goes on
		hint      string
	}{
		{"nothing failed", nil, fallback, "", ""},
		{"a mistake", []*fault.Error{f(fault.Policy)}, nil, fault.Policy, "do this"},
		{
			"a mistake behind others",
			[]*fault.Error{f(fault.NoSpec), f(fault.Parse), f(fault.Request)},
			nil,
			fault.Request, "do this",
		},
		{"unavailable", []*fault.Error{f(fault.NoSpec), f(fault.Name), f(fault.Delegate)}, fallback, "", ""},
		{"broken", []*fault.Error{f(fault.Parse)}, nil, "", ""},
		{"broken, on-fallback", []*fault.Error{f(fault.Parse)}, fallback, fault.Parse, noFallback},
		{"stale", []*fault.Error{f(fault.Stale)}, nil, "", ""},
		{"stale, on-stale", []*fault.Error{f(fault.Stale)}, stale, fault.Stale, noStale},
		{"stale, on-fallback", []*fault.Error{f(fault.Stale)}, fallback, fault.Stale, noFallback},
		{"stale, on-stale is a warning", []*fault.Error{f(fault.Stale)}, staleWarn, "", ""},
		{"another device number, on-stale", []*fault.Error{f(fault.Major)}, stale, fault.Major, noStale},
		{"broken, on-stale", []*fault.Error{f(fault.Parse)}, stale, "", ""},
		{
			"the first that stops it",
			[]*fault.Error{f(fault.NoSpec), f(fault.Parse), f(fault.Mount)},
			fallback,
			fault.Parse, noFallback,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := config.Defaults()
			if test.configure != nil {
				test.configure(c)
			}
			got := Stopper(c, test.failures)
			if (got == nil) != (test.code == "") || got != nil && (got.Code() != test.code || got.Hint() != test.hint) {
				t.Errorf("%v", got)
			}
		})
	}
}
