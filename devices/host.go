package devices

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/trust"
)

// Complete checks every edit against the host and fills in what the Spec leaves to it: a node's type, numbers, mode and
// owner (that of the process, as the CDI library has it). What config.json carries already, because the engine applied
// the same Spec, becomes Present. root is the container's root filesystem, or "" where it is not known; nothing of the
// host may come from there. What cannot be carried out is Skipped, with a warning, where the rule lets a container do
// without it; else it is the error, which names the first such edit. It reads and changes nothing else.
func (e *Edits) Complete(container *specs.Spec, root string, owner trust.Owner, rule Optional) (skipped []*fault.Error, err error) {
	for _, d := range e.DeviceNodes {
		if err := d.complete(container); err != nil {
			note := rule.Node(d, err)
			if note == nil {
				return nil, err
			}
			d.Status, skipped = Skipped, append(skipped, note)
		}
	}
	for _, m := range e.Mounts {
		if err := m.complete(container, root); err != nil {
			note := rule.Mount(m, err)
			if note == nil {
				return nil, err
			}
			m.Status, skipped = Skipped, append(skipped, note)
		}
	}
	for _, h := range e.Hooks {
		if err := h.complete(container, owner); err != nil {
			note := rule.Hook(h, err)
			if note == nil {
				return nil, err
			}
			h.Status, skipped = Skipped, append(skipped, note)
		}
	}
	for _, n := range e.NetDevices {
		if err := n.complete(container); err != nil {
			return nil, err
		}
	}
	e.late(container)
	return skipped, nil
}

func (d *DeviceNode) complete(container *specs.Spec) error {
	what := "device node " + d.HostPath
	hint := "load the driver or, if the host's devices have changed, generate the CDI Spec anew"
	if err := checkContainerPath(d.Path); err != nil {
		return fault.New(fault.Node, "device node "+d.Path, "%w", err).WithHint("correct the path in the CDI Spec")
	}
	if !path.IsAbs(d.HostPath) {
		return fault.New(fault.Node, what, "the path is not absolute").WithHint("correct hostPath in the CDI Spec")
	}
	var st unix.Stat_t
	if err := unix.Lstat(d.HostPath, &st); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return fault.New(fault.Node, what, "it is missing on this host").WithHint("%s", hint)
		}
		return fault.New(fault.Node, what, "%w", err).WithHint("%s", hint)
	}
	kind := nodeType(st.Mode)
	want := d.Type
	if want == "u" {
		want = "c"
	}
	if kind == "" || (want != "" && want != kind) {
		return fault.New(fault.Node, what, "on this host it is %s, the Spec wants %s", describe(st.Mode), orDevice(want)).WithHint("%s", hint)
	}
	major, minor := int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev))) //nolint:unconvert // 32 bits wide on some machines
	if d.Major != 0 && (d.Major != major || d.Minor != minor) {
		return fault.New(fault.Major, what, "the Spec has it as %d:%d, on this host it is %d:%d", d.Major, d.Minor, major, minor).WithHint("%s", hint)
	}
	d.Type, d.Major, d.Minor = kind, major, minor
	d.fill(container, &st)
	d.Status = d.present(container)
	return nil
}

// fill takes over mode and owner: the Spec's, else for the mode the host's and for the owner the process's.
func (d *DeviceNode) fill(container *specs.Spec, st *unix.Stat_t) {
	switch d.Permissions {
	case "":
		// A node that exists need not be made again by the container: no "m".
		d.Permissions = "rw"
	case "none":
		d.Permissions = ""
	}
	if d.Type == "p" {
		d.Permissions, d.Major, d.Minor = "", 0, 0
	}
	if d.FileMode == nil {
		mode := os.FileMode(st.Mode & 0o777)
		d.FileMode = &mode
	}
	var user specs.User
	if container.Process != nil {
		user = container.Process.User
	}
	if d.UID == nil {
		d.UID = &user.UID
	}
	if d.GID == nil {
		d.GID = &user.GID
	}
}

func (d *DeviceNode) present(container *specs.Spec) Status {
	if mounted(container, d.HostPath, d.Path, false) {
		return Present
	}
	if container.Linux == nil {
		return d.Status
	}
	for _, o := range container.Linux.Devices {
		kind := strings.Replace(o.Type, "u", "c", 1)
		if path.Clean(o.Path) == path.Clean(d.Path) && kind == d.Type && o.Major == d.Major && o.Minor == d.Minor {
			return Present
		}
	}
	return d.Status
}

func (m *Mount) complete(container *specs.Spec, root string) error {
	what := "mount of " + m.HostPath
	if err := checkContainerPath(m.ContainerPath); err != nil {
		return fault.New(fault.Mount, "mount on "+m.ContainerPath, "%w", err).WithHint("correct containerPath in the CDI Spec")
	}
	switch m.Type {
	case "", "bind", "none", "tmpfs":
	default:
		return fault.New(fault.Mount, what, "a mount of type %q is not made: only bind mounts and a tmpfs are", m.Type).WithHint("use a bind mount in the CDI Spec")
	}
	if _, err := m.Attributes(); err != nil {
		return fault.New(fault.Mount, what, "%w", err).WithHint("correct the options in the CDI Spec")
	}
	if !m.Tmpfs() {
		if err := m.checkSource(what, root); err != nil {
			return err
		}
	}
	if mounted(container, m.HostPath, m.ContainerPath, m.Tmpfs()) {
		m.Status = Present
	}
	return nil
}

// checkSource checks what a bind mount is to show.
func (m *Mount) checkSource(what, root string) error {
	if !path.IsAbs(m.HostPath) || path.Clean(m.HostPath) == "/" {
		return fault.New(fault.Mount, what, "the path is not that of a file or directory below the host's root").WithHint("correct hostPath in the CDI Spec")
	}
	resolved, err := filepath.EvalSymlinks(m.HostPath)
	if errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.Mount, what, "it is missing on this host").WithHint("install the driver's libraries or, if the driver has changed, generate the CDI Spec anew")
	}
	if err != nil {
		return fault.New(fault.Mount, what, "%w", err).WithHint("make the file readable to root")
	}
	if resolved == "/" {
		return fault.New(fault.Mount, what, "it is a link to the host's root").WithHint("correct hostPath in the CDI Spec")
	}
	if root != "" && strings.HasPrefix(resolved+"/", root+"/") {
		return fault.New(fault.Mount, what, "it lies in the container's own root filesystem").WithHint("name a file of the host as hostPath in the CDI Spec")
	}
	return nil
}

// mounted says whether config.json mounts the host's path, or a tmpfs, there.
func mounted(container *specs.Spec, hostPath, containerPath string, tmpfs bool) bool {
	return slices.ContainsFunc(container.Mounts, func(o specs.Mount) bool {
		return path.Clean(o.Destination) == path.Clean(containerPath) && path.Clean(o.Source) == path.Clean(hostPath) && (o.Type == "tmpfs") == tmpfs
	})
}

func checkContainerPath(p string) error {
	switch {
	case !path.IsAbs(p):
		return errors.New("the path is not absolute")
	case path.Clean(p) == "/":
		return errors.New("the path is the container's root")
	case slices.Contains(strings.Split(p, "/"), ".."):
		return errors.New(`the path has a ".." in it`)
	}
	return nil
}

func nodeType(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFCHR:
		return "c"
	case unix.S_IFBLK:
		return "b"
	case unix.S_IFIFO:
		return "p"
	}
	return ""
}

func describe(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFCHR:
		return "a character device"
	case unix.S_IFBLK:
		return "a block device"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFDIR:
		return "a directory"
	}
	return "no device node"
}

func orDevice(kind string) string {
	switch kind {
	case "c":
		return "a character device"
	case "b":
		return "a block device"
	case "p":
		return "a FIFO"
	}
	return "a device node"
}
