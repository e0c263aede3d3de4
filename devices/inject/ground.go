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

// mounts is what a mount namespace has mounted, as far as it matters where something may be made.
type mounts struct {
	peers       map[int]string   // mount ids to their peer group, "shared:N", where they have one
	filesystems map[int]deviceID // mount ids to their filesystem
}

// deviceID tells filesystems apart. It is mountinfo's, since that of stat(2) is another for some (btrfs).
type deviceID struct{ major, minor int }

func (m *mounts) has(filesystem deviceID) bool {
	for _, f := range m.filesystems {
		if f == filesystem {
			return true
		}
	}
	return false
}

// readMounts reads /proc/thread-self/mountinfo of the caller's mount namespace.
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

// ground knows on what ground of the container something may be made or mounted.
type ground struct {
	host *mounts // of the hook's own namespace
	its  *mounts // of the container's
	root int     // mount id of the root filesystem
	// sparesRoot says that nothing is made on the root filesystem itself.
	sparesRoot bool
}

// errRootSpared is why nothing is made on the root filesystem of a container whose changes become an image.
var errRootSpared = errors.New("it is not there, and what is made in the root filesystem would stay in the image")

// learn completes g in the container's mount namespace.
func (g *ground) learn(root *os.File) (err error) {
	if g.its, err = readMounts(); err != nil {
		return err
	}
	g.root, err = mountID(root)
	return err
}

// checkMake refuses to make anything in dir unless it is the container's own: on the root filesystem's mount, or on a
// filesystem that the host has not mounted, such as the runtime's tmpfs on /dev. What is made on a volume would outlive
// the container and be there for others, a device node for every user of the host; and taking it back would take it from
// another container that has come to use it.
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

func (g *ground) checkSpared(dir *os.File) error {
	id, err := mountID(dir)
	if err == nil && id == g.root {
		err = errRootSpared
	}
	return err
}

func (g *ground) own(handle *os.File) (bool, error) {
	id, err := mountID(handle)
	if err != nil || id == g.root {
		return err == nil, err
	}
	// A mount that was not there before is one of ours, of a directory of the host.
	filesystem, known := g.its.filesystems[id]
	return known && !g.host.has(filesystem), nil
}

// adopt makes the mount that handle lies on the container's own: a filesystem that we made for it.
func (g *ground) adopt(handle *os.File) error {
	id, err := mountID(handle)
	if err != nil {
		return err
	}
	st, err := linux.Fstat(handle)
	if err != nil {
		return err
	}
	g.its.filesystems[id] = deviceID{int(unix.Major(uint64(st.Dev))), int(unix.Minor(uint64(st.Dev)))} //nolint:unconvert // 32 bits wide on some machines
	return nil
}

// checkMount refuses a target through which the mount would come to the host too.
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
			return fmt.Errorf("the filesystem of %q is shared with the host, where the mount would appear too (propagation shared)", path.Clean(unsafePath))
		}
	}
	return nil
}

// checkKernel refuses to make or mount anything on the kernel's own filesystems, where a write is an order to the kernel
// (CVE-2025-52881). /proc/driver/nvidia is the one place that vendors do mount on.
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

func mountID(handle *os.File) (int, error) {
	st, err := linux.Statx(handle, unix.STATX_MNT_ID)
	return int(st.Mnt_id), err //nolint:gosec // mount ids are ints
}
