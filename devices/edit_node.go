package devices

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// DeviceNode is a device node to make in the container. [Edits.Complete] fills in what the Spec leaves open.
type DeviceNode struct {
	Path        string `json:"path"`
	HostPath    string `json:"hostPath"`
	Type        string `json:"type"` // c, b or p
	Major       int64  `json:"major"`
	Minor       int64  `json:"minor"`
	Permissions string `json:"permissions"` // of the device rule: letters of rwm, "" for no rule
	Status      Status `json:"status"`

	// Chosen is true if the Spec sets the mode or the owner. A node that is bound from the host keeps the host's.
	Chosen   bool         `json:"-"`
	FileMode *os.FileMode `json:"-"` // permission bits
	UID      *uint32      `json:"-"`
	GID      *uint32      `json:"-"`
	// Own is true if a requested device itself has the node. Otherwise all devices of the Spec have it.
	Own bool `json:"-"`
}

func nodeList() editList {
	return listOf[DeviceNode, *DeviceNode]{
		func(e *Edits) *[]*DeviceNode { return &e.DeviceNodes },
		func(c *cdispecs.ContainerEdits) []*DeviceNode { return convert(c.DeviceNodes, nodeOf) },
		addNodes,
	}
}

func nodeOf(d *cdispecs.DeviceNode) *DeviceNode {
	return &DeviceNode{
		Path: d.Path, HostPath: cmp.Or(d.HostPath, d.Path), Type: d.Type, Major: d.Major, Minor: d.Minor,
		Permissions: d.Permissions, Status: Apply, FileMode: d.FileMode, UID: d.UID, GID: d.GID,
		Chosen: d.FileMode != nil || d.UID != nil || d.GID != nil,
	}
}

// Label implements [Edit].
func (d *DeviceNode) Label() string { return "node " + d.Path }

// Row implements [Edit].
func (d *DeviceNode) Row() (label, detail string) {
	return "node " + d.Path, fmt.Sprintf("%s %d:%d %s", d.Type, d.Major, d.Minor, d.Permissions)
}

// State implements [Edit].
func (d *DeviceNode) State() *Status { return &d.Status }

// Makes implements [Edit].
func (*DeviceNode) Makes() bool { return true }

// Undone implements [Edit].
func (*DeviceNode) Undone() bool { return true }

// names returns no names for a node of a requested device itself, which is what was requested.
func (d *DeviceNode) names() (kind string, names []string) {
	if d.Own {
		return "", nil
	}
	return kindNode, []string{path.Clean(d.Path)}
}

// key returns the node's path in the container.
func (d *DeviceNode) key() string { return path.Clean(d.Path) }

// addNodes adds nodes to the list. A node that replaces one of a requested device itself is Own, too.
func addNodes(list, more []*DeviceNode) []*DeviceNode {
	own := map[string]bool{}
	for _, d := range list {
		if d.Own {
			own[d.key()] = true
		}
	}
	for _, d := range more {
		d.Own = d.Own || own[d.key()]
		own[d.key()] = d.Own
	}
	return replace(list, more)
}

// NodeError says that the host does not have a device node as a Spec wants it. What to do about it is the vendor's
// matter.
type NodeError struct {
	HostPath string
	Found    string // what is in its place, or ""
	Wanted   string
}

// NumberError says that a device node has another number on the host than in a Spec.
type NumberError struct {
	HostPath                               string
	Major, Minor, WantedMajor, WantedMinor int64
}

// Error implements error.
func (e *NumberError) Error() string {
	return fmt.Sprintf("the Spec has it as %d:%d, on this host it is %d:%d", e.WantedMajor, e.WantedMinor, e.Major,
		e.Minor)
}

// Error implements error.
func (e *NodeError) Error() string {
	if e.Found == "" {
		return "missing on this host"
	}
	return "on this host it is " + e.Found + ", the Spec wants " + e.Wanted
}

func (d *DeviceNode) complete(h *host) error {
	what := d.HostPath
	if err := checkContainerPath(d.Path); err != nil {
		return fault.New(fault.Node, "device node "+d.Path, "%w", err).WithHint("correct the path in the CDI Spec")
	}
	if !path.IsAbs(d.HostPath) {
		return fault.New(fault.Node, "device node "+what, "the path is not absolute").
			WithHint("correct hostPath in the CDI Spec")
	}
	st, err := linux.Lstat(d.HostPath)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return fault.New(fault.Node, what, "%w", &NodeError{HostPath: d.HostPath}).WithHint("load the device's driver")
		}
		return fault.New(fault.Node, what, "%w", err).WithHint("see that root can reach the path")
	}
	kind := nodeType(st.Mode)
	want := d.Type
	if want == "u" {
		want = "c"
	}
	if kind == "" || (want != "" && want != kind) {
		return fault.New(fault.Node, what, "%w", &NodeError{d.HostPath, describe(st.Mode), orDevice(want)}).
			WithHint("correct hostPath in the CDI Spec")
	}
	device := uint64(st.Rdev) //nolint:unconvert // 32 bits wide on some machines
	major, minor := int64(unix.Major(device)), int64(unix.Minor(device))
	if d.Major != 0 && (d.Major != major || d.Minor != minor) {
		return fault.New(fault.Major, what, "%w", &NumberError{d.HostPath, major, minor, d.Major, d.Minor}).
			WithHint("generate the CDI Spec again")
	}
	d.Type, d.Major, d.Minor = kind, major, minor
	d.fill(h.container, &st)
	d.Status = d.present(h.carried)
	return nil
}

// fill fills in permissions, mode and owner. If the Spec does not set them, the mode is that of the host's node and the
// owner is the container's process.
func (d *DeviceNode) fill(container *specs.Spec, st *unix.Stat_t) {
	switch d.Permissions {
	case "":
		// No "m": the container need not make a node that it already has.
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

// present returns Present if config.json already has the node, and else the status that the node has.
func (d *DeviceNode) present(c *carried) Status {
	if c.mounts(d.HostPath, d.Path, false) || c.has(d) {
		return Present
	}
	return d.Status
}

// nodeType returns the type of a device node as CDI writes it, or "" if the file is not one.
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
	case unix.S_IFREG:
		return "a regular file"
	}
	return "not a device node"
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
