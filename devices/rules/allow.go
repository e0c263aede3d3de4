package rules

import (
	"context"
	"errors"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Target is the container whose device rules are extended.
type Target struct {
	Container *state.Container
	Process   *state.Process
	// Namespaced says that gpu-hook is in a user namespace that is not the host's. The kernel takes no device rules from
	// such a process, and file permissions decide.
	Namespaced bool
	// Asked is what [Target.Ask] has returned for the container, if it was called.
	Asked *Question
}

// Outcome is what [Target.Allow] reports besides an error.
type Outcome struct {
	// NoCgroup says why no rules were set: the container has no cgroup of its own to set them in.
	NoCgroup error
	// Notes are warnings about rules that were set: what may take the devices away again, and programs of other cgroups
	// that may deny them.
	Notes []*fault.Error
}

func (o *Outcome) note(f *fault.Error) { o.Notes = append(o.Notes, f) }

// errNotOwn says that the container has no cgroup of its own whose rules could be changed.
var errNotOwn = errors.New("the container has no device cgroup of its own, and gpu-hook changes no other")

// Allow opens the rules' devices in the container's own cgroup, version 1 or 2. Nothing closes them again while the
// container lives: its systemd unit, if it has one, is told of them first. Allow reads back what it has set. It never
// touches a cgroup that is not the container's own; if there is none, [Outcome.NoCgroup] says so.
//
// Nothing of this needs to be undone: programs, rules and unit, with what systemd keeps of it below /run, end with the
// container's cgroup.
func (t *Target) Allow(ctx context.Context, rules []Rule) (Outcome, error) {
	var result Outcome
	if len(rules) == 0 || t.Namespaced {
		return result, nil
	}
	err := t.allow(ctx, rules, &result)
	if errors.Is(err, errNotOwn) {
		result.NoCgroup = err
		return result, nil
	}
	if err == nil {
		return result, nil
	}
	return result, fault.New(fault.Cgroup, "device rules of the container", "%w", err).
		WithHint("see that gpu-hook runs as root with all capabilities; " +
			"the container's cgroup and its parents must allow these devices")
}

// allow sets the rules in both versions: on a hybrid host the container has a cgroup in each, and the kernel asks both.
// systemd comes before either, since it sets all of its own rules again when it is told of a device.
func (t *Target) allow(ctx context.Context, rules []Rule, result *Outcome) error {
	v1, err := t.ownCgroup("devices", "cgroup")
	if err != nil {
		return err
	}
	v2, err := t.ownCgroup("", "cgroup2")
	if err != nil {
		return err
	}
	if v1.dir == "" && v2.dir == "" {
		return errNotOwn
	}
	// Before anything is set: an error here then leaves nothing behind.
	if err := judgeAbove(v2, rules, result); err != nil {
		return err
	}
	pins := tellSystemd(ctx, t.Asked, v1, v2, rules, result)
	if v1.dir != "" {
		if err := allowV1(v1, rules); err != nil {
			return err
		}
	}
	if v2.dir == "" {
		return nil
	}
	replaced, err := allowV2(v2, rules)
	if err != nil {
		return err
	}
	repinAll(pins, v2, rules, replaced, result)
	return nil
}

// judgeAbove calls [checkAbove], unless the container has no cgroup of version 2, and notes what could not be judged.
func judgeAbove(v2 ownGroup, rules []Rule, result *Outcome) error {
	if v2.dir == "" {
		return nil
	}
	unjudged, err := checkAbove(v2, rules)
	if unjudged != nil {
		result.note(fault.New(fault.CgroupNote, "device rules above the container", "%w", unjudged).
			WithHint("if the device cannot be opened, see which programs these are: bpftool cgroup tree"))
	}
	return err
}

// repinAll calls [repin] for each of systemd's pins, and notes each that it could not change.
func repinAll(pins []string, v2 ownGroup, rules []Rule, replaced replacements, result *Outcome) {
	for _, pin := range pins {
		if err := repin(pin, v2.unit, rules, replaced); err != nil {
			result.note(fault.New(fault.CgroupNote, "device program "+pin,
				"the devices are lost when systemd next attaches it, as at a daemon-reload: %w", err).
				WithHint("after a daemon-reload, start the container again"))
		}
	}
}
