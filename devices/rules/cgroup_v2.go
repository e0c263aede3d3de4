package rules

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// maxRounds bounds how often a cgroup's programs are looked at again because some were changed or attached meanwhile.
// systemd attaches at most one.
const maxRounds = 5

// replacements says which program was put in the place of which: the new one's id by the old one's.
type replacements map[ebpf.ProgramID]ebpf.ProgramID

// allowV2 makes every device program of the container's own cgroups, from the unit's down to its process's, allow the
// rules' devices: the kernel asks all of them, and each must allow. A program that allows them already stays as it is,
// so that whoever attached it still recognises it; any other is extended. A cgroup without a program gets none, since a
// program can only take away. What is attached in the end is read back.
func allowV2(own ownGroup, rules []Rule) (replacements, error) {
	replaced := replacements{}
	for _, dir := range own.dirs() {
		if err := extendAll(dir, rules, replaced); err != nil {
			return replaced, err
		}
	}
	return replaced, nil
}

// extendAll extends the programs of one cgroup, and looks at them again until a round finds that all of them, as the
// kernel shows them, allow the rules. systemd may attach one of its own at any time.
func extendAll(dir string, rules []Rule, replaced replacements) error {
	cgroup, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer cgroup.Close()
	for range maxRounds {
		changed, err := extendRound(cgroup, rules, replaced)
		if err != nil || !changed {
			return err
		}
	}
	return errors.New("something else keeps changing the programs of this cgroup")
}

// extendRound extends each program of the cgroup once, and reports whether any of them was changed, by it or by others.
func extendRound(cgroup *os.File, rules []Rule, replaced replacements) (changed bool, err error) {
	attached, err := query(cgroup, 0)
	if err != nil {
		return false, err
	}
	for _, id := range attached {
		extended, err := extendOne(cgroup, id, rules)
		switch {
		case errors.Is(err, os.ErrNotExist):
			changed = true // somebody else has detached it
		case err != nil:
			return false, fmt.Errorf("extend device program %d: %w", id, err)
		case extended != id:
			replaced[id], changed = extended, true
		}
	}
	return changed, nil
}

// query returns the device programs that are attached to the cgroup. With BPF_F_QUERY_EFFECTIVE it returns all that the
// kernel asks for a process in the cgroup, those of its ancestors among them.
func query(cgroup *os.File, flags uint32) ([]ebpf.ProgramID, error) {
	result, err := link.QueryPrograms(link.QueryOptions{
		Target: int(cgroup.Fd()), Attach: ebpf.AttachCGroupDevice, QueryFlags: flags,
	})
	if err != nil {
		return nil, fmt.Errorf("query device programs: %w", err)
	}
	var ids []ebpf.ProgramID
	for _, p := range result.Programs {
		ids = append(ids, p.ID)
	}
	return ids, nil
}

// extendOne attaches an extended program in the place of the one with this id and returns the new id. If the old
// program allows the rules already, it stays and its id is returned. The kernel exchanges the two in one step: there is
// no moment without a filter, and on error the old one stays.
func extendOne(cgroup *os.File, id ebpf.ProgramID, rules []Rule) (ebpf.ProgramID, error) {
	old, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return 0, err
	}
	defer old.Close()
	extended, needed, err := extend(old, rules)
	if err != nil || !needed {
		return id, err
	}
	defer extended.Close()
	err = link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(cgroup.Fd()), Program: extended, Attach: ebpf.AttachCGroupDevice,
		Flags: unix.BPF_F_ALLOW_MULTI, Anchor: link.ReplaceProgram(old),
	})
	if err != nil {
		return 0, fmt.Errorf("attach the extended program: %w", err)
	}
	return programID(extended)
}
