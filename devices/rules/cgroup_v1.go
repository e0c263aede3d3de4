package rules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// allowV1 appends the rules to devices.allow of the container's own cgroups, the unit's first, since the kernel takes no
// rule that the cgroup above does not have. On error none of them is there that was not before.
func allowV1(own ownGroup, rules []Rule) error {
	before, err := os.ReadFile(filepath.Join(own.unitDir, "devices.list"))
	if err != nil {
		return err
	}
	if err := appendV1(own, rules); err != nil {
		return errors.Join(err, takeBackV1(own.unitDir, string(before), rules))
	}
	return nil
}

// takeBackV1 denies what the rules have added to what the unit's cgroup listed before, and so in the cgroups below it.
func takeBackV1(dir, before string, rules []Rule) error {
	var errs []error
	for _, r := range rules {
		if listed(before, r) {
			continue
		}
		errs = append(errs, os.WriteFile(filepath.Join(dir, "devices.deny"), []byte(r.String()), 0))
		for line := range strings.Lines(before) {
			if strings.HasPrefix(line, fmt.Sprintf("%s %d:%d ", r.kind, r.major, r.minor)) {
				errs = append(errs, os.WriteFile(filepath.Join(dir, "devices.allow"), []byte(strings.TrimSpace(line)), 0))
			}
		}
	}
	return errors.Join(errs...)
}

func appendV1(own ownGroup, rules []Rule) error {
	for _, dir := range own.dirs() {
		for _, r := range rules {
			err := os.WriteFile(filepath.Join(dir, "devices.allow"), []byte(r.String()), 0)
			if errors.Is(err, unix.EPERM) {
				err = fmt.Errorf("%w: %s, which is not the container's own, does not allow it", err, own.denier(r))
			}
			if err != nil {
				return fmt.Errorf("allow %s: %w", r, err)
			}
		}
		if err := readBack(dir, rules); err != nil {
			return err
		}
	}
	return nil
}

func readBack(dir string, rules []Rule) error {
	data, err := os.ReadFile(filepath.Join(dir, "devices.list"))
	if err != nil {
		return err
	}
	for _, r := range rules {
		if !listed(string(data), r) {
			return fmt.Errorf("allow %s: the kernel took the rule, but does not list it", r)
		}
	}
	return nil
}

// denier names the uppermost of the cgroups above the container's unit that do not list what the rule allows. One that
// allows all but some devices does not list these.
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

// listed reports whether devices.list allows what the rule does: by that very device with at least these permissions, or
// all devices.
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
