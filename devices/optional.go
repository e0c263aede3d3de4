package devices

import (
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Kinds of edits that a rule can name.
const (
	kindNode  = "node"
	kindMount = "mount"
	kindHook  = "hook"
)

// Optional is the rule of which edits a container can do without where they cannot be made. It is given the edit's kind
// ("node", "mount" or "hook") and the names by which it is known, and returns in words what makes it optional, or "":
//
//   - a node is known by its path in the container. One that a requested device itself carries is never optional: it is
//     what was asked for;
//   - a mount is known by its path in the container;
//   - a hook is known by its program's path, by the last element of it, and by the words that follow in its arguments up
//     to the first flag: "nvidia-cdi-hook chmod --path /dev/dri" is a chmod.
//
// Network devices are always required. With nil everything is.
type Optional func(kind string, names ...string) string

// Note returns the warning with which an edit is left out because of err, or nil where a container cannot do without it.
func (o Optional) Note(e Edit, err error) *fault.Error {
	rule := o.Of(e)
	if rule == "" {
		return nil
	}
	f := fault.From(err)
	return fault.New(fault.Skipped, "", "%w; it is left out, which %s allows", f, rule).
		WithHint("if the container needs it: %s", f.Hint())
}

// Of returns in words what makes the edit optional, or "".
func (o Optional) Of(e Edit) string {
	kind, names := e.names()
	if o == nil || len(names) == 0 {
		return ""
	}
	return o(kind, names...)
}
