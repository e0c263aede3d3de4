package devices

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/trust"
)

// late looks for the edits that a createRuntime hook cannot make in config.json, where an engine that knows CDI has put
// them: these are Present.
func (e *Edits) late(container *specs.Spec) {
	if p := container.Process; p != nil {
		for _, v := range e.Env {
			if slices.Contains(p.Env, v.Value) {
				v.Status = Present
			}
		}
		for _, g := range e.AdditionalGIDs {
			if p.User.GID == g.Value || slices.Contains(p.User.AdditionalGids, g.Value) {
				g.Status = Present
			}
		}
	}
	if container.Linux == nil || container.Linux.IntelRdt == nil {
		return
	}
	for _, rdt := range e.IntelRdt {
		// What the class allows is the class's own; a class without a name is the container's, and can be any.
		if rdt.ClosID != "" && rdt.ClosID == container.Linux.IntelRdt.ClosID {
			rdt.Status = Present
		}
	}
}

// complete checks a hook that we are to run. One that config.json has already, for the engine applied the same Spec, is
// Present, whether we could run it or not.
func (h *Hook) complete(container *specs.Spec, owner trust.Owner) error {
	if h.Status == Apply {
		if err := owner.Executable(h.Path); err != nil {
			return fault.New(fault.Hook, h.HookName+" hook of the CDI Spec", "%w", err).WithHint("a Spec's hook must be an executable of root that nobody else may write")
		}
	}
	if container.Hooks == nil {
		return nil
	}
	for _, list := range h.lists(container.Hooks) {
		if slices.ContainsFunc(list, func(o specs.Hook) bool { return o.Path == h.Path && slices.Equal(o.Args, h.Args) }) {
			h.Status = Present
		}
	}
	return nil
}

// lists are where in config.json the hook can be. Engines move hooks of one early stage to another.
func (h *Hook) lists(hooks *specs.Hooks) [][]specs.Hook {
	if h.Runs() {
		return [][]specs.Hook{hooks.Prestart, hooks.CreateRuntime, hooks.CreateContainer} //nolint:staticcheck // prestart is deprecated, engines still write it
	}
	return [][]specs.Hook{hooks.StartContainer, hooks.Poststart, hooks.Poststop}
}
