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

// Optional decides which edits a container can do without if they cannot be made. It is called with the edit's kind
// ("node", "mount" or "hook") and the names by which a rule may list it. It returns a phrase that says what makes the
// edit optional, or "" if it is required:
//
//   - A node has its path in the container as name. A node of a requested device itself is always required: it is what
//     was requested.
//   - A mount has its path in the container as name.
//   - A hook has these names: its program's path, the last element of it, and the words that follow in its arguments up
//     to the first flag. "nvidia-cdi-hook chmod --path /dev/dri" is a chmod.
//
// Network devices are always required. With a nil Optional every edit is required.
type Optional func(kind string, names ...string) string

// Note returns the warning that the edit is left out because of err, or nil if the edit is required.
func (o Optional) Note(e Edit, err error) *fault.Error {
	rule := o.Of(e)
	if rule == "" {
		return nil
	}
	f := fault.From(err)
	return fault.New(fault.Skipped, "", "%w; it is left out, which %s allows", f, rule).
		WithHint("if the container needs it: %s", f.Hint())
}

// Of returns the phrase that says what makes the edit optional, or "".
func (o Optional) Of(e Edit) string {
	kind, names := e.names()
	if o == nil || len(names) == 0 {
		return ""
	}
	return o(kind, names...)
}
