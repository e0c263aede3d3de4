package inject

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// allowV1 appends the rules to the cgroup's devices.allow.
func allowV1(dir string, rules []rule) error {
	for _, r := range rules {
		if err := os.WriteFile(filepath.Join(dir, "devices.allow"), []byte(r.String()), 0); err != nil {
			return fmt.Errorf("allow %s: %w", r, err)
		}
	}
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

// listed says whether devices.list allows what the rule does: by that very device with at least these permissions, or
// all devices.
func listed(list string, r rule) bool {
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
