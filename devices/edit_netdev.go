package devices

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// NetDevice is a network device to move into the container.
type NetDevice struct {
	HostInterfaceName string `json:"hostInterfaceName"`
	Name              string `json:"name"`
	Status            Status `json:"status"`
}

func netDeviceList() editList {
	return listOf[NetDevice, *NetDevice]{
		func(e *Edits) *[]*NetDevice { return &e.NetDevices },
		func(c *cdispecs.ContainerEdits) []*NetDevice { return convert(c.NetDevices, netDeviceOf) },
		replace[*NetDevice],
	}
}

func netDeviceOf(n *cdispecs.LinuxNetDevice) *NetDevice {
	return &NetDevice{n.HostInterfaceName, n.Name, Apply}
}

// Label implements [Edit].
func (n *NetDevice) Label() string { return "network device " + n.HostInterfaceName }

// Row implements [Edit].
func (n *NetDevice) Row() (label, detail string) {
	return "network device " + n.HostInterfaceName, "as " + n.Name
}

// State implements [Edit].
func (n *NetDevice) State() *Status { return &n.Status }

// Makes implements [Edit].
func (*NetDevice) Makes() bool { return true }

// Undone implements [Edit].
func (*NetDevice) Undone() bool { return true }

func (*NetDevice) names() (kind string, names []string) { return "", nil }

// key returns the device's name on the host.
func (n *NetDevice) key() string { return n.HostInterfaceName }

// The kernel's bounds, in bytes, of the name of a network device and of its alternative names.
const (
	maxInterface = 15
	maxAltName   = 127
)

// complete checks that the device can be moved. A device that config.json already tells the runtime to move is Present.
// If the container shares the host's network namespace, the move would rename the host's own device, so it is an error.
// A device that is not on this host is an error too, unless the container joins a network namespace that outlives it:
// then the device may still be there, and only carrying out the plan shows it.
func (n *NetDevice) complete(h *host) error {
	container := h.container
	if err := checkInterface(n.HostInterfaceName, maxAltName); err != nil {
		return n.Fault(err).WithHint("correct hostInterfaceName in the CDI Spec")
	}
	if err := checkInterface(n.Name, maxInterface); err != nil {
		return n.Fault(fmt.Errorf("name %q: %w", n.Name, err)).WithHint("correct the name in the CDI Spec")
	}
	outlives := false
	if container.Linux != nil {
		if o, ok := container.Linux.NetDevices[n.HostInterfaceName]; ok && cmp.Or(o.Name, n.HostInterfaceName) == n.Name {
			n.Status = Present
			return nil
		}
		path, own := networkNamespace(container.Linux)
		if !own {
			return n.Shared()
		}
		outlives = path != ""
	}
	link, err := n.Find()
	if err != nil {
		return n.Fault(err)
	}
	if link == nil && !outlives {
		return n.Lost()
	}
	return n.needed(link)
}

// needed returns an error if the host cannot do without the device: it is a port of a bridge, bond or team, or carries
// a default route.
func (n *NetDevice) needed(link netlink.Link) error {
	if link == nil {
		return nil
	}
	const hint = "name a device in the CDI Spec that the host does not use"
	if link.Attrs().MasterIndex != 0 {
		return n.Fault(errors.New("it is a port of a bridge, bond or team on the host")).WithHint(hint)
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		return n.Fault(fmt.Errorf("read its routes: %w", err))
	}
	if slices.ContainsFunc(routes, defaultRoute) {
		return n.Fault(errors.New("the host's default route goes over it")).WithHint(hint)
	}
	return nil
}

func defaultRoute(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

// networkNamespace returns the path of the network namespace that the container joins ("" if it gets a new one), and
// whether that is another than the host's.
func networkNamespace(linux *specs.Linux) (path string, own bool) {
	network := func(ns specs.LinuxNamespace) bool { return ns.Type == specs.NetworkNamespace }
	i := slices.IndexFunc(linux.Namespaces, network)
	if i < 0 {
		return "", false
	}
	path = linux.Namespaces[i].Path
	return path, path == "" || !SameNetwork(path)
}

// SameNetwork reports whether the network namespace at path is that of this process.
func SameNetwork(path string) bool {
	ours, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return false
	}
	its, err := os.Stat(path)
	return err == nil && os.SameFile(ours, its)
}

// Fault returns err as an error about the device.
func (n *NetDevice) Fault(err error) *fault.Error {
	return fault.New(fault.NetDev, "network device "+n.HostInterfaceName, "%w", err).
		WithHint("look at the device with ip link show, on the host and in the container's network namespace")
}

// Shared returns the error for a container in the host's network namespace.
func (n *NetDevice) Shared() *fault.Error {
	const cause = "the container shares the host's network namespace: a move would rename the host's own device"
	return n.Fault(errors.New(cause)).
		WithHint("give the container a network of its own, or do not request the device: " +
			"with the host's network the container has it already")
}

// Lost returns the error for a device that is neither on the host nor in the container.
func (n *NetDevice) Lost() *fault.Error {
	return n.Fault(fmt.Errorf("it is neither on this host nor, as %s, in the container; "+
		"a virtual device (veth, macvlan) is lost with the container that had it", n.Name)).
		WithHint("see whether another container has it, create it again before the container starts, " +
			"or correct hostInterfaceName in the CDI Spec")
}

// Mark returns the word in a moved device's alias by which a later start knows the device. The alias stays with the
// device, which returns to the host when the container ends, under the name that it had in the container.
func (n *NetDevice) Mark() string { return "gpu-hook:" + n.HostInterfaceName }

// Marked reports whether link is this device, moved by an earlier start.
func (n *NetDevice) Marked(link netlink.Link) bool {
	return slices.Contains(strings.Fields(link.Attrs().Alias), n.Mark())
}

// Find returns the device in the calling thread's network namespace, found by the host's name for it or else by its
// mark. It returns nil if the device is not there.
func (n *NetDevice) Find() (netlink.Link, error) {
	link, err := LinkByName(n.HostInterfaceName)
	if link != nil || err != nil {
		return link, err
	}
	return n.FindMarked()
}

// FindMarked is [NetDevice.Find] by the mark alone.
func (n *NetDevice) FindMarked() (netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	if i := slices.IndexFunc(links, n.Marked); i >= 0 {
		return links[i], nil
	}
	return nil, nil //nolint:nilnil // not there
}

// LinkByName returns the device of that name in the calling thread's network namespace, or nil if it is not there.
func LinkByName(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil //nolint:nilnil // not there
	}
	if err != nil {
		return nil, fmt.Errorf("look for network device %q: %w", name, err)
	}
	return link, nil
}

// checkInterface checks a network device's name as the kernel does. most is its bound in bytes.
func checkInterface(name string, most int) error {
	switch {
	case name == "" || name == "." || name == "..":
		return errors.New("invalid network device name")
	case len(name) > most:
		return fmt.Errorf("the name is longer than %d bytes", most)
	case strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || unicode.IsSpace(r) || unicode.IsControl(r)
	}):
		return errors.New("the name has a character that is not allowed in a network device name")
	}
	return nil
}
