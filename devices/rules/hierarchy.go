package rules

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// cgroups reads /proc/PID/cgroup. It returns the path of the process's cgroup by controller; "" is version 2.
func cgroups(pid int) (map[string]string, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseCgroups(file)
}

// parseCgroups reads the content of /proc/PID/cgroup.
func parseCgroups(text io.Reader) (map[string]string, error) {
	out := map[string]string{}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			out[controller] = fields[2]
		}
	}
	return out, lines.Err()
}

// hierarchy is a mounted cgroup hierarchy. root is the cgroup that the mount point shows.
type hierarchy struct{ mountpoint, root string }

// cgroupMount finds where the hierarchy is mounted in gpu-hook's mount namespace. If it is not, that is the zero value
// and no error.
func cgroupMount(filesystem, controller string) (hierarchy, error) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		if m.FSType != filesystem {
			return true, false
		}
		return controller != "" && !slices.Contains(strings.Split(m.VFSOptions, ","), controller), false
	})
	if err != nil {
		return hierarchy{}, err
	}
	if len(mounts) == 0 {
		return hierarchy{}, nil
	}
	return hierarchy{mounts[0].Mountpoint, mounts[0].Root}, nil
}

// dir returns the directory of the cgroup. A cgroup that the mount does not show is an error.
func (h hierarchy) dir(group string) (string, error) {
	below, ok := strings.CutPrefix(path.Clean(group)+"/", path.Clean(h.root+"/")+"/")
	if h.root == "/" {
		below, ok = group, true
	}
	if !ok || slices.Contains(strings.Split(group, "/"), "..") {
		return "", fmt.Errorf("cgroup %q lies outside what is mounted on %s", group, h.mountpoint)
	}
	return filepath.Join(h.mountpoint, below), nil
}
