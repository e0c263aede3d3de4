package request

import (
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Named returns the CDI names of what r requests, as the Specs define them: a count and "all" become devices that
// exist. If no Spec defines the kind, the names are those of the request.
func (r *Request) Named(specs *devices.Registry, v *config.Vendor) ([]string, error) {
	if err := r.countable(specs, v); err != nil {
		return nil, err
	}
	if r.Asked.Count > 0 && v != nil {
		if first := specs.First(v.Kind, r.Asked.Count); len(first) > 0 {
			return first, nil
		}
	}
	names := []string{}
	for _, n := range r.Names(v) {
		found := []string{}
		if n.Device == "all" {
			found = specs.Whole(n.Kind())
		}
		if len(found) == 0 {
			found = []string{n.String()}
		}
		names = append(names, found...)
	}
	return names, nil
}

// short lists devices without their kind, the first ones of many.
func short(names []string) string {
	const most = 4
	var out []string
	for _, name := range names[:min(len(names), most)] {
		_, device, _ := strings.Cut(name, "=")
		out = append(out, device)
	}
	if len(names) > most {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

// countable checks a number of devices against those that the Specs define.
func (r *Request) countable(specs *devices.Registry, v *config.Vendor) error {
	if r.Asked.Count <= 0 || v == nil {
		return nil
	}
	names := specs.Every(v.Kind)
	if len(names) == 0 || r.Asked.Count <= len(names) {
		return nil
	}
	return fault.New(fault.Request, v.Kind,
		"asked for %d, this host has %d (%s)", r.Asked.Count, len(names), short(names)).
		WithHint(`ask for no more than the host has, or for "all"; if it has more by now, generate the CDI Spec again`)
}
