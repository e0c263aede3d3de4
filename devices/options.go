package devices

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// MountAttributes are mount options in the kernel's terms, for open_tree and mount_setattr.
type MountAttributes struct {
	Recursive   bool
	Set, Clear  uint64 // MOUNT_ATTR_*
	Propagation uint64 // MS_PRIVATE or MS_SLAVE
}

// Attributes reads the mount's options. A mount into a container is private unless it is asked to be a slave; one that
// would carry mounts back to the host, and an option that is not known, are errors.
func (m *Mount) Attributes() (MountAttributes, error) {
	a := MountAttributes{Propagation: unix.MS_PRIVATE}
	for _, option := range m.Options {
		if err := a.option(option); err != nil {
			return MountAttributes{}, err
		}
	}
	return a, nil
}

func (a *MountAttributes) option(option string) error {
	switch option {
	case "bind", "defaults", "":
	case "private", "rprivate":
		a.Propagation = unix.MS_PRIVATE
	case "rbind":
		a.Recursive = true
	case "slave", "rslave":
		a.Propagation = unix.MS_SLAVE
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
	case "nosymfollow":
		a.set(unix.MOUNT_ATTR_NOSYMFOLLOW)
	case "noatime":
		a.atime(unix.MOUNT_ATTR_NOATIME)
	case "relatime":
		a.atime(unix.MOUNT_ATTR_RELATIME)
	case "strictatime":
		a.atime(unix.MOUNT_ATTR_STRICTATIME)
	default:
		return fmt.Errorf("mount option %q is not one that gpu-hook can apply", option)
	}
	return nil
}

func (a *MountAttributes) set(attr uint64)   { a.Set, a.Clear = a.Set|attr, a.Clear&^attr }
func (a *MountAttributes) clear(attr uint64) { a.Set, a.Clear = a.Set&^attr, a.Clear|attr }

// atime replaces the access time mode, which mount_setattr(2) takes as a value, not as bits.
func (a *MountAttributes) atime(mode uint64) {
	a.Set = a.Set&^unix.MOUNT_ATTR__ATIME | mode
	a.Clear |= unix.MOUNT_ATTR__ATIME
}
