package rules

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ownGroup is a cgroup that the runtime made for this container and nobody else.
type ownGroup struct {
	// dir is the directory of the cgroup in which the container's process is: the unit or one below it. It is "" if the
	// container has no cgroup of its own.
	dir string
	// unit is the path in /proc/PID/cgroup of the uppermost cgroup that is the container's own: the one that the runtime
	// named. unitDir is its directory.
	unit, unitDir string
	// mountpoint is where the hierarchy is mounted.
	mountpoint string
}

// ownCgroup returns the container's own cgroup in the hierarchy of the controller; "" is version 2. It returns the zero
// value, which is no error, if the hierarchy is not mounted or if the cgroup of the container's process is
//   - the root, or the cgroup of gpu-hook,
//   - not named as the runtime names the one that it makes for this container,
//   - shared with processes of others.
func (t *Target) ownCgroup(controller, filesystem string) (own ownGroup, err error) {
	container, err := cgroups(t.Process.PID)
	if err != nil {
		return own, err
	}
	self, err := cgroups(os.Getpid())
	if err != nil {
		return own, err
	}
	group := container[controller]
	unit := t.unitName(group)
	if group == "" || group == "/" || group == self[controller] || unit == "" {
		return own, nil
	}
	mount, err := cgroupMount(filesystem, controller)
	if err != nil || mount.mountpoint == "" {
		return own, err
	}
	own.mountpoint, own.unit = mount.mountpoint, cutAfter(group, unit)
	if own.unitDir, err = mount.dir(own.unit); err != nil {
		return own, err
	}
	if own.dir, err = mount.dir(group); err != nil {
		return own, err
	}
	if shared, err := hasOthers(own.dir, t.Process.PID); err != nil || shared {
		return ownGroup{}, err
	}
	return own, nil
}

// hasOthers reports whether the cgroup has processes other than pid, the container's first process, and its children.
// Until its program has started, the container has no more. Two containers that config.json puts into one cgroup share
// the cgroup's rules, and one must not open devices for the other, which has not requested them.
func hasOthers(dir string, pid int) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false, err
	}
	for field := range strings.FieldsSeq(string(data)) {
		other, err := strconv.Atoi(field)
		if err != nil {
			return false, fmt.Errorf("%s/cgroup.procs: %w", dir, err)
		}
		if other != pid && !childOf(other, pid) {
			return true, nil
		}
	}
	return false, nil
}

// childOf reports whether the process is a child of parent or has ended. 0 stands for a process that gpu-hook's pid
// namespace does not show, and is no child.
func childOf(pid, parent int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return pid != 0
	}
	return strings.Contains(string(data), fmt.Sprintf("\nPPid:\t%d\n", parent))
}

// dirs returns the directories of the container's own cgroups, from the unit's down to its process's.
func (g ownGroup) dirs() []string {
	dirs := []string{g.dir}
	for dir := g.dir; dir != g.unitDir && dir != "/"; {
		dir = filepath.Dir(dir)
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}

// above iterates over the directories of the cgroups above the unit, upwards to the mount point.
func (g ownGroup) above() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for dir := g.unitDir; dir != g.mountpoint && dir != "/"; {
			if dir = filepath.Dir(dir); !yield(dir) {
				return
			}
		}
	}
}

// unitName returns the one of [Target.unitNames] that is in the cgroup's path, or "".
func (t *Target) unitName(group string) string {
	for _, name := range t.unitNames() {
		if within(group, name) {
			return name
		}
	}
	return ""
}

// unitNames returns the names that runtimes give to the cgroup of this container and of no other. They are paths, or
// ends of paths, made from linux.cgroupsPath, which is slice:prefix:name for the systemd driver, or else from the
// container's id.
func (t *Target) unitNames() []string {
	id := t.Container.State.ID
	if t.Container.Spec.Linux == nil || t.Container.Spec.Linux.CgroupsPath == "" {
		return []string{"runc-" + id + ".scope", "crun-" + id + ".scope", id}
	}
	unsafePath := t.Container.Spec.Linux.CgroupsPath
	parts := strings.Split(unsafePath, ":")
	if len(parts) != 3 {
		return []string{path.Clean(unsafePath)}
	}
	prefix, name := parts[1], parts[2]
	if name == "" {
		return nil
	}
	return []string{prefix + "-" + name + ".scope", name + ".scope", name}
}

// within reports whether the cgroup's path has the components of unit, one directly after the other.
func within(group, unit string) bool {
	unit = strings.Trim(unit, "/")
	return unit != "" && unit != "." && strings.Contains(group+"/", "/"+unit+"/")
}

// cutAfter cuts the cgroup's path after the components of unit, which must be [within] it.
func cutAfter(group, unit string) string {
	unit = "/" + strings.Trim(unit, "/")
	return group[:strings.Index(group+"/", unit+"/")+len(unit)]
}
