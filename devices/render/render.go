// Package render carries out a plan before there is a container: in the runtime-spec object from which the runtime will
// make it. It converts bytes to bytes and does nothing else. It keeps those parts of the object that it does not know
// as they are.
package render

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Plan is what to put into the object.
type Plan struct {
	Env      []string              // KEY=VALUE; each replaces those of the same key
	Groups   []uint32              // supplementary groups of the process
	Hooks    []*devices.Hook       // each is put behind the others of its stage
	IntelRdt *devices.IntelRdt     // replaces another setting; may be nil
	Rules    []*devices.DeviceNode // nodes that need a device rule; they are not made here
}

// Spec returns the runtime-spec object in raw with the plan carried out in it. It adds no device rule for a node that
// the rules already allow. Numbers and unknown members keep their text. If the plan changes nothing, the result is raw
// itself.
func Spec(raw []byte, p Plan) ([]byte, error) {
	spec, err := parse(raw)
	if err != nil {
		return nil, malformed(err)
	}
	changed := false
	for _, change := range []func(object) (bool, error){p.process, p.linux, p.hooks} {
		done, err := change(spec)
		if err != nil {
			return nil, malformed(err)
		}
		changed = changed || done
	}
	if !changed {
		return raw, nil
	}
	return encode(spec)
}

func malformed(err error) error {
	return fault.New(fault.Bundle, "spec", "%w", err).
		WithHint("the engine's object is not as the runtime specification defines it: report this with the engine's version")
}

func (p Plan) process(spec object) (changed bool, err error) {
	if len(p.Env)+len(p.Groups) == 0 {
		return false, nil
	}
	return true, spec.within("process", func(process object) error {
		if err := setEnv(process, p.Env); err != nil {
			return err
		}
		return process.within("user", func(user object) error { return addGroups(user, p.Groups) })
	})
}

func setEnv(process object, env []string) error {
	if len(env) == 0 {
		return nil
	}
	var have []string
	if err := process.read("env", &have); err != nil {
		return err
	}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		namesake := func(o string) bool { return strings.HasPrefix(o, name+"=") }
		i := slices.IndexFunc(have, namesake)
		if i < 0 {
			have = append(have, v)
			continue
		}
		have[i] = v
		have = append(have[:i+1], slices.DeleteFunc(have[i+1:], namesake)...)
	}
	return process.set("env", have)
}

func addGroups(user object, groups []uint32) error {
	if len(groups) == 0 {
		return nil
	}
	var have []json.RawMessage
	if err := user.read("additionalGids", &have); err != nil {
		return err
	}
	for _, g := range groups {
		raw, err := encode(g)
		if err != nil {
			return err
		}
		have = append(have, raw)
	}
	return user.set("additionalGids", have)
}

func (p Plan) hooks(spec object) (changed bool, err error) {
	if len(p.Hooks) == 0 {
		return false, nil
	}
	return true, spec.within("hooks", func(hooks object) error {
		for _, h := range p.Hooks {
			var have []json.RawMessage
			if err := hooks.read(h.HookName, &have); err != nil {
				return err
			}
			raw, err := encode(specs.Hook{Path: h.Path, Args: h.Args, Env: h.Env, Timeout: h.Timeout})
			if err != nil {
				return err
			}
			if err := hooks.set(h.HookName, append(have, raw)); err != nil {
				return err
			}
		}
		return nil
	})
}
