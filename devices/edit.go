package devices

import (
	"iter"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Edit is one edit of a container. Each kind of CDI's container edits implements it in a file of its own: edit_env.go,
// edit_node.go and so on. Code that needs all edits uses [Edits.All].
type Edit interface {
	// Label names the edit in a sentence: "variable X=Y", "node /dev/nvidia0".
	Label() string
	// Row returns the two columns of a table: the edit's kind and name, and its details, which may be "".
	Row() (label, detail string)
	// State returns a pointer to the edit's status.
	State() *Status
	// Makes reports whether a createRuntime hook can make the edit. If not, its status is Late.
	Makes() bool
	// Undone reports whether the edit is undone if carrying out the plan fails. A hook that ran cannot be.
	Undone() bool

	// key returns what the edit changes, in a form that no other edit of its kind has. A later edit with the same key
	// replaces the edit.
	key() string
	// complete checks the edit against the host and fills in what the Spec leaves open. If config.json already has the
	// edit, its status becomes Present.
	complete(h *host) error
	// names returns the kind and the names by which [Optional] knows the edit. It returns no names if the edit is always
	// required.
	names() (kind string, names []string)
}

// editList is the list of one kind of edit in [Edits]. It is what the functions for all edits need to know of a kind.
type editList interface {
	// read makes the list of e from CDI's edits. If these have none of the kind, the list is empty, not nil.
	read(e *Edits, c *cdispecs.ContainerEdits)
	// each calls yield with each edit of the list until yield returns false. It reports whether yield never did.
	each(e *Edits, yield func(Edit) bool) bool
	// clone makes the list of to a copy of the list of from, with edits of its own.
	clone(to, from *Edits)
	// share makes the list of to a copy of the list of from, with the same edits.
	share(to, from *Edits)
	// merge adds the lists of all of from to the list of to.
	merge(to *Edits, from []*Edits)
}

// listOf is the [editList] of the edits E: where it is in [Edits], how it is made from CDI's edits, and how others are
// added to it, which is replace unless their kind has more to it.
type listOf[T any, E interface {
	*T
	Edit
}] struct {
	of   func(*Edits) *[]E
	from func(*cdispecs.ContainerEdits) []E
	add  func(list, more []E) []E
}

func (l listOf[T, E]) read(e *Edits, c *cdispecs.ContainerEdits) { *l.of(e) = l.from(c) }

func (l listOf[T, E]) each(e *Edits, yield func(Edit) bool) bool {
	return !slices.ContainsFunc(*l.of(e), func(edit E) bool { return !yield(edit) })
}

func (l listOf[T, E]) clone(to, from *Edits) {
	edits := make([]E, 0, len(*l.of(from)))
	for _, edit := range *l.of(from) {
		c := *edit
		edits = append(edits, &c)
	}
	*l.of(to) = edits
}

func (l listOf[T, E]) share(to, from *Edits) { *l.of(to) = append([]E{}, *l.of(from)...) }

func (l listOf[T, E]) merge(to *Edits, from []*Edits) {
	if len(from) == 1 {
		*l.of(to) = l.add(*l.of(to), *l.of(from[0]))
		return
	}
	var more []E
	for _, e := range from {
		more = append(more, *l.of(e)...)
	}
	*l.of(to) = l.add(*l.of(to), more)
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

// Statuses returns pointers to the statuses of all edits, in the order of [Edits.All].
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

// Append adds the edits of the others to e, in their order, as the CDI library does. A node or mount replaces the one
// on its path, a variable the one of its name, and a network device the one of its name on the host. Equal hooks and
// groups are added once. Mounts are in the order of the depth of their paths. Of Intel RDT settings only the last
// remains.
func (e *Edits) Append(others ...*Edits) {
	for _, list := range editLists() {
		list.merge(e, others)
	}
	for _, other := range others {
		if len(other.Notes) > 0 {
			e.Notes = merge(e.Notes, other.Notes, (*fault.Error).What)
		}
	}
}

// Join returns the edits of all parts as one, as [Edits.Append] adds them: its edits are those of the parts, its lists
// are its own. The parts were made by Append themselves, so that the edits of a single one need no merging. Most plans
// have only one, and each is joined five times in a start.
func Join(parts ...*Edits) *Edits {
	parts = slices.DeleteFunc(slices.Clone(parts), (*Edits).empty)
	out := NewEdits()
	if len(parts) == 0 {
		return out
	}
	for _, list := range editLists() {
		list.share(out, parts[0])
	}
	out.Notes = slices.Clone(parts[0].Notes)
	out.Append(parts[1:]...)
	return out
}

// empty reports whether there is neither an edit nor a note.
func (e *Edits) empty() bool {
	for range e.All() {
		return false
	}
	return len(e.Notes) == 0
}

// replace puts each of more in the place of the first element of list with the same key, or else at the end.
func replace[E Edit](list, more []E) []E { return merge(list, more, E.key) }

// merge is replace for anything that has a key. Keys are made once for each element: compared in pairs, the paths of 40
// mounts took a fifth of the time of a start.
func merge[T any](list, more []T, key func(T) string) []T {
	if len(more) == 0 {
		return list
	}
	places := make(map[string]int, len(list)+len(more))
	for i, v := range slices.Backward(list) {
		places[key(v)] = i
	}
	for _, v := range more {
		k := key(v)
		if i, ok := places[k]; ok {
			list[i] = v
			continue
		}
		places[k] = len(list)
		list = append(list, v)
	}
	return list
}

// host is what [Edit.complete] needs to know: the container's config.json, its root filesystem ("" if it is not known),
// and whose files may be run.
type host struct {
	container *specs.Spec
	root      string
	owner     trust.Owner
	sources   *sources
	carried   *carried
}

// inRoot reports whether the path, which has no links, is in the container's root filesystem.
func (h *host) inRoot(resolved string) bool {
	return h.root != "" && strings.HasPrefix(resolved+"/", h.root+"/")
}

// Complete checks every edit against the host and fills in what the Spec leaves open. A node gets its type, numbers and
// mode from the host's node and its owner from the container's process, as in the CDI library. An edit that config.json
// already has, because the engine applied the same Spec, becomes Present. Nothing else is changed.
//
// root is the container's root filesystem, or "" if it is not known. No host file may be in it.
//
// An edit that cannot be made becomes Skipped, with a warning, if the rule makes it optional. Otherwise Complete
// returns its error and checks no further edit.
func (e *Edits) Complete(
	container *specs.Spec, root string, owner trust.Owner, rule Optional,
) (skipped []*fault.Error, err error) {
	h := &host{container, root, owner, newSources(owner), carriedOf(container)}
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

// convert returns what of makes of each element, without those for which it returns nil.
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
