package devices

import (
	"cmp"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Edit is one edit of a container. Each kind of CDI's container edits is one implementation, with all that is particular to
// it in a file of its own: edit_env.go, edit_node.go and so on. Whoever needs to know of every edit goes over [Edits.All].
type Edit interface {
	// Label names the edit in a sentence, such as "variable X=Y" or "node /dev/nvidia0".
	Label() string
	// Row names the edit in a table, by the word of its kind, with what more there is to say of it, or "".
	Row() (label, detail string)
	// State points to what becomes of the edit.
	State() *Status
	// Makes reports whether a createRuntime hook makes the edit. Any other is late.
	Makes() bool
	// Undone reports whether the edit is taken back where carrying the plan out fails. A hook that ran has run.
	Undone() bool

	// addTo adds the edit to e, in the place of one that it stands for.
	addTo(e *Edits)
	// complete checks the edit against the host and fills in what the Spec leaves to it. An edit that config.json carries
	// already becomes Present.
	complete(h *host) error
	// names are the kind and the names by which [Optional] knows the edit; none for one that is always required.
	names() (kind string, names []string)
}

// All goes over the edits, list by list in the order of the JSON form.
func (e *Edits) All() iter.Seq[Edit] {
	return func(yield func(Edit) bool) {
		_ = each(e.Env, yield) && each(e.DeviceNodes, yield) && each(e.Mounts, yield) && each(e.Hooks, yield) &&
			each(e.NetDevices, yield) && each(e.AdditionalGIDs, yield) && each(e.IntelRdt, yield)
	}
}

func each[E Edit](list []E, yield func(Edit) bool) bool {
	return !slices.ContainsFunc(list, func(e E) bool { return !yield(e) })
}

// Statuses returns where the status of each edit is, in the order of [Edits.All].
func (e *Edits) Statuses() []*Status {
	var out []*Status
	for edit := range e.All() {
		out = append(out, edit.State())
	}
	return out
}

// Clone returns edits whose statuses can be set without changing those of e.
func (e *Edits) Clone() *Edits {
	return &Edits{
		Env: copies(e.Env), DeviceNodes: copies(e.DeviceNodes), Mounts: copies(e.Mounts), Hooks: copies(e.Hooks),
		NetDevices: copies(e.NetDevices), AdditionalGIDs: copies(e.AdditionalGIDs), IntelRdt: copies(e.IntelRdt),
		Notes: slices.Clone(e.Notes),
	}
}

func copies[T any](list []*T) []*T {
	out := make([]*T, 0, len(list))
	for _, v := range list {
		c := *v
		out = append(out, &c)
	}
	return out
}

// Append adds other's edits to e: a node or mount for a path that e has already takes its place, as in the CDI library,
// and so does a network device's name; mounts go by depth, what would be the same twice (a hook, a group, a variable) is
// taken once, and a container has one Intel RDT setting, the last.
func (e *Edits) Append(other *Edits) {
	for edit := range other.All() {
		edit.addTo(e)
	}
	for _, n := range other.Notes {
		e.Notes = replace(e.Notes, n, func(o *fault.Error) bool { return o.What() == n.What() })
	}
	slices.SortStableFunc(e.Mounts, func(a, b *Mount) int { return cmp.Compare(depth(a), depth(b)) })
}

func depth(m *Mount) int { return strings.Count(path.Clean(m.ContainerPath), "/") }

// replace puts v in the place of the first element that is the same, or at the end.
func replace[T any](list []T, v T, same func(T) bool) []T {
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = v
		return list
	}
	return append(list, v)
}

// host is what edits are completed by: the container's config.json, its root filesystem, "" where that is not known, and
// whose files may be run.
type host struct {
	container *specs.Spec
	root      string
	owner     trust.Owner
}

// Complete checks every edit against the host and fills in what the Spec leaves to it: a node's type, numbers, mode and
// owner (that of the process, as the CDI library has it). What config.json carries already, because the engine applied
// the same Spec, becomes Present. root is the container's root filesystem, or "" where it is not known; nothing of the
// host may come from there. What cannot be carried out is Skipped, with a warning, where the rule lets a container do
// without it; else it is the error, which names the first such edit. It reads and changes nothing else.
func (e *Edits) Complete(container *specs.Spec, root string, owner trust.Owner, rule Optional) (skipped []*fault.Error, err error) {
	h := &host{container, root, owner}
	for edit := range e.All() {
		err := edit.complete(h)
		if err == nil {
			continue
		}
		note := rule.Note(edit, err)
		if note == nil {
			return nil, err
		}
		*edit.State(), skipped = Skipped, append(skipped, note)
	}
	return skipped, nil
}

// fromSpec converts CDI's edits. What a createRuntime hook cannot do is late.
func fromSpec(c *cdispecs.ContainerEdits) *Edits {
	return &Edits{
		Env: convert(c.Env, envOf), DeviceNodes: convert(c.DeviceNodes, nodeOf), Mounts: convert(c.Mounts, mountOf),
		Hooks: convert(c.Hooks, hookOf), NetDevices: convert(c.NetDevices, netDeviceOf),
		AdditionalGIDs: convert(c.AdditionalGIDs, gidOf), IntelRdt: convert([]*cdispecs.IntelRdt{c.IntelRdt}, rdtOf),
	}
}

// convert returns what of makes of each element, but for those of which it makes nothing.
func convert[From, To any](list []From, of func(From) *To) []*To {
	out := []*To{}
	for _, v := range list {
		if made := of(v); made != nil {
			out = append(out, made)
		}
	}
	return out
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
