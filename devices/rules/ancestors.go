package rules

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// checkAbove judges the device programs of the cgroups above the container's unit. The kernel asks them too, but they
// are not the container's and stay as they are. A program that denies the devices is an error that names its cgroup.
// unjudged is about programs that may allow or deny them.
func checkAbove(own ownGroup, rules []Rule) (unjudged, err error) {
	ownPrograms, err := own.programs()
	if err != nil {
		return nil, err
	}
	effective, err := attachedTo(own.dir, unix.BPF_F_QUERY_EFFECTIVE)
	if err != nil {
		return nil, err
	}
	var unknown []error
	for _, id := range effective {
		if slices.Contains(ownPrograms, id) {
			continue
		}
		ok, err := judge(id, rules)
		switch {
		case err != nil:
			unknown = append(unknown, fmt.Errorf("program %d of %s: %w", id, own.holder(id), err))
		case !ok:
			return nil, fmt.Errorf("device program %d of %s, which is not the container's own, denies %v",
				id, own.holder(id), rules)
		}
	}
	return errors.Join(unknown...), nil
}

// judge reports whether the program allows the rules' devices. One that nobody has loaded any more does.
func judge(id ebpf.ProgramID, rules []Rule) (bool, error) {
	program, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer program.Close()
	instructions, err := instructionsOf(program)
	if err != nil {
		return false, err
	}
	return admits(instructions, rules)
}

// programs returns the device programs that are attached to the container's own cgroups.
func (g ownGroup) programs() ([]ebpf.ProgramID, error) {
	var out []ebpf.ProgramID
	for _, dir := range g.dirs() {
		ids, err := attachedTo(dir, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, ids...)
	}
	return out, nil
}

// holder describes the cgroup above the container's unit that the program is attached to.
func (g ownGroup) holder(id ebpf.ProgramID) string {
	for dir := range g.above() {
		if ids, err := attachedTo(dir, 0); err == nil && slices.Contains(ids, id) {
			return "cgroup " + dir
		}
	}
	return "a cgroup above what is mounted on " + g.mountpoint
}

// attachedTo is [query] by the cgroup's directory.
func attachedTo(dir string, flags uint32) ([]ebpf.ProgramID, error) {
	cgroup, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer cgroup.Close()
	return query(cgroup, flags)
}
