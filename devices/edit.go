package devices

import (
	"iter"
	"slices"

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

// editList is the list of one kind of edit in [Edits]. It is what the functions for all edits need to know of a kind.
type editList struct {
	// read makes the list of e from CDI's edits. It is empty, not nil, if these have none of the kind.
	read func(e *Edits, c *cdispecs.ContainerEdits)
	// each calls yield with each edit of the list until yield returns false. It reports whether it has not.
	each func(e *Edits, yield func(Edit) bool) bool
	// clone makes the list of to a copy of that of from, with edits of its own.
	clone func(to, from *Edits)
}

// newEditList returns the list of a kind of edit: where it is in [Edits], and how it is made from CDI's edits.
func newEditList[T any, E interface {
	*T
	Edit
}](of func(*Edits) *[]E, read func(*cdispecs.ContainerEdits) []E) editList {
	return editList{
		read: func(e *Edits, c *cdispecs.ContainerEdits) { *of(e) = read(c) },
		each: func(e *Edits, yield func(Edit) bool) bool {
			return !slices.ContainsFunc(*of(e), func(edit E) bool { return !yield(edit) })
		},
		clone: func(to, from *Edits) {
			edits := make([]E, 0, len(*of(from)))
			for _, edit := range *of(from) {
				c := *edit
				edits = append(edits, &c)
			}
			*of(to) = edits
		},
	}
}

// All returns an iterator over the edits, list by list in the order of the JSON form.
func (e *Edits) All() iter.Seq[Edit] {
	return func(yield func(Edit) bool) {
		for _, list := range editLists() {
			if !list.each(e, yield) {
				return
			}
		}
	}
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
	out := &Edits{Notes: slices.Clone(e.Notes)}
	for _, list := range editLists() {
		list.clone(out, e)
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
}

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

// fromSpec converts CDI's edits. Those that a createRuntime hook cannot make are Late.
func fromSpec(c *cdispecs.ContainerEdits) *Edits {
	e := &Edits{}
	for _, list := range editLists() {
		list.read(e, c)
	}
	return e
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
