package rules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// allowV1 adds the rules to the container's own cgroups, the unit's first: the kernel takes no rule that the cgroup
// above does not have. On error the cgroups list what they did before.
func allowV1(own ownGroup, rules []Rule) error {
	before, err := os.ReadFile(filepath.Join(own.unitDir, "devices.list"))
	if err != nil {
		return err
	}
	if err := addV1(own, rules); err != nil {
		return errors.Join(err, restoreV1(own.unitDir, string(before), rules))
	}
	return nil
}

// restoreV1 takes away what the rules have added to before, the devices.list that the unit's cgroup had. The kernel
// then takes it from the cgroups below too.
func restoreV1(dir, before string, rules []Rule) error {
	var errs []error
	for _, r := range rules {
		if listed(before, r) {
			continue
		}
		errs = append(errs, writeV1(dir, "devices.deny", r.String()))
		// What was listed of the device in part is now denied with the rest.
		for line := range strings.Lines(before) {
			if strings.HasPrefix(line, fmt.Sprintf("%s %d:%d ", r.kind, r.major, r.minor)) {
				errs = append(errs, writeV1(dir, "devices.allow", strings.TrimSpace(line)))
			}
		}
	}
	return errors.Join(errs...)
}

// addV1 writes the rules to devices.allow of each of the container's own cgroups, and reads them back.
func addV1(own ownGroup, rules []Rule) error {
	for _, dir := range own.dirs() {
		for _, r := range rules {
			err := writeV1(dir, "devices.allow", r.String())
			if errors.Is(err, unix.EPERM) {
				err = fmt.Errorf("%w: %s, which is not the container's own, does not allow it", err, own.denier(r))
			}
			if err != nil {
				return fmt.Errorf("allow %s: %w", r, err)
			}
		}
		if err := readBackV1(dir, rules); err != nil {
			return err
		}
	}
	return nil
}

func writeV1(dir, name, line string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(line), 0)
}

// readBackV1 checks that the cgroup lists the rules.
func readBackV1(dir string, rules []Rule) error {
	data, err := os.ReadFile(filepath.Join(dir, "devices.list"))
	if err != nil {
		return err
	}
	for _, r := range rules {
		if !listed(string(data), r) {
			return fmt.Errorf("allow %s: the kernel accepted the rule, but does not list it", r)
		}
	}
	return nil
}

// denier describes the uppermost of the cgroups above the container's unit that do not list what the rule allows. It
// can be wrong about a cgroup that allows all devices but some: the kernel does not list those.
func (g ownGroup) denier(r Rule) string {
	uppermost := "a cgroup above " + g.unitDir
	for dir := range g.above() {
		data, err := os.ReadFile(filepath.Join(dir, "devices.list"))
		if err == nil && !listed(string(data), r) {
			uppermost = "cgroup " + dir
		}
	}
	return uppermost
}

// listed reports whether a devices.list allows what the rule does. One line must do so by itself: for this very device
// with at least these permissions, for all devices of its type, or for all devices.
func listed(list string, r Rule) bool {
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		all := f[0] == "a" || (f[0] == r.kind && f[1] == "*:*")
		if !all && (f[0] != r.kind || f[1] != fmt.Sprintf("%d:%d", r.major, r.minor)) {
			continue
		}
		if strings.Trim(r.permissions, f[2]) == "" {
			return true
		}
	}
	return false
}
