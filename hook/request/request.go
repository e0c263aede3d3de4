// Package request reads what a container requests: from its annotations, its mounts and its environment. It decides
// neither which of several requests wins nor who serves it.
package request

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Request is what one source requests of one vendor, or of the first of several that can serve it.
type Request struct {
	plan.Request
	Origin  config.Source
	Vendors []*config.Vendor // that it may go to, in order; none for a kind of no configured vendor
	Pin     string           // the one driver that may serve it, or ""
	IDs     []string         // as written, each once
	Asked   devices.Request  // the request as Docker has it, where it is one of these

	// Part is what is requested apart from devices, and contested apart: the name of a part of the vendor's contract, or
	// the kind of a feature. It is "" for devices.
	Part string
	// PartKind is the CDI kind that completes an id of the part.
	PartKind string

	Files    bool         // the driver's files, without a device
	Void     bool         // an explicit nothing that engines and Specs write by themselves
	Weak     bool         // a wish: if nothing can serve it, the container starts without
	Replaced bool         // it comes from a variable in whose place the preferred ones count
	Engine   bool         // the engine serves it itself
	Hint     string       // what to do if it is refused and the policy is not the reason
	Err      *fault.Error // why the value makes no sense; it stops the start if the request wins

	chosen  []string // capabilities that are left of those of a request that names a driver, or nil for all
	dropped []string // those that are left out
}

// maxShown bounds what a report shows of a value, in bytes, and maxRefused the devices that it shows of a refused
// request.
const (
	maxShown   = 512
	maxRefused = 16
)

// New returns a request of a source, for nothing yet.
func New(origin config.Source, unsafeValue string) *Request {
	shown := unsafeValue
	if len(shown) > maxShown {
		shown = strings.ToValidUTF8(shown[:maxShown], "") + "…"
	}
	shownSource := report.Plain(origin.String())
	return &Request{
		Request: plan.Request{Source: shownSource, Value: shown, Devices: []string{}, Capabilities: []string{}},
		Origin:  origin,
	}
}

// Env returns the source that the variable is.
func Env(variable string) config.Source {
	return config.Source{Kind: config.SourceEnv, UnsafeKey: variable}
}

// FromEnv reports whether the container's environment makes the request. Images bring environment along.
func (r *Request) FromEnv() bool { return r.Origin.Kind == config.SourceEnv }

// With returns a copy of r for other vendors and ids.
func (r *Request) With(vendors []*config.Vendor, ids []string) *Request {
	c := *r
	c.Vendors, c.IDs = vendors, nil
	c.Devices, c.Capabilities = []string{}, slices.Clone(r.Capabilities)
	seen := map[string]bool{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			c.IDs, c.Devices = append(c.IDs, id), append(c.Devices, id)
		}
	}
	if len(vendors) > 0 {
		c.Vendor = vendors[0].Name
	}
	return &c
}

// of returns a copy of r for one vendor. If any CDI driver may serve r, that vendor's may serve the copy.
func (r *Request) of(v *config.Vendor) *Request {
	c := r.With([]*config.Vendor{v}, r.IDs)
	if c.Pin == config.DriverAnyCDI {
		c.Pin = v.Name + config.DriverCDI
	}
	return c
}

// Refuse settles r as refused by policy, for this reason, and returns it.
func (r *Request) Refuse(format string, args ...any) *Request {
	r.Err = nil
	r.Status, r.Reason = plan.Refused, fmt.Sprintf(format, args...)
	if len(r.Devices) > maxRefused {
		r.Devices = append(r.Devices[:maxRefused:maxRefused], "…")
	}
	return r
}

// nothing settles r as one for nothing, and returns it.
func (r *Request) nothing(why string) *Request {
	r.Status, r.Reason = plan.Empty, "it asks for nothing: "+why
	return r
}

// mistake makes err, which may have a code of its own, the reason why r makes no sense, and returns r.
func (r *Request) mistake(err error) *Request {
	const hint = `ask for example for "all", for "2", for "device=0,1" or, in CDI's names, for "device=nvidia.com/gpu=0"`
	code := fault.Request
	var f *fault.Error
	if errors.As(err, &f) {
		code = f.Code()
	}
	r.Err = fault.New(code, r.String(), "%w", err).WithHint(hint)
	if f != nil && f.Hint() != "" {
		r.Err = r.Err.WithHint("%s", f.Hint())
	}
	return r
}

// Stop settles r as the request for which the container does not start, and returns err.
func (r *Request) Stop(err *fault.Error) *fault.Error {
	r.Status, r.Reason = plan.Refused, report.Plain(err.Unwrap().Error())
	return err
}

// Parties returns the contests in which r takes part: one for each vendor and part.
func (r *Request) Parties() []string {
	if len(r.Vendors) == 0 {
		return []string{r.Vendor + "/" + r.Part}
	}
	var out []string
	for _, v := range r.Vendors {
		out = append(out, v.Name+"/"+r.Part)
	}
	return out
}

// Names returns the CDI names of what r requests. An id without a kind gets that of the vendor, which may be nil.
func (r *Request) Names(v *config.Vendor) []devices.Name {
	kind := r.Kind(v)
	var out []devices.Name
	for _, id := range r.IDs {
		out = append(out, nameOf(id, kind))
	}
	return out
}

// Kind returns the CDI kind of an id that has none, "" if v is nil.
func (r *Request) Kind(v *config.Vendor) string {
	switch {
	case r.PartKind != "":
		return r.PartKind
	case v != nil:
		return v.Kind
	}
	return ""
}

// SameDevices reports whether two requests are for the same devices.
func SameDevices(a, b *Request) bool {
	names := func(r *Request) []string {
		var v *config.Vendor
		if len(r.Vendors) > 0 {
			v = r.Vendors[0]
		}
		var out []string
		for _, n := range r.Names(v) {
			out = append(out, n.String())
		}
		slices.Sort(out)
		return out
	}
	return a.Files == b.Files && (a.Status == plan.Empty) == (b.Status == plan.Empty) && slices.Equal(names(a), names(b))
}
