package devices

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Device is a device that a CDI Spec of this host defines.
type Device struct {
	Name    string   `json:"name"` // qualified
	Kind    string   `json:"kind"`
	Spec    string   `json:"spec"`    // path of the Spec file
	Aliases []string `json:"aliases"` // other names of the same device
}

// Conflict is a name that two Specs of one directory define. It cannot be requested.
type Conflict struct {
	Name  string   `json:"name"`
	Specs []string `json:"specs"`
}

// Devices returns the devices that the Specs define, in the order of their names.
func (r *Registry) Devices() []Device {
	out := []Device{}
	groups := r.alike(r.names())
	for _, name := range r.names() {
		if d := r.devices[name]; d.rival == "" {
			out = append(out, Device{name, kindOf(name), d.spec.path, r.aliases(name, groups[r.mark(name)])})
		}
	}
	return out
}

// Conflicts returns the names that cannot be requested.
func (r *Registry) Conflicts() []Conflict {
	out := []Conflict{}
	for _, name := range r.names() {
		if d := r.devices[name]; d.rival != "" {
			out = append(out, Conflict{name, []string{d.rival, d.spec.path}})
		}
	}
	return out
}

// Specs returns the paths of the files that define devices of the kind.
func (r *Registry) Specs(kind string) []string {
	out, seen := []string{}, map[string]bool{}
	for _, name := range r.namesOf(kind) {
		if path := r.devices[name].spec.path; !seen[path] {
			out, seen[path] = append(out, path), true
		}
	}
	return out
}

// Every returns the devices of the kind in the order of their names (0, 1, 2, 10). A device that has several names is
// returned once, by its first name. "all" and "none" are not devices, unless "all" is the only name.
func (r *Registry) Every(kind string) []string {
	var names []string
	for _, name := range r.namesOf(kind) {
		_, device, _ := strings.Cut(name, "=")
		if device != "all" && device != "none" {
			names = append(names, name)
		}
	}
	if whole := kind + "=all"; len(names) == 0 && r.device(whole) != nil {
		return []string{whole}
	}
	distinct, _ := r.Distinct(names)
	return distinct
}

// First returns n devices of the kind, or fewer if there are fewer: "0" to "n-1" if the Specs define all of these
// names, which are NVIDIA's indices, and else the first n of [Registry.Every].
func (r *Registry) First(kind string, n int) []string {
	every := r.Every(kind)
	if n > len(every) {
		return every
	}
	indices := make([]string, 0, n)
	for i := range n {
		name := kind + "=" + strconv.Itoa(i)
		if r.device(name) == nil {
			return every[:n]
		}
		indices = append(indices, name)
	}
	return indices
}

// Whole returns what "all" of the kind means: the device "all" if a Spec defines it, and else every device.
func (r *Registry) Whole(kind string) []string {
	if whole := kind + "=all"; r.device(whole) != nil {
		return []string{whole}
	}
	return r.Every(kind)
}

// Distinct returns the names without those that name a device a second time. again maps each of these to the first name
// of its device.
func (r *Registry) Distinct(names []string) (distinct []string, again map[string]string) {
	distinct, again = []string{}, map[string]string{}
	alike := map[string][]string{} // those of distinct, by their marks
	for _, name := range names {
		mark := r.mark(name)
		i := slices.IndexFunc(alike[mark], func(o string) bool { return o == name || r.same(o, name) })
		if i >= 0 {
			again[name] = alike[mark][i]
			continue
		}
		alike[mark] = append(alike[mark], name)
		distinct = append(distinct, name)
	}
	return distinct, again
}

// mark returns a text that all names of one device have in common, so that not every name is compared with all others.
func (r *Registry) mark(name string) string {
	d := r.device(name)
	if d == nil || len(d.raw.ContainerEdits.DeviceNodes) == 0 {
		return name
	}
	if d.mark == "" {
		d.mark = markOf(d)
	}
	return d.mark
}

// markOf returns the mark of a device with nodes. Where many devices have the same nodes, they differ in the rest.
func markOf(d *device) string {
	e := &d.raw.ContainerEdits
	words := make([]string, 0, 1+len(e.DeviceNodes)+len(e.Env)+len(e.Mounts)+len(e.Hooks))
	words = append(words, d.spec.path)
	for _, node := range e.DeviceNodes {
		words = append(words, node.Path)
	}
	words = append(words, e.Env...)
	for _, mount := range e.Mounts {
		words = append(words, mount.ContainerPath)
	}
	for _, hook := range e.Hooks {
		words = append(append(words, hook.Path), hook.Args...)
	}
	return strings.Join(words, "\x00")
}

// alike returns the names by their marks.
func (r *Registry) alike(names []string) map[string][]string {
	out := make(map[string][]string, len(names))
	for _, name := range names {
		mark := r.mark(name)
		out[mark] = append(out[mark], name)
	}
	return out
}

// Files returns the edits that every container with a device of the kind gets, without device nodes. These are the
// driver's files.
func (r *Registry) Files(kind string) (*Resolved, error) {
	out := newResolved()
	for _, name := range r.namesOf(kind) {
		if d := r.devices[name]; d.rival == "" {
			out.common(d.spec)
		}
	}
	if len(out.Shares) == 0 {
		return nil, r.undefined(kind, kind)
	}
	out.merge()
	out.DeviceNodes = []*DeviceNode{}
	return out, nil
}

// names returns the names of all devices in the order of [Natural]. The list belongs to the registry.
func (r *Registry) names() []string { return r.namesOf("") }

// namesOf returns the names of the devices of the kind, or of all kinds where it is "", in the order of [Natural]. The
// list belongs to the registry.
func (r *Registry) namesOf(kind string) []string {
	r.need(kind)
	if names, known := r.sorted[kind]; known {
		return names
	}
	var names []string
	for name := range r.devices {
		if kind == "" || kindOf(name) == kind {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, Natural)
	if r.sorted == nil {
		r.sorted = map[string][]string{}
	}
	r.sorted[kind] = names
	return names
}

// aliases returns the other names of the device, which are among those with its mark.
func (r *Registry) aliases(name string, alike []string) []string {
	out := []string{}
	for _, other := range alike {
		if other != name && r.same(name, other) {
			out = append(out, other)
		}
	}
	return out
}

// same reports whether two names are of one device: one Spec gives both the same edits, with a device node among them.
func (r *Registry) same(a, b string) bool {
	x, y := r.device(a), r.device(b)
	return x != nil && y != nil && x.spec == y.spec && len(x.raw.ContainerEdits.DeviceNodes) > 0 &&
		reflect.DeepEqual(&x.raw.ContainerEdits, &y.raw.ContainerEdits)
}

func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, "=")
	return kind
}
