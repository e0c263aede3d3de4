package devices

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// MountAttributes are mount options as the system calls open_tree, fsconfig and mount_setattr take them.
type MountAttributes struct {
	Recursive   bool       // with the mounts below
	Top         Attributes // of the mount itself: "ro" and the like
	Tree        Attributes // of the mount and all mounts below, to be set after Top: "rro" and the like
	Propagation uint64     // of all these mounts: MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE
	// Data are the options of a new filesystem, such as "size=1m" and "noswap", as the Spec has them.
	Data []string
}

// Attributes are the bits that mount_setattr(2) sets and clears, MOUNT_ATTR_*.
type Attributes struct{ Set, Clear uint64 }

// Tmpfs reports whether the mount is a new tmpfs. Any other is a bind mount, and, as with runtimes, an option "bind" or
// "rbind" overrides the type.
func (m *Mount) Tmpfs() bool {
	return m.Type == "tmpfs" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind")
}

// Attributes parses the mount's options. It knows all options that runc knows (libcontainer/specconv). An option that
// is unknown, or that gpu-hook cannot apply, is an error that names it. The mount is private unless an option makes it
// a slave or unbindable. An option that would propagate mounts to the host is an error. If two options contradict each
// other, the later one counts.
func (m *Mount) Attributes() (MountAttributes, error) {
	a := MountAttributes{Propagation: unix.MS_PRIVATE}
	for _, option := range m.Options {
		ok := a.neutral(option) || a.propagate(option) || a.Top.option(option) || a.tree(option)
		if !ok && m.Tmpfs() && tmpfsOption(option) {
			a.Data, ok = append(a.Data, option), true
		}
		if !ok {
			return MountAttributes{}, m.refuse(option)
		}
	}
	return a, nil
}

// neutral reports whether the option is a default, or one of a filesystem that exists already and keeps its own
// options. Of these only "rbind" has an effect.
func (a *MountAttributes) neutral(option string) bool {
	switch option {
	case "", "bind", "defaults", "async", "loud", "silent", "nomand", "noiversion", "nolazytime":
		return true
	case "rbind":
		a.Recursive = true
		return true
	}
	return false
}

// propagate sets the propagation, and reports whether the option is one that does.
func (a *MountAttributes) propagate(option string) bool {
	switch option {
	case "private", "rprivate":
		a.Propagation = unix.MS_PRIVATE
	case "slave", "rslave":
		a.Propagation = unix.MS_SLAVE
	case "unbindable", "runbindable":
		a.Propagation = unix.MS_UNBINDABLE
	default:
		return false
	}
	return true
}

// tree sets a recursive attribute, whose option is that of the attribute with an "r" before it, and reports whether the
// option is one.
func (a *MountAttributes) tree(option string) bool {
	plain, recursive := strings.CutPrefix(option, "r")
	return recursive && a.Tree.option(plain)
}

// option sets or clears the attribute, and reports whether the option is that of one.
func (a *Attributes) option(option string) bool {
	switch option {
	case "ro":
		a.set(unix.MOUNT_ATTR_RDONLY)
	case "rw":
		a.clear(unix.MOUNT_ATTR_RDONLY)
	case "nosuid":
		a.set(unix.MOUNT_ATTR_NOSUID)
	case "suid":
		a.clear(unix.MOUNT_ATTR_NOSUID)
	case "nodev":
		a.set(unix.MOUNT_ATTR_NODEV)
	case "dev":
		a.clear(unix.MOUNT_ATTR_NODEV)
	case "noexec":
		a.set(unix.MOUNT_ATTR_NOEXEC)
	case "exec":
		a.clear(unix.MOUNT_ATTR_NOEXEC)
	case "nodiratime":
		a.set(unix.MOUNT_ATTR_NODIRATIME)
	case "diratime":
		a.clear(unix.MOUNT_ATTR_NODIRATIME)
	case "nosymfollow":
		a.set(unix.MOUNT_ATTR_NOSYMFOLLOW)
	case "symfollow":
		a.clear(unix.MOUNT_ATTR_NOSYMFOLLOW)
	case "noatime":
		a.atime(unix.MOUNT_ATTR_NOATIME)
	case "strictatime":
		a.atime(unix.MOUNT_ATTR_STRICTATIME)
	case "relatime", "atime", "norelatime", "nostrictatime":
		// relatime is the kernel's default.
		a.atime(unix.MOUNT_ATTR_RELATIME)
	default:
		return false
	}
	return true
}

func (a *Attributes) set(attr uint64)   { a.Set, a.Clear = a.Set|attr, a.Clear&^attr }
func (a *Attributes) clear(attr uint64) { a.Set, a.Clear = a.Set&^attr, a.Clear|attr }

// atime replaces the access time mode. mount_setattr(2) takes it as a value, not as single bits.
func (a *Attributes) atime(mode uint64) {
	a.Set = a.Set&^unix.MOUNT_ATTR__ATIME | mode
	a.Clear |= unix.MOUNT_ATTR__ATIME
}

// tmpfsOption reports whether tmpfs has the option, see tmpfs(5). The kernel checks its value.
func tmpfsOption(option string) bool {
	name, _, hasValue := strings.Cut(option, "=")
	switch name {
	case "size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol":
		return hasValue
	case "noswap", "inode32", "inode64", "sync", "dirsync", "lazytime", "mand":
		return !hasValue
	}
	return false
}

// refuse returns the error for an option that cannot be applied.
func (m *Mount) refuse(option string) error {
	name, _, _ := strings.Cut(option, "=")
	switch name {
	case "shared", "rshared":
		return fmt.Errorf("mount option %q would propagate mounts of the container to the host", option)
	case "sync", "dirsync", "lazytime", "mand", "iversion":
		return fmt.Errorf("mount option %q applies to a whole filesystem, and cannot be set for a bind mount", option)
	case "remount", "idmap", "ridmap", "tmpcopyup":
		return fmt.Errorf("mount option %q can be applied by the runtime alone", option)
	}
	return fmt.Errorf("mount option %q is not supported", option)
}
