package facts

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// OS is the distribution, by /etc/os-release.
type OS struct {
	ID   string
	Like []string
}

// Is reports whether the distribution is one of these, or derived from one.
func (o OS) Is(ids ...string) bool {
	return slices.ContainsFunc(append([]string{o.ID}, o.Like...), func(id string) bool { return slices.Contains(ids, id) })
}

// User is the user who runs doctor.
type User struct {
	Name     string
	UID      int
	Groups   []int            // of the process
	Member   []int            // of /etc/group, which a new login gets
	GroupIDs map[int]string   // names of groups
	ByName   map[string][]int // ids of groups
}

// SELinux is the state of SELinux; Booleans are those about devices that the policy has, with their values.
type SELinux struct {
	Enforcing bool
	Booleans  map[string]bool
}

// Refresh is NVIDIA's service that generates a Spec at boot.
type Refresh struct {
	Installed, Enabled bool
	Before             bool // whether its unit says what must wait for it
}

// SpecFile is a file in a directory of CDI Specs.
type SpecFile struct {
	Path  string
	Read  bool     // whether CDI reads files of this name
	Away  bool     // whether its directory is not one of those that are read
	Kinds []string // that are named in it: nvidia.com/gpu and the like
	// Version is its cdiVersion, or "".
	Version string
	Tmpfs   bool // whether it is gone after the host's next start
	// Written is when it was last written, in seconds of Unix.
	Written int64
}

func (r reader) os() OS {
	var o OS
	for line := range strings.Lines(r.text("/etc/os-release")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"'`); key {
		case "ID":
			o.ID = value
		case "ID_LIKE":
			o.Like = strings.Fields(value)
		}
	}
	return o
}

func (r reader) user(q Query) User {
	u := User{UID: q.UID, Groups: q.Groups, GroupIDs: map[int]string{}}
	for line := range strings.Lines(r.text("/etc/passwd")) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 3 && f[2] == strconv.Itoa(q.UID) {
			u.Name = f[0]
		}
	}
	for line := range strings.Lines(r.text("/etc/group")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		id, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		u.GroupIDs[id] = f[0]
		if u.Name != "" && slices.Contains(strings.Split(f[3], ","), u.Name) {
			u.Member = append(u.Member, id)
		}
	}
	return u
}

func (r reader) selinux() SELinux {
	s := SELinux{Enforcing: r.text("/sys/fs/selinux/enforce") == "1", Booleans: map[string]bool{}}
	for _, name := range []string{"container_use_devices", "container_use_xserver_devices", "container_use_dri_devices"} {
		if text := r.text("/sys/fs/selinux/booleans/" + name); text != "" {
			s.Booleans[name] = strings.HasPrefix(text, "1")
		}
	}
	return s
}

// toolkit reads the version of NVIDIA's container toolkit from dpkg's database. Other databases need a program to be
// read.
func (r reader) toolkit() string {
	data, err := os.ReadFile(r.at("/var/lib/dpkg/status"))
	if err != nil {
		return ""
	}
	for _, entry := range strings.Split(string(data), "\n\n") {
		f := colons(entry)
		if strings.HasPrefix(f["Package"], "nvidia-container-toolkit") && strings.HasSuffix(f["Status"], " installed") {
			version, _, _ := strings.Cut(f["Version"], "-")
			return version
		}
	}
	return ""
}

func (r reader) refresh() Refresh {
	const unit = "nvidia-cdi-refresh."
	var out Refresh
	for _, dir := range []string{"/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"} {
		for _, name := range r.names(dir) {
			if strings.HasPrefix(name, unit) {
				out.Installed = true
				out.Before = out.Before || strings.Contains(r.text(dir+"/"+name), "\nBefore=")
			}
			if strings.HasSuffix(name, ".wants") {
				out.Enabled = out.Enabled || slices.ContainsFunc(r.names(dir+"/"+name), func(n string) bool {
					return strings.HasPrefix(n, unit)
				})
			}
		}
	}
	return out
}

// quadlets looks for containers that systemd starts, and that ask for a GPU.
func (r reader) quadlets(q Query) []string {
	dirs := []string{"/etc/containers/systemd", "/usr/share/containers/systemd"}
	if q.UserDir != "" {
		dirs = append(dirs, q.UserDir+"/containers/systemd")
	}
	var out []string
	for _, dir := range dirs {
		r.walk(dir, 2, func(file string) {
			text := r.text(file)
			asks := slices.ContainsFunc([]string{"gpu-hook/gpus", "VISIBLE_DEVICES", "nvidia.com/gpu"}, func(word string) bool {
				return strings.Contains(text, word)
			})
			if path.Ext(file) == ".container" && asks && !strings.Contains(text, "nvidia-cdi-refresh") {
				out = append(out, file)
			}
		})
	}
	return out
}

// specs returns the files in the directories of Specs, and Specs in directories beside them where somebody may have put
// them: those below, and those that other tools use.
func (r reader) specs(dirs []string) []SpecFile {
	var out []SpecFile
	volatile := r.tmpfs()
	add := func(dir string, read bool) {
		for _, name := range r.names(dir) {
			file := path.Join(dir, name)
			info, err := os.Stat(r.at(file))
			if err == nil && info.IsDir() {
				continue
			}
			s := SpecFile{Path: file, Read: read && (path.Ext(name) == ".json" || path.Ext(name) == ".yaml"), Away: !read}
			if err == nil {
				s.Written = info.ModTime().Unix()
			}
			text := r.text(file)
			s.Kinds, s.Version, s.Tmpfs = kinds(text), cdiVersion(text), volatile(file)
			if read || len(s.Kinds) > 0 {
				out = append(out, s)
			}
		}
	}
	for _, dir := range dirs {
		add(dir, true)
		for _, name := range r.names(dir) {
			add(path.Join(dir, name), false)
		}
	}
	for _, dir := range []string{"/etc/cdi", "/run/cdi", "/usr/share/cdi", "/usr/local/etc/cdi", "/var/lib/cdi"} {
		if !slices.ContainsFunc(dirs, func(o string) bool { return r.sameFile(dir, o) }) {
			add(dir, false)
		}
	}
	return out
}

// sameFile reports whether two paths are of one file.
func (r reader) sameFile(a, b string) bool {
	x, errA := os.Stat(r.at(a))
	y, errB := os.Stat(r.at(b))
	return a == b || errA == nil && errB == nil && os.SameFile(x, y)
}

// kinds returns the values of lines that look like a Spec's kind, in YAML or JSON.
func kinds(text string) []string {
	if !strings.Contains(text, "cdiVersion") {
		return nil
	}
	var out []string
	for rest := text; ; {
		i := strings.Index(rest, "kind")
		if i < 0 {
			return out
		}
		rest = rest[i+len("kind"):]
		value, _, _ := strings.Cut(strings.TrimLeft(rest, `"': `), "\n")
		value, _, _ = strings.Cut(value, ",")
		value = strings.Trim(value, "\"'}, \t\r")
		if strings.Count(value, "/") == 1 && !strings.ContainsAny(value, " {}[]") {
			out = append(out, value)
		}
	}
}

// cdiVersion returns the value of the first line that looks like a Spec's version, in YAML or JSON, or "".
func cdiVersion(text string) string {
	_, rest, _ := strings.Cut(text, "cdiVersion")
	rest = strings.TrimLeft(rest, "\"': \t")
	end := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(rest)
	}
	return rest[:end]
}

// mount is a line of /proc/mounts.
type mount struct{ dir, kind, options string }

func (m mount) has(option string) bool { return slices.Contains(strings.Split(m.options, ","), option) }

type mounts []mount

func (r reader) mounts() mounts {
	var out mounts
	for line := range strings.Lines(r.text("/proc/mounts")) {
		if f := strings.Fields(line); len(f) > 3 {
			out = append(out, mount{f[1], f[2], f[3]})
		}
	}
	return out
}

// of returns the mount that a file is on.
func (list mounts) of(file string) mount {
	// /var/run is /run on every host that has a /run in memory.
	file = strings.Replace(file, "/var/run/", "/run/", 1)
	best := mount{}
	for _, m := range list {
		under := m.dir == "/" || strings.HasPrefix(file, m.dir+"/")
		if under && len(m.dir) >= len(best.dir) {
			best = m
		}
	}
	return best
}

// tmpfs returns a function that reports whether a path is in memory.
func (r reader) tmpfs() func(string) bool {
	list := r.mounts()
	return func(file string) bool {
		kind := list.of(file).kind
		return kind == "tmpfs" || kind == "ramfs"
	}
}

// Program is what is known of a file as a program.
type Program struct {
	Foreign bool // whether it is neither a program of the kernel's format nor a script
	NoExec  bool // whether its file system is mounted so that nothing in it can be run
}

// program reads the beginning of a file.
func (r reader) program(file string) Program {
	p := Program{NoExec: r.mounts().of(file).has("noexec")}
	f, err := os.Open(r.at(file))
	if err != nil {
		return p
	}
	defer f.Close()
	start := make([]byte, 4)
	n, err := io.ReadFull(f, start)
	start = start[:n]
	p.Foreign = (err == nil || n > 0 || errors.Is(err, io.EOF)) &&
		!bytes.HasPrefix(start, []byte("\x7fELF")) && !bytes.HasPrefix(start, []byte("#!"))
	return p
}

// started returns when the host was started.
func (r reader) started() int64 {
	for line := range strings.Lines(r.text("/proc/stat")) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return n
		}
	}
	return 0
}

// linkName returns the last element of a symbolic link's target, or "".
func (r reader) linkName(file string) string {
	target, err := os.Readlink(r.at(file))
	if err != nil {
		return ""
	}
	return path.Base(target)
}

// walk calls f for every file below dir, to a depth.
func (r reader) walk(dir string, depth int, f func(file string)) {
	entries, _ := os.ReadDir(r.at(dir))
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		switch {
		case !e.IsDir():
			f(file)
		case depth > 0:
			r.walk(file, depth-1, f)
		}
	}
}
