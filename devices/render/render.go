// Package render carries a plan out where there is no container yet: in the runtime-spec object that it will be made of.
// It goes from bytes to bytes and touches nothing else. What it does not know in that object, it keeps as it stands.
package render

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
)

// Plan is what to put into the object.
type Plan struct {
	// Edits of which those with the status Apply are made. No status is changed.
	Edits *devices.Edits
	// Env are more variables, K=V, which stand over those of the edits.
	Env []string
	// Annotations take the place of those of the same key.
	Annotations map[string]string
	// Bind says that nodes are bound from the host: the container has a user namespace, where a runtime cannot make them
	// and would bind whatever the host has on the container's path.
	Bind bool
}

// Spec returns the runtime-spec object in raw with the plan carried out in it: a variable in the place of its namesakes, a
// node or a mount in the place of those on its path, mounts by depth as podman has them, and a device rule for each
// node that has none yet. Numbers and members that are not known come back as they were written.
func Spec(raw []byte, p Plan) ([]byte, error) {
	spec, err := parse(raw)
	if err != nil {
		return nil, malformed(err)
	}
	for _, change := range []func(object) error{p.process, p.linux, p.mounts, p.hooks, p.annotations} {
		if err := change(spec); err != nil {
			return nil, malformed(err)
		}
	}
	return encode(spec)
}

func malformed(err error) error {
	return fault.New(fault.Bundle, "spec", "%w", err).WithHint("it is not as runtime-spec has it: report this with the engine's version")
}

func (p Plan) process(spec object) error {
	var env []string
	for _, v := range p.Edits.Env {
		if v.Status == devices.Apply {
			env = append(env, v.Value)
		}
	}
	env = append(env, p.Env...)
	gids := slices.DeleteFunc(slices.Clone(p.Edits.AdditionalGIDs), func(g *devices.GID) bool { return g.Status != devices.Apply })
	if len(env)+len(gids) == 0 {
		return nil
	}
	return spec.within("process", func(process object) error {
		if err := setEnv(process, env); err != nil {
			return err
		}
		return process.within("user", func(user object) error { return addGroups(user, gids) })
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

func addGroups(user object, gids []*devices.GID) error {
	if len(gids) == 0 {
		return nil
	}
	var have []json.RawMessage
	if err := user.read("additionalGids", &have); err != nil {
		return err
	}
	for _, g := range gids {
		raw, err := encode(g.Value)
		if err != nil {
			return err
		}
		have = append(have, raw)
	}
	return user.set("additionalGids", have)
}

// mounts adds the mounts and, where nodes are bound, those of the nodes.
func (p Plan) mounts(spec object) error {
	var add []specs.Mount
	for _, m := range p.Edits.Mounts {
		if m.Status == devices.Apply {
			add = append(add, mountOf(m))
		}
	}
	for _, d := range p.Edits.DeviceNodes {
		if p.Bind && d.Status == devices.Apply {
			add = append(add, specs.Mount{Destination: d.Path, Type: "bind", Source: d.HostPath, Options: []string{"bind", "rprivate"}})
		}
	}
	if len(add) == 0 {
		return nil
	}
	var have []json.RawMessage
	if err := spec.read("mounts", &have); err != nil {
		return err
	}
	for _, m := range add {
		have = slices.DeleteFunc(have, func(o json.RawMessage) bool { return path.Clean(destination(o)) == path.Clean(m.Destination) })
		raw, err := encode(m)
		if err != nil {
			return err
		}
		have = append(have, raw)
	}
	slices.SortStableFunc(have, func(a, b json.RawMessage) int { return depth(a) - depth(b) })
	return spec.set("mounts", have)
}

// mountOf says what CDI leaves to whoever carries the edit out: that it is a bind mount.
func mountOf(m *devices.Mount) specs.Mount {
	out := specs.Mount{Destination: m.ContainerPath, Type: m.Type, Source: m.HostPath, Options: m.Options}
	if m.Type != "" && m.Type != "bind" && m.Type != "none" {
		return out
	}
	out.Type = "bind"
	if !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
		out.Options = append([]string{"bind"}, m.Options...)
	}
	return out
}

func destination(mount json.RawMessage) string {
	var m struct {
		Destination string `json:"destination"`
	}
	_ = json.Unmarshal(mount, &m) // what is no mount has no destination
	return m.Destination
}

// depth is the order in which podman has mounts: by the number of slashes.
func depth(mount json.RawMessage) int { return strings.Count(path.Clean(destination(mount)), "/") }

func (p Plan) hooks(spec object) error {
	return spec.within("hooks", func(hooks object) error {
		for _, h := range p.Edits.Hooks {
			if h.Status != devices.Apply {
				continue
			}
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

func (p Plan) annotations(spec object) error {
	return spec.within("annotations", func(annotations object) error {
		for key, value := range p.Annotations {
			if err := annotations.set(key, value); err != nil {
				return err
			}
		}
		return nil
	})
}
