package devices

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Hook is a program to run for the container.
type Hook struct {
	HookName string   `json:"hookName"`
	Path     string   `json:"path"`
	Args     []string `json:"args"`
	Status   Status   `json:"status"`

	Env     []string `json:"-"`
	Timeout *int     `json:"-"` // seconds
}

func hookList() editList {
	return listOf[Hook, *Hook]{
		func(e *Edits) *[]*Hook { return &e.Hooks },
		func(c *cdispecs.ContainerEdits) []*Hook { return convert(c.Hooks, hookOf) },
		replace[*Hook],
	}
}

func hookOf(h *cdispecs.Hook) *Hook {
	hook := &Hook{HookName: h.HookName, Path: h.Path, Args: nonNil(h.Args), Status: Apply, Env: h.Env, Timeout: h.Timeout}
	if !hook.Makes() {
		hook.Status = Late
	}
	return hook
}

// Label implements [Edit].
func (h *Hook) Label() string { return h.HookName + " hook " + h.Path }

// Row implements [Edit]. The first argument tells what the hook does, where a program has commands.
func (h *Hook) Row() (label, detail string) {
	label = "hook " + h.HookName
	if len(h.Args) > 1 {
		label += " " + h.Args[1]
	}
	return label, h.Path
}

// State implements [Edit].
func (h *Hook) State() *Status { return &h.Status }

// Makes reports whether gpu-hook runs the hook, at createRuntime: it does for the stages prestart, createRuntime and
// createContainer.
func (h *Hook) Makes() bool {
	switch h.HookName {
	case cdi.PrestartHook, cdi.CreateRuntimeHook, cdi.CreateContainerHook:
		return true
	}
	return false
}

// Undone implements [Edit].
func (*Hook) Undone() bool { return false }

// names returns the path of the hook's program, the last element of it, and the words that follow the program in the
// arguments, up to the first flag.
func (h *Hook) names() (kind string, names []string) {
	names = []string{h.Path, path.Base(h.Path)}
	for i, word := range h.Args {
		if strings.HasPrefix(word, "-") {
			break
		}
		if i > 0 {
			names = append(names, word)
		}
	}
	return kindHook, names
}

// key returns all of the hook but its timeout, quoted, so that no two hooks come to one text.
func (h *Hook) key() string { return fmt.Sprintf("%q %q %q %q", h.HookName, h.Path, h.Args, h.Env) }

// complete checks that a hook that gpu-hook is to run is trusted. A hook that config.json already has, because the
// engine applied the same Spec, becomes Present.
func (h *Hook) complete(on *host) error {
	if h.Status == Apply {
		if err := h.trusted(on.owner); err != nil {
			return err
		}
		if err := h.onHost(on); err != nil {
			return err
		}
	}
	if on.container.Hooks == nil {
		return nil
	}
	for _, list := range h.lists(on.container.Hooks) {
		same := func(o specs.Hook) bool { return o.Path == h.Path && slices.Equal(o.Args, h.Args) }
		if slices.ContainsFunc(list, same) {
			h.Status = Present
		}
	}
	return nil
}

func (h *Hook) trusted(owner trust.Owner) error {
	err := owner.Executable(h.Path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Hook, h.HookName+" hook of the CDI Spec", "%w", &ProgramError{h.Path, err}).
			WithHint("install %s, or correct the hook's path in the CDI Spec", h.Path)
	case errors.Is(err, trust.ErrUntrusted):
		return fault.New(fault.Hook, h.HookName+" hook of the CDI Spec", "%w", err).
			WithHint("find out who changed it; then install its package again")
	}
	return fault.New(fault.Hook, h.HookName+" hook of the CDI Spec", "%w", err).
		WithHint("see that root can read %s", h.Path)
}

// onHost returns an error if the program is in the container's root filesystem, where the author of the image put it.
func (h *Hook) onHost(on *host) error {
	const hint = "name a program of the host in the CDI Spec"
	resolved, err := on.sources.resolve(h.Path)
	if err != nil {
		return fault.New(fault.Hook, h.HookName+" hook of the CDI Spec", "%w", err).WithHint(hint)
	}
	if on.inRoot(resolved) {
		return fault.New(fault.Hook, h.HookName+" hook of the CDI Spec",
			"%s: it is in the container's own root filesystem", h.Path).WithHint(hint)
	}
	return nil
}

// ProgramError says that a hook's program is missing on the host.
type ProgramError struct {
	Path  string
	cause error
}

// Error implements error.
func (e *ProgramError) Error() string { return e.Path + ": it is not installed" }

// Unwrap returns what was tried in vain.
func (e *ProgramError) Unwrap() error { return e.cause }

// lists returns the lists of config.json that may have the hook. Engines move hooks from one early stage to another.
func (h *Hook) lists(hooks *specs.Hooks) [][]specs.Hook {
	if h.Makes() {
		//nolint:staticcheck // prestart is deprecated, engines still write it
		return [][]specs.Hook{hooks.Prestart, hooks.CreateRuntime, hooks.CreateContainer}
	}
	switch h.HookName {
	case cdi.StartContainerHook:
		return [][]specs.Hook{hooks.StartContainer}
	case cdi.PoststartHook:
		return [][]specs.Hook{hooks.Poststart}
	}
	return [][]specs.Hook{hooks.Poststop}
}

// RunBy returns why the runtime must not run the hook, or nil. The runtime runs it as root on the host, so its program
// must be trusted. A startContainer hook is a program of the container and runs inside it.
func (h *Hook) RunBy(owner trust.Owner) error {
	if h.HookName == cdi.StartContainerHook {
		return nil
	}
	return h.trusted(owner)
}
