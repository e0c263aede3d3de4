package devices

import (
	"path"
	"strings"

	"github.com/gpu-hook/gpu-hook/fault"
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

// Node returns the warning with which d is left out because of err, or nil where a container cannot do without it.
func (o Optional) Node(d *DeviceNode, err error) *fault.Error {
	if d.Own {
		return nil
	}
	return leaveOut(o.of(kindNode, path.Clean(d.Path)), err)
}

// Mount is [Optional.Node] for a mount.
func (o Optional) Mount(m *Mount, err error) *fault.Error { return leaveOut(o.ofMount(m), err) }

// Hook is [Optional.Node] for a hook.
func (o Optional) Hook(h *Hook, err error) *fault.Error {
	return leaveOut(o.OfHook(h), err)
}

// OfHook says in words what makes the hook optional, or "".
func (o Optional) OfHook(h *Hook) string { return o.of(kindHook, h.names()...) }

func (o Optional) ofMount(m *Mount) string { return o.of(kindMount, path.Clean(m.ContainerPath)) }

func (o Optional) of(kind string, names ...string) string {
	if o == nil {
		return ""
	}
	return o(kind, names...)
}

func leaveOut(rule string, err error) *fault.Error {
	if rule == "" {
		return nil
	}
	f := fault.From(err)
	return fault.New(fault.Skipped, "", "%w; it is left out, which %s allows", f, rule).WithHint("if the container needs it: %s", f.Hint)
}

func (h *Hook) names() []string {
	names := []string{h.Path, path.Base(h.Path)}
	for i, word := range h.Args {
		if strings.HasPrefix(word, "-") {
			break
		}
		if i > 0 {
			names = append(names, word)
		}
	}
	return names
}
