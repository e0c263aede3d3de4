package inject

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
)

// maxAlias bounds the length of a network device's alias; the kernel accepts no longer one.
const maxAlias = 255

// netDevice is a network device that is moved into a container, with what is needed to move it back.
type netDevice struct {
	*devices.NetDevice
	host, container *os.File // network namespaces
	name, alias     string   // on the host; name is "" until the device was looked at
	moved           bool
	arrived         int // its index in the container; 0 until it was seen there
	up              bool
	addresses       []netlink.Addr  // permanent ones, which it keeps in the container
	leased          []netlink.Addr  // other ones, which it has only on the host
	routes          []netlink.Route // through it on the host, those without a gateway first
}

// moveNetDevices moves the devices whose status is Apply into the container's network namespace, under their new names
// and with their permanent addresses, and sets them up. It adds no routes: these are for the container to add. A device
// that was moved there when the container was started before is Present. Every move is in r's journal before it starts.
func (t *Target) moveNetDevices(r *rootfs, list []*devices.NetDevice) error {
	for _, n := range list {
		if n.Status != devices.Apply {
			continue
		}
		n.Status = devices.Failed
		d, err := t.netDevice(n)
		if err != nil {
			return err
		}
		r.taken = append(r.taken, d)
		if n.Status, err = d.move(); err != nil {
			return n.Fault(err)
		}
	}
	return nil
}

// netDevice opens both network namespaces. It is an error if they are the same one: config.json may ask for a namespace
// that the runtime did not make.
func (t *Target) netDevice(n *devices.NetDevice) (*netDevice, error) {
	host, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, n.Fault(err)
	}
	container, err := t.Process.Namespace("net")
	if err != nil {
		_ = host.Close()
		return nil, n.Fault(err)
	}
	d := &netDevice{NetDevice: n, host: host, container: container}
	same, err := sameFile(host, container)
	if err == nil && !same {
		return d, nil
	}
	d.close()
	if err != nil {
		return nil, n.Fault(err)
	}
	return nil, n.Shared()
}

// close closes the namespaces.
func (d *netDevice) close() {
	_ = d.host.Close()
	_ = d.container.Close()
}

// inside runs fn in the container's network namespace.
func (d *netDevice) inside(fn func() error) error { return inNamespaces([]*os.File{d.container}, fn) }

// move moves the device and returns its status, which is Failed on every error. What was changed before an error, undo
// can tell from the fields of d.
func (d *netDevice) move() (devices.Status, error) {
	link, err := d.Find()
	if err != nil {
		return devices.Failed, err
	}
	if link == nil {
		return d.present()
	}
	if err := d.inside(d.checkFree); err != nil {
		return devices.Failed, err
	}
	if err := d.remember(link); err != nil {
		return devices.Failed, err
	}
	if err := d.mark(link); err != nil {
		return devices.Failed, err
	}
	if err := relocate(link.Attrs().Index, d.Name, d.container); err != nil {
		return devices.Failed, fmt.Errorf("move it into the container as %s: %w", d.Name, err)
	}
	d.moved = true
	return devices.Applied, d.inside(func() error {
		moved, err := devices.LinkByName(d.Name)
		if err == nil && (moved == nil || !d.Marked(moved)) {
			err = errors.New("it did not arrive in the container")
		}
		if err != nil {
			return err
		}
		d.arrived = moved.Attrs().Index
		return d.configure(moved, true)
	})
}

// present returns Present if the device, which is not on the host, was moved into the container when that was started
// before. Otherwise it is an error.
func (d *netDevice) present() (devices.Status, error) {
	status := devices.Failed
	err := d.inside(func() error {
		link, err := devices.LinkByName(d.Name)
		if err == nil && link != nil && d.Marked(link) {
			status = devices.Present
		}
		return err
	})
	if err == nil && status == devices.Failed {
		err = d.Lost().Unwrap()
	}
	return status, err
}

// checkFree returns an error if the container has a device of that name.
func (d *netDevice) checkFree() error {
	link, err := devices.LinkByName(d.Name)
	if err == nil && link != nil {
		err = fmt.Errorf("the container has another network device %s", d.Name)
	}
	return err
}

// remember fills d with what the device loses when it is moved.
func (d *netDevice) remember(link netlink.Link) error {
	attrs := link.Attrs()
	addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("read its addresses: %w", err)
	}
	d.name, d.alias, d.up = attrs.Name, attrs.Alias, attrs.Flags&net.FlagUp != 0
	for _, a := range addresses {
		switch {
		case permanent(&a):
			d.addresses = append(d.addresses, portable(&a))
		case !isAutoLinkLocal(&a):
			b := portable(&a)
			b.ValidLft, b.PreferedLft = a.ValidLft, a.PreferedLft
			d.leased = append(d.leased, b)
		}
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("read its routes: %w", err)
	}
	for _, r := range routes {
		if r.Protocol != unix.RTPROT_KERNEL {
			d.routes = append(d.routes, r)
		}
	}
	slices.SortStableFunc(d.routes, func(a, b netlink.Route) int { return len(a.Gw) - len(b.Gw) })
	return nil
}

// isAutoLinkLocal reports whether the kernel adds the address itself when the device is set up.
func isAutoLinkLocal(a *netlink.Addr) bool { return a.IP.To4() == nil && a.IP.IsLinkLocalUnicast() }

// permanent reports whether the address was configured for good: it does not come from a lease or a router
// advertisement, and the kernel does not add it itself.
func permanent(a *netlink.Addr) bool {
	return a.Flags&unix.IFA_F_PERMANENT != 0 && !a.IP.IsLinkLocalUnicast() &&
		a.Scope != unix.RT_SCOPE_LINK && a.Scope != unix.RT_SCOPE_HOST
}

// portable returns a copy of the address without its label and lifetimes, so that it can be added to a device of
// another name.
func portable(a *netlink.Addr) netlink.Addr {
	b := netlink.Addr{
		IPNet: a.IPNet, Peer: a.Peer, Scope: a.Scope, Broadcast: a.Broadcast,
		Flags: a.Flags & (unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE),
	}
	if b.Broadcast == nil && b.IP.To4() != nil {
		// With nil the library would add a broadcast address.
		b.Broadcast = net.IPv4zero
	}
	return b
}

// mark appends to the alias of the device the mark by which we know that it was moved for this container.
func (d *netDevice) mark(link netlink.Link) error {
	if d.Marked(link) {
		return nil
	}
	alias := strings.TrimSpace(d.alias + " " + d.Mark())
	if len(alias) > maxAlias {
		alias = d.Mark()
	}
	if err := netlink.LinkSetAlias(link, alias); err != nil {
		return fmt.Errorf("mark it with the alias %q: %w", alias, err)
	}
	return nil
}

// configure adds the permanent addresses and, with up, sets the device up.
func (d *netDevice) configure(link netlink.Link, up bool) error {
	for i := range d.addresses {
		if err := netlink.AddrReplace(link, &d.addresses[i]); err != nil {
			return fmt.Errorf("give it the address %s: %w", d.addresses[i].IPNet, err)
		}
	}
	if !up {
		return nil
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return nil
}

// undo moves the device back to the host and restores its name, alias, addresses, routes and state. It does nothing if
// the device was not looked at yet. It moves the device that it has seen in the container, by its index, and never
// another one to which a process in that network namespace has given the same mark.
func (d *netDevice) undo() error {
	if d.name == "" {
		return nil
	}
	var err error
	switch {
	case d.moved && d.arrived == 0:
		err = errors.New("it was not found in the container, where it stays until the container's network namespace ends")
	case d.moved:
		err = d.inside(func() error { return relocate(d.arrived, d.name, d.host) })
	}
	if err == nil {
		err = d.restore()
	}
	if err != nil {
		return fmt.Errorf("bring network device %s back: %w", d.name, err)
	}
	return nil
}

// restore gives the device on the host back what it lost. If another device has its name by now, it does nothing.
func (d *netDevice) restore() error {
	link, err := devices.LinkByName(d.name)
	if err != nil || link == nil || !d.Marked(link) {
		return err
	}
	errs := []error{d.configure(link, d.up), netlink.LinkSetAlias(link, d.alias)}
	for i := range d.leased {
		if err := netlink.AddrReplace(link, &d.leased[i]); err != nil {
			errs = append(errs, fmt.Errorf("give it the address %s: %w", d.leased[i].IPNet, err))
		}
	}
	for _, r := range d.routes {
		r.LinkIndex = link.Attrs().Index
		if err := netlink.RouteReplace(&r); err != nil {
			errs = append(errs, fmt.Errorf("give it the route %s: %w", r, err))
		}
	}
	return errors.Join(errs...)
}

// relocate moves a device from the calling thread's network namespace to another and renames it, in one step: the old
// name need not be free there, nor the new one here.
func relocate(index int, name string, namespace *os.File) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index) //nolint:gosec // the kernel's
	request.AddData(message)
	fd := uint32(namespace.Fd()) //nolint:gosec // file descriptors are ints
	request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(fd)))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// giveBack moves all devices back, last first. After an error it goes on with the others.
func (j *journal) giveBack() error {
	var errs []error
	for _, d := range slices.Backward(j.taken) {
		errs = append(errs, d.undo())
	}
	return errors.Join(errs...)
}
