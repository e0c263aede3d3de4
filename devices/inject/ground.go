package inject

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// mounts is what [ground] needs to know of the mounts in a mount namespace.
type mounts struct {
	peers       map[int]string   // mount ids to their peer group, "shared:N", where they have one
	filesystems map[int]deviceID // mount ids to their filesystem
}

// deviceID identifies a filesystem. It is the one in mountinfo, which for some (btrfs) differs from the one of stat(2).
type deviceID struct{ major, minor int }

func (m *mounts) has(filesystem deviceID) bool {
	for _, f := range m.filesystems {
		if f == filesystem {
			return true
		}
	}
	return false
}

// readMounts reads the mounts in the calling thread's mount namespace.
func readMounts() (*mounts, error) {
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := &mounts{map[int]string{}, map[int]deviceID{}}
	_, err = mountinfo.GetMountsFromReader(file, func(i *mountinfo.Info) (skip, stop bool) {
		m.filesystems[i.ID] = deviceID{i.Major, i.Minor}
		for _, field := range strings.Fields(i.Optional) {
			if strings.HasPrefix(field, "shared:") {
				m.peers[i.ID] = field
			}
		}
		return true, false
	})
	return m, err
}

// ground decides on which filesystems in the container something may be made or mounted.
type ground struct {
	host *mounts // in our own mount namespace
	its  *mounts // in the container's, before we change anything
	root int     // mount id of the root filesystem
	// sparesRoot: nothing may be made on the root filesystem itself.
	sparesRoot bool
}

// errRootSpared is the refusal to make something on the root filesystem of a container that becomes an image.
var errRootSpared = errors.New("it is not there, and what is made in the root filesystem would stay in the image")

// learn completes g. It must run in the container's mount namespace.
func (g *ground) learn(root *os.File) (err error) {
	if g.its, err = readMounts(); err != nil {
		return err
	}
	g.root, err = mountID(root)
	return err
}

// checkMake refuses to make anything in dir unless dir is the container's own: on the mount of the root filesystem, or
// on a filesystem that the host has not mounted, such as the runtime's tmpfs on /dev.
//
// What is made on a volume would outlive the container. Others would see it: a device node there could be opened by
// users of the host. And to undo it could remove it from another container that uses it by then.
func (g *ground) checkMake(dir *os.File, unsafePath string) error {
	if err := checkKernel(dir, unsafePath); err != nil {
		return err
	}
	own, err := g.own(dir)
	if err == nil && own && g.sparesRoot {
		return g.checkSpared(dir)
	}
	if err == nil && !own {
		err = fmt.Errorf("%q would have to be made on a volume or another filesystem of the host", path.Clean(unsafePath))
	}
	return err
}

// checkSpared refuses to make anything on the root filesystem itself.
func (g *ground) checkSpared(dir *os.File) error {
	id, err := mountID(dir)
	if err == nil && id == g.root {
		err = errRootSpared
	}
	return err
}

// own reports whether the file of the handle is on a filesystem of the container's own.
func (g *ground) own(handle *os.File) (bool, error) {
	id, err := mountID(handle)
	if err != nil || id == g.root {
		return err == nil, err
	}
	// An unknown mount is one that we have attached: a directory of the host.
	filesystem, known := g.its.filesystems[id]
	return known && !g.host.has(filesystem), nil
}

// adopt adds the mount of the handle, a filesystem that we made for the container, to the container's own.
func (g *ground) adopt(handle *os.File) error {
	id, err := mountID(handle)
	if err != nil {
		return err
	}
	st, err := linux.Fstat(handle)
	if err != nil {
		return err
	}
	dev := uint64(st.Dev) //nolint:unconvert // 32 bits wide on some machines
	g.its.filesystems[id] = deviceID{int(unix.Major(dev)), int(unix.Minor(dev))}
	return nil
}

// checkMount refuses to mount on target if the mount would propagate to the host.
func (g *ground) checkMount(target *os.File, unsafePath string) error {
	if err := checkKernel(target, unsafePath); err != nil {
		return err
	}
	id, err := mountID(target)
	if err != nil {
		return err
	}
	group, shared := g.its.peers[id]
	if !shared {
		return nil
	}
	for _, host := range g.host.peers {
		if host == group {
			return fmt.Errorf(
				"the filesystem of %q is shared with the host, where the mount would appear too (propagation shared)",
				path.Clean(unsafePath))
		}
	}
	return nil
}

// checkKernel refuses to make or mount anything on the kernel's own filesystems, whose files configure the kernel
// (CVE-2025-52881). An exception is /proc/driver/nvidia, on which NVIDIA's tools mount.
func checkKernel(handle *os.File, unsafePath string) error {
	st, err := linux.Fstatfs(handle)
	if err != nil {
		return fmt.Errorf("%q: %w", unsafePath, err)
	}
	switch uint32(st.Type) { //nolint:gosec // magic numbers are 32 bits wide
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
		unix.SECURITYFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.BPF_FS_MAGIC:
		if strings.HasPrefix(path.Clean(unsafePath)+"/", "/proc/driver/nvidia/") {
			return nil
		}
		return fmt.Errorf("%q lies on a filesystem of the kernel", unsafePath)
	}
	return nil
}

// mountID returns the id that the mount of the handle has in mountinfo.
func mountID(handle *os.File) (int, error) {
	st, err := linux.Statx(handle, unix.STATX_MNT_ID)
	return int(st.Mnt_id), err //nolint:gosec // mount ids are ints
}
