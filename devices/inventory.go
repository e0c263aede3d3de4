package devices

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/fault"
)

// Device is a device that a CDI Spec of this host defines.
type Device struct {
	Name    string   `json:"name"` // qualified
	Kind    string   `json:"kind"`
	Spec    string   `json:"spec"`    // path of the Spec file
	Aliases []string `json:"aliases"` // other names of the same device
}

// Conflict is a name that two Specs of one directory define, so that it names nothing.
type Conflict struct {
	Name  string   `json:"name"`
	Specs []string `json:"specs"`
}

// Devices lists what the Specs define, by name.
func (r *Registry) Devices() []Device {
	out := []Device{}
	for _, name := range r.names() {
		if d := r.devices[name]; d.rival == "" {
			out = append(out, Device{name, kindOf(name), d.spec.path, r.aliases(name)})
		}
	}
	return out
}

// Conflicts lists the names that nobody can ask for.
func (r *Registry) Conflicts() []Conflict {
	out := []Conflict{}
	for _, name := range r.names() {
		if d := r.devices[name]; d.rival != "" {
			out = append(out, Conflict{name, []string{d.rival, d.spec.path}})
		}
	}
	return out
}

// Specs lists the files that define devices of the kind.
func (r *Registry) Specs(kind string) []string {
	out := []string{}
	for _, name := range r.names() {
		if path := r.devices[name].spec.path; kindOf(name) == kind && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	return out
}

// Count returns how many devices of the kind there are, each counted once whatever the number of its names, and one name
// of each. "all" and "none" are names of no device.
func (r *Registry) Count(kind string) (int, []string) {
	var distinct []string
	for _, name := range r.names() {
		_, device, _ := strings.Cut(name, "=")
		if kindOf(name) != kind || device == "all" || device == "none" {
			continue
		}
		if !slices.ContainsFunc(distinct, func(o string) bool { return r.same(o, name) }) {
			distinct = append(distinct, name)
		}
	}
	return len(distinct), distinct
}

// Distinct returns the names without those that are a second name of a device among them, and these by the first.
func (r *Registry) Distinct(names []string) (distinct []string, again map[string]string) {
	distinct, again = []string{}, map[string]string{}
	for _, name := range names {
		i := slices.IndexFunc(distinct, func(o string) bool { return o == name || r.same(o, name) })
		if i >= 0 {
			again[name] = distinct[i]
			continue
		}
		distinct = append(distinct, name)
	}
	return distinct, again
}

// Files returns the edits that every container with a device of the kind gets, without any device node: the driver's
// files.
func (r *Registry) Files(kind string) (*Resolved, error) {
	out := &Resolved{Edits: NewEdits()}
	for _, name := range r.names() {
		if d := r.devices[name]; kindOf(name) == kind && d.rival == "" {
			out.common(d.spec)
		}
	}
	if len(out.Shares) == 0 {
		return nil, r.undefined(kind, kind)
	}
	out.DeviceNodes = []*DeviceNode{}
	return out, nil
}

func (r *Registry) names() []string { return slices.Sorted(maps.Keys(r.devices)) }

func (r *Registry) aliases(name string) []string {
	out := []string{}
	for _, other := range r.names() {
		if other != name && r.same(name, other) {
			out = append(out, other)
		}
	}
	return out
}

// same says whether two names are of one device: one Spec gives both the same edits, and some at all.
func (r *Registry) same(a, b string) bool {
	x, y := r.devices[a], r.devices[b]
	return x != nil && y != nil && x.spec == y.spec && len(x.raw.ContainerEdits.DeviceNodes) > 0 &&
		reflect.DeepEqual(x.raw.ContainerEdits, y.raw.ContainerEdits)
}

func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, "=")
	return kind
}

func (r *Registry) undefined(what, kind string) error {
	if len(r.problems) > 0 {
		p := r.problems[0]
		return fault.New(p.Code, what, "no CDI Spec that can be used defines kind %s; rejected: %w", kind, p).WithHint("%s", p.Hint)
	}
	return fault.New(fault.NoSpec, what, "no CDI Spec defines kind %s (looked in %s)", kind, r.looked()).
		WithHint("generate one, for NVIDIA: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml")
}
