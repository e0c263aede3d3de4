package devices

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// MountAttributes are mount options in the kernel's terms, for open_tree, fsconfig and mount_setattr.
type MountAttributes struct {
	Recursive   bool       // the mounts below come along
	Top         Attributes // of the mount itself, as runtimes take "ro" and its like
	Tree        Attributes // of it and all mounts below, as they take "rro"; after Top
	Propagation uint64     // MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE, of all mounts
	// Data are the options of a new filesystem, as they stand: "size=1m", "noswap".
	Data []string
}

// Attributes are what mount_setattr(2) sets and clears, MOUNT_ATTR_*.
type Attributes struct{ Set, Clear uint64 }

// Tmpfs reports whether the mount is a new tmpfs; any other is a bind mount. As with runtimes, a bind option goes before the
// type.
func (m *Mount) Tmpfs() bool {
	return m.Type == "tmpfs" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind")
}

// Attributes reads the mount's options: all that runc reads (libcontainer/specconv), but for those that cannot be, which
// are errors that name the option, as is one that is not known. A mount into a container is private unless it is asked to
// be a slave; one that would carry mounts back to the host is such an error. Where two options speak of one thing the
// later holds.
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

// neutral are options that ask for what is so anyway: of a mount, or of a filesystem that exists and keeps its own.
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

// tree reads the recursive form of an attribute, with an "r" before it.
func (a *MountAttributes) tree(option string) bool {
	plain, recursive := strings.CutPrefix(option, "r")
	return recursive && a.Tree.option(plain)
}

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
		// Without one of the others this is what the kernel does.
		a.atime(unix.MOUNT_ATTR_RELATIME)
	default:
		return false
	}
	return true
}

func (a *Attributes) set(attr uint64)   { a.Set, a.Clear = a.Set|attr, a.Clear&^attr }
func (a *Attributes) clear(attr uint64) { a.Set, a.Clear = a.Set&^attr, a.Clear|attr }

// atime replaces the access time mode, which mount_setattr(2) takes as a value, not as bits.
func (a *Attributes) atime(mode uint64) {
	a.Set = a.Set&^unix.MOUNT_ATTR__ATIME | mode
	a.Clear |= unix.MOUNT_ATTR__ATIME
}

// tmpfsOption reports whether a new tmpfs takes the option; tmpfs(5). What its value must be the kernel knows.
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

func (m *Mount) refuse(option string) error {
	name, _, _ := strings.Cut(option, "=")
	switch name {
	case "shared", "rshared":
		return fmt.Errorf("mount option %q would carry what the container mounts there to the host", option)
	case "sync", "dirsync", "lazytime", "mand", "iversion":
		return fmt.Errorf("mount option %q is one of a whole filesystem, and this mount shows a part of one that exists", option)
	case "remount", "idmap", "ridmap", "tmpcopyup":
		return fmt.Errorf("mount option %q is one that only the runtime can apply", option)
	}
	return fmt.Errorf("mount option %q is not one that gpu-hook can apply", option)
}
