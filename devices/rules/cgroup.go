package rules

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Rule allows one device.
type Rule struct {
	kind         string // c or b
	major, minor int64
	permissions  string
}

func (r Rule) String() string {
	return fmt.Sprintf("%s %d:%d %s", r.kind, r.major, r.minor, r.permissions)
}

// Of returns what the nodes need, each rule once. One that could not be made needs none.
func Of(nodes []*devices.DeviceNode) []Rule {
	var out []Rule
	for _, d := range nodes {
		r := Rule{d.Type, d.Major, d.Minor, d.Permissions}
		if d.Status == devices.Failed || (r.kind != "c" && r.kind != "b") || r.permissions == "" || slices.Contains(out, r) {
			continue
		}
		out = append(out, r)
	}
	return out
}

// Missing returns the rules of the nodes that config.json does not give already. A node that it lists need not have a rule
// there: the runtime makes nodes from one list and rules from another.
func Missing(container *specs.Spec, nodes []*devices.DeviceNode) []Rule {
	if container.Linux == nil || container.Linux.Resources == nil {
		return Of(nodes)
	}
	given := container.Linux.Resources.Devices
	return Of(slices.DeleteFunc(slices.Clone(nodes), func(d *devices.DeviceNode) bool { return d.Allowed(given) }))
}

// Target is the container whose device rules are extended.
type Target struct {
	Container *state.Container
	Process   *state.Process
	// Namespaced says that this process is in a user namespace that is not the host's: the kernel takes no device rules
	// from it, and file permissions decide.
	Namespaced bool
}

// Outcome is what there is to say of rules that were set.
type Outcome struct {
	// NoCgroup says that rules were needed, but the container has no cgroup of its own to set them in.
	NoCgroup error
	// Notes are about what may take the devices away again, or stands above them: they warn, the rules are set.
	Notes []*fault.Error
}

func (o *Outcome) note(f *fault.Error) { o.Notes = append(o.Notes, f) }

// errNotOwn says that the container has no cgroup of its own whose rules could be changed.
var errNotOwn = errors.New("the container has no device cgroup of its own, its device rules are those of its surroundings and stay as they are")

// Allow opens the rules' devices in the container's own cgroup, version 1 or 2, for good: its systemd unit, where it has
// one, learns of them first. It reads the outcome back. A cgroup that is not the container's is never touched: that is
// [Outcome.NoCgroup].
//
// Nothing of this needs to be undone: programs, rules and unit, with what systemd keeps of it below /run, end with the
// container's cgroup.
func (t *Target) Allow(ctx context.Context, rules []Rule) (Outcome, error) {
	var result Outcome
	if len(rules) == 0 || t.Namespaced {
		return result, nil
	}
	err := t.allowIn(ctx, rules, &result)
	if errors.Is(err, errNotOwn) {
		result.NoCgroup = err
		return result, nil
	}
	if err == nil {
		return result, nil
	}
	return result, fault.New(fault.Cgroup, "device rules of the container", "%w", err).
		WithHint("see that gpu-hook runs as root with all capabilities; the container's cgroup and its parents must allow these devices")
}

// allowIn goes by both versions: on a hybrid host the container has a cgroup in each, and the kernel asks both. systemd
// comes before either, since it sets its own rules anew when it is told of a device.
func (t *Target) allowIn(ctx context.Context, rules []Rule, result *Outcome) error {
	v1, err := t.ownCgroup("devices", "cgroup")
	if err != nil {
		return err
	}
	v2, err := t.ownCgroup("", "cgroup2")
	if err != nil {
		return err
	}
	if v1.dir == "" && v2.dir == "" {
		return errNotOwn
	}
	// Before anything is set: what stands above does not change by it.
	if err := judgeAbove(v2, rules, result); err != nil {
		return err
	}
	pins := tellSystemd(ctx, v1, v2, rules, result)
	if v1.dir != "" {
		if err := allowV1(v1, rules); err != nil {
			return err
		}
	}
	if v2.dir == "" {
		return nil
	}
	extended, err := allowV2(v2, rules)
	if err != nil {
		return err
	}
	for _, pin := range pins {
		if err := repin(pin, v2.unit, rules, extended); err != nil {
			result.note(fault.New(fault.CgroupNote, "device program "+pin, "the devices are lost when systemd next attaches it, as at a daemon-reload: %w", err).
				WithHint("after a daemon-reload, start the container again"))
		}
	}
	return nil
}

// judgeAbove is [checkAbove] for a container that may have no cgroup of version 2.
func judgeAbove(v2 ownGroup, rules []Rule, result *Outcome) error {
	if v2.dir == "" {
		return nil
	}
	unjudged, err := checkAbove(v2, rules)
	if unjudged != nil {
		result.note(fault.New(fault.CgroupNote, "device rules above the container", "%w", unjudged).
			WithHint("if the device cannot be opened, see which programs these are: bpftool cgroup tree"))
	}
	return err
}

// ownGroup is a cgroup that the runtime made for this container and nobody else.
type ownGroup struct {
	dir        string // of the cgroup where its process is, at or below the unit; "" where it has none of its own
	unit       string // the cgroup's path in /proc/PID/cgroup, up to the name that the runtime gave it
	unitDir    string
	mountpoint string // of the hierarchy
}

// ownCgroup returns the container's cgroup in the hierarchy of the controller, which is none where it is the root, or
// ours, or not the one that the runtime made for it, or shared with others, or the hierarchy is not mounted.
func (t *Target) ownCgroup(controller, filesystem string) (own ownGroup, err error) {
	its, err := cgroups(t.Process.PID)
	if err != nil {
		return own, err
	}
	ours, err := cgroups(os.Getpid())
	if err != nil {
		return own, err
	}
	group := its[controller]
	unit := t.unit(group)
	if group == "" || group == "/" || group == ours[controller] || unit == "" {
		return own, nil
	}
	mount, err := cgroupMount(filesystem, controller)
	if err != nil || mount.mountpoint == "" {
		return own, err
	}
	own.mountpoint, own.unit = mount.mountpoint, upTo(group, unit)
	if own.unitDir, err = mount.dir(own.unit); err != nil {
		return own, err
	}
	if own.dir, err = mount.dir(group); err != nil {
		return own, err
	}
	if foreign, err := hasOthers(own.dir, t.Process.PID); err != nil || foreign {
		return ownGroup{}, err
	}
	return own, nil
}

// hasOthers reports whether processes that are not the container's are in the cgroup too: before its program has started
// there are none but its first, and that one's children. Two containers that config.json puts into one cgroup share its
// rules, and one must not open for the other what that has not asked for.
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

// childOf reports whether the process is a child of parent, or gone.
func childOf(pid, parent int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return pid != 0
	}
	return strings.Contains(string(data), fmt.Sprintf("\nPPid:\t%d\n", parent))
}

// dirs are the container's own cgroups, from the unit's down to its process's.
func (g ownGroup) dirs() []string {
	dirs := []string{g.dir}
	for dir := g.dir; dir != g.unitDir && dir != "/"; {
		dir = filepath.Dir(dir)
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}

// above goes through the cgroups above the unit, upwards, as far as the hierarchy is mounted.
func (g ownGroup) above() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for dir := g.unitDir; dir != g.mountpoint && dir != "/"; {
			if dir = filepath.Dir(dir); !yield(dir) {
				return
			}
		}
	}
}

// unit returns which of the names that the runtime gives to the cgroup of this container alone stands in the cgroup's
// path, or "".
func (t *Target) unit(group string) string {
	for _, unit := range t.units() {
		if within(group, unit) {
			return unit
		}
	}
	return ""
}

// units are the paths, or ends of paths, that runtimes make from linux.cgroupsPath, which is slice:prefix:name for the
// systemd driver, or without one from the container's id.
func (t *Target) units() []string {
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

// within reports whether the components of unit stand one after the other in the cgroup's path.
func within(group, unit string) bool {
	unit = strings.Trim(unit, "/")
	return unit != "" && unit != "." && strings.Contains(group+"/", "/"+unit+"/")
}

// upTo cuts the cgroup's path after the components of unit, which stand in it.
func upTo(group, unit string) string {
	unit = "/" + strings.Trim(unit, "/")
	return group[:strings.Index(group+"/", unit+"/")+len(unit)]
}

// cgroups reads /proc/PID/cgroup: controller ("" is version 2) to path.
func cgroups(pid int) (map[string]string, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	out := map[string]string{}
	lines := bufio.NewScanner(file)
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

type hierarchy struct{ mountpoint, root string }

// cgroupMount finds where the hierarchy is mounted in our mount namespace; nowhere is no error.
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

// dir is the directory of the cgroup, which must lie below what is mounted.
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
