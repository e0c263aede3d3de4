package rules

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/cilium/ebpf"
)

// repin makes the pin name a program that allows the rules' devices, so that systemd attaches that one from now on: the
// one that was already put in the pinned one's place on the cgroup, or a new one. Until it is pinned the old one stays,
// and on error for good. The pin must bear the name of the unit, as crun's do: what others may use too is not the
// container's to change.
func repin(pin, unit string, rules []Rule, done exchanges) error {
	if path.Base(pin) != strings.ReplaceAll(path.Base(unit), ".", "_") {
		return errors.New("it may be others' as well and stays as it is")
	}
	pinned, err := ebpf.LoadPinnedProgram(pin, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer pinned.Close()
	if pinned.Type() != ebpf.CGroupDevice {
		return fmt.Errorf("it is no device program but a %s", pinned.Type())
	}
	extended, err := successor(pinned, rules, done)
	if err != nil || extended == nil {
		return err
	}
	defer extended.Close()
	// The name must have no dot in it there.
	temporary := fmt.Sprintf("%s-gpu-hook-%d", pin, os.Getpid())
	if err := extended.Pin(temporary); err != nil {
		return fmt.Errorf("pin the extended program: %w", err)
	}
	if err := os.Rename(temporary, pin); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

// successor is the program that was put in the place of the pinned one, or that would be; nil where that needs none.
func successor(pinned *ebpf.Program, rules []Rule, done exchanges) (*ebpf.Program, error) {
	id, err := programID(pinned)
	if err != nil {
		return nil, err
	}
	if extended, ok := done[id]; ok {
		return ebpf.NewProgramFromID(extended)
	}
	return extend(pinned, rules)
}
