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
// one that has replaced the pinned program on the cgroup, or a new one. The pin is exchanged in one step, and on error
// it stays as it is. It must bear the name of the unit, as crun's pins do: one that other units may use too is not the
// container's to change.
func repin(pin, unit string, rules []Rule, replaced replacements) error {
	if path.Base(pin) != strings.ReplaceAll(path.Base(unit), ".", "_") {
		return errors.New("it does not bear the unit's name, so other units may use it too, and it stays as it is")
	}
	pinned, err := ebpf.LoadPinnedProgram(pin, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer pinned.Close()
	if pinned.Type() != ebpf.CGroupDevice {
		return fmt.Errorf("it is not a device program but a %s", pinned.Type())
	}
	extended, needed, err := replacementFor(pinned, rules, replaced)
	if err != nil || !needed {
		return err
	}
	defer extended.Close()
	return exchangePin(pin, extended)
}

// exchangePin makes the pin name the program.
func exchangePin(pin string, program *ebpf.Program) error {
	// A bpf filesystem takes no name with a dot in it.
	temporary := fmt.Sprintf("%s-gpu-hook-%d", pin, os.Getpid())
	if err := program.Pin(temporary); err != nil {
		return fmt.Errorf("pin the extended program: %w", err)
	}
	if err := os.Rename(temporary, pin); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

// replacementFor returns the program that has replaced the pinned one on the cgroup, or else what [extend] returns.
func replacementFor(pinned *ebpf.Program, rules []Rule, replaced replacements) (*ebpf.Program, bool, error) {
	id, err := programID(pinned)
	if err != nil {
		return nil, false, err
	}
	if replacement, ok := replaced[id]; ok {
		program, err := ebpf.NewProgramFromID(replacement)
		return program, err == nil, err
	}
	return extend(pinned, rules)
}
