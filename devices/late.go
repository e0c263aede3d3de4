package devices

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/trust"
)

// late looks for the edits that a createRuntime hook cannot make in config.json, where an engine that knows CDI has put
// them: these are Present.
func (e *Edits) late(container *specs.Spec) {
	if p := container.Process; p != nil {
		for _, v := range e.Env {
			if v.among(p.Env) {
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
		if rdt.same(container.Linux.IntelRdt) {
			rdt.Status = Present
		}
	}
}

// same says whether config.json has the setting. What a class allows is the class's own; one without a name is the
// container's, and is known by what it allows.
func (rdt *IntelRdt) same(o *specs.LinuxIntelRdt) bool {
	if rdt.ClosID != "" || rdt.Setting == nil {
		return rdt.ClosID != "" && rdt.ClosID == o.ClosID
	}
	s := rdt.Setting
	return o.ClosID == "" && o.L3CacheSchema == s.L3CacheSchema && o.MemBwSchema == s.MemBwSchema && o.EnableMonitoring == s.EnableMonitoring &&
		slices.Equal(o.Schemata, s.Schemata)
}

// complete checks a hook that we are to run. One that config.json has already, for the engine applied the same Spec, is
// Present, whether we could run it or not.
func (h *Hook) complete(container *specs.Spec, owner trust.Owner) error {
	if h.Status == Apply {
		if err := h.trusted(owner); err != nil {
			return err
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

func (h *Hook) trusted(owner trust.Owner) error {
	if err := owner.Executable(h.Path); err != nil {
		return fault.New(fault.Hook, h.HookName+" hook of the CDI Spec", "%w", err).WithHint("a Spec's hook must be an executable of root that nobody else may write")
	}
	return nil
}

// lists are where in config.json the hook can be. Engines move hooks of one early stage to another.
func (h *Hook) lists(hooks *specs.Hooks) [][]specs.Hook {
	if h.Runs() {
		return [][]specs.Hook{hooks.Prestart, hooks.CreateRuntime, hooks.CreateContainer} //nolint:staticcheck // prestart is deprecated, engines still write it
	}
	switch h.HookName {
	case cdi.StartContainerHook:
		return [][]specs.Hook{hooks.StartContainer}
	case cdi.PoststartHook:
		return [][]specs.Hook{hooks.Poststart}
	}
	return [][]specs.Hook{hooks.Poststop}
}

// among says whether v is the entry for its name that a runtime uses, which is the last.
func (v *Env) among(environment []string) bool {
	name, _, _ := strings.Cut(v.Value, "=")
	for _, entry := range slices.Backward(environment) {
		if strings.HasPrefix(entry, name+"=") {
			return entry == v.Value
		}
	}
	return false
}
