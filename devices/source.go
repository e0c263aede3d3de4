package devices

import (
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// sources resolves the host paths of mounts. Most lie in one or two directories, which are resolved once: by
// themselves, 40 mounts take 280 system calls.
type sources struct {
	owner trust.Owner       // who may own links besides root
	dirs  map[string]string // of those that could be resolved
}

func newSources(owner trust.Owner) *sources { return &sources{owner, map[string]string{}} }

// resolve is [trust.Owner.Resolve] for an absolute path.
func (s *sources) resolve(path string) (string, error) {
	dir, name := filepath.Split(path)
	if name == "" || name == "." || name == ".." {
		return s.owner.Resolve(path)
	}
	resolved, known := s.dirs[dir]
	if !known {
		var err error
		if resolved, err = s.owner.Resolve(dir); err != nil {
			return "", err
		}
		s.dirs[dir] = resolved
	}
	file := filepath.Join(resolved, name)
	st, err := linux.Lstat(file)
	if err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return s.owner.Resolve(path) // for the whole error
	}
	return file, nil
}
