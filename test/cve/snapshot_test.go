package cve

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// snapshot describes everything that no start may change: the files of the scene but for the root filesystem and what
// gpu-hook and the runtime keep for themselves, what a path of the Spec would be on the real host, the mounts, the
// device programs and this process's descriptors.
func (s *scene) snapshot() string {
	s.t.Helper()
	var b strings.Builder
	s.must(filepath.WalkDir(s.Dir, func(path string, _ fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == s.rootfs(""), path == s.Host.Path("run"), path == filepath.Join(s.Dir, "runc"):
			return filepath.SkipDir
		case path == s.Dir, path == s.Host.Path("bin/crun"), path == s.Host.Path("bin"):
			return nil // crun's script is written at the first start
		case path == filepath.Join(s.bundle, "config.json"):
			return nil // the hook's prefix is written into it
		}
		b.WriteString(described(path) + "\n")
		return nil
	}))
	for _, pattern := range []string{
		"/dev/nvidia*", gpuhost.LibDir + "/libcuda*", gpuhost.LibDir + "/libnvidia*", "/opt/*",
	} {
		names, _ := filepath.Glob(pattern)
		fmt.Fprintln(&b, "real", pattern, names)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	s.must(err)
	b.Write(mounts)
	fmt.Fprintln(&b, "programs of all cgroups", s.programs("/sys/fs/cgroup"))
	fmt.Fprintln(&b, "programs of this process", s.programs(ownCgroup()))
	b.WriteString(descriptors())
	return b.String()
}

// described returns one line about a file: its metadata, content and extended attributes.
func described(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return path + " " + err.Error()
	}
	line := fmt.Sprintf("%s %06o %d:%d %d %d %d", path, st.Mode, st.Uid, st.Gid, st.Rdev, st.Ino, st.Mtim.Nano())
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		line += " " + content(path)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		line += fmt.Sprintf(" %s %v", target, err)
	}
	return line + attributes(path)
}

// content is the sum of a file's content. A file is never in memory as a whole: what the test has had in memory counts
// for the programs that it starts.
func content(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// attributes returns the extended attributes of a file.
func attributes(path string) string {
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil || n == 0 {
		return ""
	}
	var b strings.Builder
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 4096)
		size, _ := unix.Lgetxattr(path, name, value)
		fmt.Fprintf(&b, " %s=%q", name, value[:max(0, size)])
	}
	return b.String()
}

// ownCgroup is the directory of this process's cgroup.
func ownCgroup() string {
	data, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(data)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join("/sys/fs/cgroup", group)
		}
	}
	return "/sys/fs/cgroup"
}

// programs returns the ids of the device programs that are attached to a cgroup.
func (s *scene) programs(dir string) (ids []ebpf.ProgramID) {
	s.t.Helper()
	cgroup, err := os.Open(dir)
	s.must(err)
	defer cgroup.Close()
	found, err := link.QueryPrograms(link.QueryOptions{Target: int(cgroup.Fd()), Attach: ebpf.AttachCGroupDevice})
	s.must(err)
	for _, p := range found.Programs {
		ids = append(ids, p.ID)
	}
	return ids
}

// descriptors lists the files that this process has open, without what has no path.
func descriptors() string {
	names, _ := filepath.Glob("/proc/self/fd/*")
	var open []string
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil && strings.HasPrefix(target, "/") && target != "/proc/self/fd" {
			open = append(open, target)
		}
	}
	slices.Sort(open)
	return fmt.Sprintln("descriptors", open)
}

// difference returns the lines that only one of the texts has.
func difference(a, b string) string {
	have := map[string]bool{}
	for line := range strings.Lines(a) {
		have[line] = true
	}
	var out strings.Builder
	for line := range strings.Lines(b) {
		if !have[line] {
			out.WriteString("+ " + line)
		}
		delete(have, line)
	}
	for line := range have {
		out.WriteString("- " + line)
	}
	return out.String()
}
