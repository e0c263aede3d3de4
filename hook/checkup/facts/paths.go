package facts

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Path is what is at a path; symbolic links are not followed.
type Path struct {
	Type         string // "c", "b" or "p" as CDI writes it, "link", "directory", "file", or "" if there is nothing
	Major, Minor int64
	Mode         uint32 // permission bits and the sticky bit
	UID, GID     uint32
}

// Exists reports whether there is something.
func (p Path) Exists() bool { return p.Type != "" }

// Node reports whether it is a device node.
func (p Path) Node() bool { return p.Type == "c" || p.Type == "b" || p.Type == "p" }

// lookUp writes down what is at the path, and what its parents are.
func (r reader) lookUp(found map[string]Path, path string) {
	if !filepath.IsAbs(path) {
		return
	}
	for path = filepath.Clean(path); ; path = filepath.Dir(path) {
		if _, done := found[path]; done {
			return
		}
		found[path] = r.path(path)
		if path == "/" {
			return
		}
	}
}

func (r reader) path(path string) Path {
	var st unix.Stat_t
	if err := unix.Lstat(r.at(path), &st); err != nil {
		return Path{}
	}
	device := uint64(st.Rdev) //nolint:unconvert // 32 bits wide on some machines
	p := Path{Mode: st.Mode & 0o1777, UID: st.Uid, GID: st.Gid}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		p.Type = "c"
	case unix.S_IFBLK:
		p.Type = "b"
	case unix.S_IFIFO:
		p.Type = "p"
	case unix.S_IFLNK:
		p.Type = "link"
	case unix.S_IFDIR:
		p.Type = "directory"
	default:
		p.Type = "file"
	}
	if p.Type == "c" || p.Type == "b" {
		p.Major, p.Minor = int64(unix.Major(device)), int64(unix.Minor(device))
	}
	return p
}

// nodes returns the paths in /dev that are, or should be, nodes of GPUs.
func (r reader) nodes() []string {
	var out []string
	for _, name := range r.names("/dev") {
		// nvidia-caps and its like are directories of nodes.
		if name == "kfd" || (strings.HasPrefix(name, "nvidia") && !strings.HasPrefix(name, "nvidia-caps")) {
			out = append(out, "/dev/"+name)
		}
	}
	for _, dir := range []string{"/dev/nvidia-caps", "/dev/dri"} {
		for _, name := range r.names(dir) {
			if path := dir + "/" + name; !r.isDir(path) {
				out = append(out, path)
			}
		}
	}
	return out
}

func (r reader) isDir(path string) bool {
	info, err := os.Lstat(r.at(path))
	return err == nil && info.IsDir()
}
