package devices

import (
	"cmp"
	"os"
	"path"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/fault"
)

// Status is what becomes of an edit.
type Status string

// Every edit is planned as Apply, Present, Late or, where it cannot be made and [Optional] lets a container do without,
// Skipped; carrying the plan out turns Apply into Applied, Present, Skipped or Failed.
const (
	Apply   Status = "apply"
	Applied Status = "applied"
	Present Status = "present"
	Late    Status = "late"
	Skipped Status = "skipped"
	Failed  Status = "failed"
)

// Edits are CDI's container edits, each with what becomes of it. The JSON form is part of the contract.
type Edits struct {
	Env            []*Env        `json:"env"`
	DeviceNodes    []*DeviceNode `json:"deviceNodes"`
	Mounts         []*Mount      `json:"mounts"`
	Hooks          []*Hook       `json:"hooks"`
	NetDevices     []*NetDevice  `json:"netDevices"`
	AdditionalGIDs []*GID        `json:"additionalGids"`
	IntelRdt       []*IntelRdt   `json:"intelRdt"`

	// Notes say what of the Specs that the edits are from was not understood, once for each Spec.
	Notes []*fault.Error `json:"-"`
}

// Env is a variable for the container's process.
type Env struct {
	Value  string `json:"value"`
	Status Status `json:"status"`
}

// DeviceNode is a node to make in the container. After [Edits.Complete] everything is filled in from the host's node.
type DeviceNode struct {
	Path        string `json:"path"`
	HostPath    string `json:"hostPath"`
	Type        string `json:"type"` // c, b or p
	Major       int64  `json:"major"`
	Minor       int64  `json:"minor"`
	Permissions string `json:"permissions"` // of the device rule: letters of rwm, "" for no rule
	Status      Status `json:"status"`

	// Chosen says that the Spec chooses mode or owner, which a node that is bound from the host cannot be given.
	Chosen   bool         `json:"-"`
	FileMode *os.FileMode `json:"-"` // permission bits of the node
	UID      *uint32      `json:"-"`
	GID      *uint32      `json:"-"`
	Own      bool         `json:"-"` // it is of a device that was asked for, not of what a Spec gives to all of its devices
}

// Mount is a bind mount of a file or directory of the host, or a new tmpfs.
type Mount struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath"`
	Options       []string `json:"options"`
	Status        Status   `json:"status"`

	Type string `json:"-"`
}

// Hook is a program to run for the container.
type Hook struct {
	HookName string   `json:"hookName"`
	Path     string   `json:"path"`
	Args     []string `json:"args"`
	Status   Status   `json:"status"`

	Env     []string `json:"-"`
	Timeout *int     `json:"-"` // seconds
}

// NetDevice is a network device to move into the container.
type NetDevice struct {
	HostInterfaceName string `json:"hostInterfaceName"`
	Name              string `json:"name"`
	Status            Status `json:"status"`
}

// GID is a supplementary group for the container's process.
type GID struct {
	Value  uint32 `json:"value"`
	Status Status `json:"status"`
}

// IntelRdt is a resource control setting.
type IntelRdt struct {
	ClosID string `json:"closID"`
	Status Status `json:"status"`

	Setting *cdispecs.IntelRdt `json:"-"` // the whole of it
}

// NewEdits returns edits whose lists are empty and not nil, as the JSON form wants them.
func NewEdits() *Edits {
	return &Edits{
		Env: []*Env{}, DeviceNodes: []*DeviceNode{}, Mounts: []*Mount{}, Hooks: []*Hook{},
		NetDevices: []*NetDevice{}, AdditionalGIDs: []*GID{}, IntelRdt: []*IntelRdt{},
	}
}

// Append adds other's edits to e: a node or mount for a path that e has already takes its place, as in the CDI library,
// and so does a network device's name; mounts go by depth, what would be the same twice (a hook, a group, a variable) is
// taken once, and a container has one Intel RDT setting, the last.
func (e *Edits) Append(other *Edits) {
	for _, v := range other.Env {
		name, _, _ := strings.Cut(v.Value, "=")
		e.Env = replace(e.Env, v, func(o *Env) bool { return strings.HasPrefix(o.Value, name+"=") })
	}
	for _, d := range other.DeviceNodes {
		same := func(o *DeviceNode) bool { return path.Clean(o.Path) == path.Clean(d.Path) }
		d.Own = d.Own || slices.ContainsFunc(e.DeviceNodes, func(o *DeviceNode) bool { return o.Own && same(o) })
		e.DeviceNodes = replace(e.DeviceNodes, d, same)
	}
	for _, m := range other.Mounts {
		e.Mounts = replace(e.Mounts, m, func(o *Mount) bool { return path.Clean(o.ContainerPath) == path.Clean(m.ContainerPath) })
	}
	for _, h := range other.Hooks {
		e.Hooks = replace(e.Hooks, h, h.same)
	}
	for _, g := range other.AdditionalGIDs {
		e.AdditionalGIDs = replace(e.AdditionalGIDs, g, func(o *GID) bool { return o.Value == g.Value })
	}
	for _, n := range other.NetDevices {
		e.NetDevices = replace(e.NetDevices, n, func(o *NetDevice) bool { return o.HostInterfaceName == n.HostInterfaceName })
	}
	if len(other.IntelRdt) > 0 {
		e.IntelRdt = other.IntelRdt
	}
	for _, n := range other.Notes {
		e.Notes = replace(e.Notes, n, func(o *fault.Error) bool { return o.What == n.What })
	}
	slices.SortStableFunc(e.Mounts, func(a, b *Mount) int { return cmp.Compare(depth(a), depth(b)) })
}

func depth(m *Mount) int { return strings.Count(path.Clean(m.ContainerPath), "/") }

// replace puts v in the place of the first element that is the same, or at the end.
func replace[T any](list []T, v T, same func(T) bool) []T {
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = v
		return list
	}
	return append(list, v)
}

func (h *Hook) same(o *Hook) bool {
	return h.HookName == o.HookName && h.Path == o.Path && slices.Equal(h.Args, o.Args) && slices.Equal(h.Env, o.Env)
}

// Runs says whether the hook is of a stage that is still to come, or now, at createRuntime.
func (h *Hook) Runs() bool {
	switch h.HookName {
	case cdi.PrestartHook, cdi.CreateRuntimeHook, cdi.CreateContainerHook:
		return true
	}
	return false
}

// fromSpec converts CDI's edits. What a createRuntime hook cannot do is late.
func fromSpec(c *cdispecs.ContainerEdits) *Edits {
	e := NewEdits()
	for _, v := range c.Env {
		e.Env = append(e.Env, &Env{v, Late})
	}
	for _, d := range c.DeviceNodes {
		e.DeviceNodes = append(e.DeviceNodes, &DeviceNode{
			Path: d.Path, HostPath: cmp.Or(d.HostPath, d.Path), Type: d.Type, Major: d.Major, Minor: d.Minor,
			Permissions: d.Permissions, Status: Apply, FileMode: d.FileMode, UID: d.UID, GID: d.GID,
			Chosen: d.FileMode != nil || d.UID != nil || d.GID != nil,
		})
	}
	for _, m := range c.Mounts {
		e.Mounts = append(e.Mounts, &Mount{m.HostPath, m.ContainerPath, nonNil(m.Options), Apply, m.Type})
	}
	for _, h := range c.Hooks {
		hook := &Hook{HookName: h.HookName, Path: h.Path, Args: nonNil(h.Args), Status: Apply, Env: h.Env, Timeout: h.Timeout}
		if !hook.Runs() {
			hook.Status = Late
		}
		e.Hooks = append(e.Hooks, hook)
	}
	for _, n := range c.NetDevices {
		e.NetDevices = append(e.NetDevices, &NetDevice{n.HostInterfaceName, n.Name, Apply})
	}
	for _, g := range c.AdditionalGIDs {
		if g == 0 {
			continue // as in the CDI library: nobody gets root's group by a Spec
		}
		e.AdditionalGIDs = append(e.AdditionalGIDs, &GID{g, Late})
	}
	if c.IntelRdt != nil {
		e.IntelRdt = append(e.IntelRdt, &IntelRdt{c.IntelRdt.ClosID, Late, c.IntelRdt})
	}
	return e
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
