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
	return newEditList(
		func(e *Edits) *[]*NetDevice { return &e.NetDevices },
		func(c *cdispecs.ContainerEdits) []*NetDevice { return convert(c.NetDevices, netDeviceOf) },
	)
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

func (n *NetDevice) addTo(e *Edits) {
	e.NetDevices = replace(e.NetDevices, n, func(o *NetDevice) bool { return o.HostInterfaceName == n.HostInterfaceName })
}

// The kernel's bounds of names: of a network device, and of another name that it may have.
const (
	maxInterface = 15
	maxAltName   = 127
)

// complete checks that the device can be moved. What config.json has the runtime move already is Present. A container in
// the host's own network namespace would have the host's device renamed under everybody's feet, and is refused. A device
// that is not on this host may still be in a network namespace that outlives its containers; carrying the plan out tells.
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

// needed is the error for a device that the host itself cannot do without, be it for the time of one container.
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

// networkNamespace returns the path of the container's network namespace, if it joins one, and whether it has one at all
// that is not the host's.
func networkNamespace(linux *specs.Linux) (path string, own bool) {
	i := slices.IndexFunc(linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.NetworkNamespace })
	if i < 0 {
		return "", false
	}
	path = linux.Namespaces[i].Path
	return path, path == "" || !SameNetwork(path)
}

// SameNetwork reports whether the network namespace at path is our own.
func SameNetwork(path string) bool {
	ours, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return false
	}
	its, err := os.Stat(path)
	return err == nil && os.SameFile(ours, its)
}

// Fault is err as an error about the device.
func (n *NetDevice) Fault(err error) *fault.Error {
	return fault.New(fault.NetDev, "network device "+n.HostInterfaceName, "%w", err).
		WithHint("look at the device with ip link show, on the host and in the container's network namespace")
}

// Shared is the error for a container in the host's network namespace.
func (n *NetDevice) Shared() *fault.Error {
	return n.Fault(errors.New("the container shares the host's network namespace: a move would rename the host's own device")).
		WithHint("give the container a network of its own, or do not ask for the device: with the host's network it has it")
}

// Lost is the error for a device that is nowhere.
func (n *NetDevice) Lost() *fault.Error {
	return n.Fault(fmt.Errorf("it is neither on this host nor, as %s, in the container; a virtual device (veth, macvlan) is lost with the container that had it", n.Name)).
		WithHint("see whether another container has it, make it again before the container starts, or correct hostInterfaceName in the CDI Spec")
}

// Mark is the word in the alias of a device that was moved by which it is known again: it stays with the device, which
// after the end of its container comes back to the host with the name that it had there.
func (n *NetDevice) Mark() string { return "gpu-hook:" + n.HostInterfaceName }

// Marked reports whether link is this device, moved before.
func (n *NetDevice) Marked(link netlink.Link) bool {
	return slices.Contains(strings.Fields(link.Attrs().Alias), n.Mark())
}

// Find finds the device in the calling thread's network namespace, by the host's name for it or by its mark; nil if it is
// not there.
func (n *NetDevice) Find() (netlink.Link, error) {
	link, err := LinkByName(n.HostInterfaceName)
	if link != nil || err != nil {
		return link, err
	}
	return n.FindMarked()
}

// FindMarked finds the device by its mark alone.
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

// LinkByName finds a device in the calling thread's network namespace; nil if it is not there.
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

func checkInterface(name string, most int) error {
	switch {
	case name == "" || name == "." || name == "..":
		return errors.New("it is no name of a network device")
	case len(name) > most:
		return fmt.Errorf("the name is longer than %d bytes", most)
	case strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || unicode.IsSpace(r) || unicode.IsControl(r)
	}):
		return errors.New("the name has a character in it that no network device's may have")
	}
	return nil
}
