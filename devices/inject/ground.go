package inject

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// mounts is what [ground] needs to know of the mounts in a mount namespace.
type mounts struct {
	peers       map[int]string   // mount ids to their peer group, "shared:N", where they have one
	filesystems map[int]deviceID // mount ids to their filesystem
	memory      map[int]bool     // mount ids whose filesystem is kept in memory alone
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
	return parseMounts(file)
}

// parseMounts reads the content of /proc/PID/mountinfo.
func parseMounts(text io.Reader) (*mounts, error) {
	m := &mounts{map[int]string{}, map[int]deviceID{}, map[int]bool{}}
	_, err := mountinfo.GetMountsFromReader(text, func(i *mountinfo.Info) (skip, stop bool) {
		m.filesystems[i.ID] = deviceID{i.Major, i.Minor}
		if i.FSType == "tmpfs" || i.FSType == "ramfs" {
			m.memory[i.ID] = true
		}
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

// site is the mount through which a file was opened. It stays the same while the handle is open, wherever the file is
// moved: rename(2) does not leave the mount. So it need not be looked up again for what is made in a directory.
type site struct {
	mount  int
	kernel bool // its filesystem is one of the kernel's, whose files configure the kernel
	driver bool // of these, the part of NVIDIA's driver
	nodev  bool // device nodes on it cannot be opened
}

func siteOf(handle *os.File) (site, error) {
	id, err := mountID(handle)
	if err != nil {
		return site{}, err
	}
	fs, err := linux.Fstatfs(handle)
	if err != nil {
		return site{}, err
	}
	s := site{mount: id, nodev: fs.Flags&unix.ST_NODEV != 0}
	switch uint32(fs.Type) { //nolint:gosec // magic numbers are 32 bits wide
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
		unix.SECURITYFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.BPF_FS_MAGIC:
		s.kernel = true
	}
	if fs.Type == unix.PROC_SUPER_MAGIC {
		s.driver, err = ofDriver(handle, id)
	}
	return s, err
}

// ofDriver reports whether the handle, whose mount has this id, is in /proc/driver/nvidia. It goes by where the handle
// leads, not by the path that was opened: another part of procfs can be mounted there.
func ofDriver(handle *os.File, mount int) (bool, error) {
	at, err := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(int(handle.Fd())))
	if err != nil {
		return false, err
	}
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return false, err
	}
	defer file.Close()
	found, err := mountinfo.GetMountsFromReader(file, func(i *mountinfo.Info) (skip, stop bool) {
		return i.ID != mount, i.ID == mount
	})
	if err != nil || len(found) == 0 {
		return false, err
	}
	return inDriver(found[0].Root, found[0].Mountpoint, at), nil
}

// inDriver reports whether the path at, below a mount of procfs that shows the directory root of it, is in
// /driver/nvidia of procfs.
func inDriver(root, mountpoint, at string) bool {
	below, err := filepath.Rel(mountpoint, at)
	if err != nil || below == ".." || strings.HasPrefix(below, "../") {
		return false
	}
	const driver = "/driver/nvidia"
	in := path.Join(root, below)
	return in == driver || strings.HasPrefix(in, driver+"/")
}

// checkMake refuses to make unsafePath in a directory at s unless that is the container's own: the mount of the root
// filesystem, or a filesystem in memory that the host has not mounted, such as the runtime's tmpfs on /dev.
//
// What is made on a volume would outlive the container, as it would on a disk that the runtime mounts for it. Others
// would see it: a device node there could be opened by users of the host. And to undo it could remove it from another
// container that uses it by then.
func (g *ground) checkMake(s site, unsafePath string) error {
	if err := s.checkKernel(unsafePath); err != nil {
		return err
	}
	if !g.own(s.mount) {
		return errOnVolume(unsafePath)
	}
	if g.sparesRoot && s.mount == g.root {
		return errRootSpared
	}
	return nil
}

// errOnVolume is the refusal to make unsafePath.
func errOnVolume(unsafePath string) error {
	return fmt.Errorf("%q would have to be made on a volume or another filesystem of the host", path.Clean(unsafePath))
}

// own reports whether the mount with this id is one of the container's own.
func (g *ground) own(mount int) bool {
	if mount == g.root {
		return true
	}
	// An unknown mount is one that we have attached: a directory of the host.
	filesystem, known := g.its.filesystems[mount]
	return known && g.its.memory[mount] && !g.host.has(filesystem)
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
	g.its.filesystems[id], g.its.memory[id] = deviceID{int(unix.Major(dev)), int(unix.Minor(dev))}, true
	return nil
}

// checkMount refuses to mount on unsafePath, which is at s, if the mount would propagate to the host.
func (g *ground) checkMount(s site, unsafePath string) error {
	if err := s.checkKernel(unsafePath); err != nil {
		return err
	}
	group, shared := g.its.peers[s.mount]
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
func (s site) checkKernel(unsafePath string) error {
	if !s.kernel || s.driver {
		return nil
	}
	return fmt.Errorf("%q lies on a filesystem of the kernel", unsafePath)
}

// usable returns an error if a device node at s could not be opened.
func (s site) usable() error {
	if s.nodev {
		return errors.New("its filesystem is mounted nodev, a node on it would be useless")
	}
	return nil
}

// mountID returns the id that the mount of the handle has in mountinfo.
func mountID(handle *os.File) (int, error) {
	st, err := linux.Statx(handle, unix.STATX_MNT_ID)
	return int(st.Mnt_id), err //nolint:gosec // mount ids are ints
}
