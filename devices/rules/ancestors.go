package rules

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// checkAbove judges the programs of the cgroups above the container's unit, which are not the container's and stay as
// they are: the kernel asks them too. One that denies the devices is an error that names its cgroup. unjudged is about
// those that may or may not.
func checkAbove(own ownGroup, rules []Rule) (unjudged, err error) {
	ours := map[ebpf.ProgramID]bool{}
	for _, dir := range own.dirs() {
		ids, err := attachedTo(dir, 0)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			ours[id] = true
		}
	}
	asked, err := attachedTo(own.dir, unix.BPF_F_QUERY_EFFECTIVE)
	if err != nil {
		return nil, err
	}
	var unknown []error
	for _, id := range asked {
		if ours[id] {
			continue
		}
		ok, err := judge(id, rules)
		switch {
		case err != nil:
			unknown = append(unknown, fmt.Errorf("program %d of %s: %w", id, own.holder(id), err))
		case !ok:
			return nil, fmt.Errorf("device program %d of %s, which is not the container's own, denies %v", id, own.holder(id), rules)
		}
	}
	return errors.Join(unknown...), nil
}

func judge(id ebpf.ProgramID, rules []Rule) (bool, error) {
	program, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil // gone since
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

// holder names the cgroup above the container's unit that the program is attached to.
func (g ownGroup) holder(id ebpf.ProgramID) string {
	for dir := range g.above() {
		if ids, err := attachedTo(dir, 0); err == nil && slices.Contains(ids, id) {
			return "cgroup " + dir
		}
	}
	return "a cgroup above what is mounted on " + g.mountpoint
}

func attachedTo(dir string, flags uint32) ([]ebpf.ProgramID, error) {
	cgroup, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer cgroup.Close()
	return query(cgroup, flags)
}
