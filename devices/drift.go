package devices

import (
	"errors"
	"os"
	"path"
)

// Missing returns how many host files the share's mounts need, and which of them do not exist. Mounts that the rule
// makes optional do not count. Only existence is checked.
func (s *Share) Missing(rule Optional) (needed int, missing []string) {
	for _, m := range s.Edits.Mounts {
		if m.Tmpfs() || !path.IsAbs(m.HostPath) || rule.Of(m) != "" {
			continue
		}
		needed++
		if _, err := os.Stat(m.HostPath); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, m.HostPath)
		}
	}
	return needed, missing
}

// Files returns the host paths of the share's mounts.
func (s *Share) Files() []string {
	files := make([]string, 0, len(s.Edits.Mounts))
	for _, m := range s.Edits.Mounts {
		files = append(files, m.HostPath)
	}
	return files
}

// Arguments returns the arguments of all of the share's hooks.
func (s *Share) Arguments() []string {
	var out []string
	for _, h := range s.Edits.Hooks {
		out = append(out, h.Args...)
	}
	return out
}
