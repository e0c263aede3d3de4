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

// maxAlias is the kernel's bound of a network device's alias.
const maxAlias = 255

// netDevice is a network device that was taken from the host, with what it takes to put it back.
type netDevice struct {
	*devices.NetDevice
	host, container *os.File // network namespaces
	name, alias     string   // on the host
	moved           bool
	arrived         int // its index in the container, once it was seen there
	up              bool
	addresses       []netlink.Addr  // given to keep: they go with it
	leased          []netlink.Addr  // the other ones, for the host again
	routes          []netlink.Route // over it on the host, those without a gateway first
}

// moveNetDevices moves the devices whose status is Apply into the container's network namespace, under their new names,
// with the addresses that they were given to keep, and sets them up. Routes are the container's own affair. A device that
// an earlier start has moved there is Present. Everything is in r's journal before it is done.
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

// netDevice opens both network namespaces, which must be two: config.json may say so and not be what the runtime did.
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

func (d *netDevice) close() {
	_ = d.host.Close()
	_ = d.container.Close()
}

// inside runs fn in the container's network namespace, on a thread that ends with it.
func (d *netDevice) inside(fn func() error) error { return inNamespaces([]*os.File{d.container}, fn) }

// move sets status Failed on every error. What it has changed by then undo finds out.
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
		return d.furnish(moved, true)
	})
}

// present reports whether the device, which is not on the host, is in the container since an earlier start.
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

func (d *netDevice) checkFree() error {
	link, err := devices.LinkByName(d.Name)
	if err == nil && link != nil {
		err = fmt.Errorf("the container has another network device %s", d.Name)
	}
	return err
}

// remember notes what the move takes from the device.
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
			d.addresses = append(d.addresses, again(&a))
		case !kernels(&a):
			b := again(&a)
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

// kernels reports whether the kernel makes the address itself when the device is set up.
func kernels(a *netlink.Addr) bool { return a.IP.To4() == nil && a.IP.IsLinkLocalUnicast() }

// permanent reports whether somebody gave the device this address to keep: not one of a lease or router, nor one that the
// kernel makes itself.
func permanent(a *netlink.Addr) bool {
	return a.Flags&unix.IFA_F_PERMANENT != 0 && !a.IP.IsLinkLocalUnicast() &&
		a.Scope != unix.RT_SCOPE_LINK && a.Scope != unix.RT_SCOPE_HOST
}

// again is the address as it is added to a device of another name.
func again(a *netlink.Addr) netlink.Addr {
	b := netlink.Addr{IPNet: a.IPNet, Peer: a.Peer, Scope: a.Scope, Broadcast: a.Broadcast, Flags: a.Flags & (unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE)}
	if b.Broadcast == nil && b.IP.To4() != nil {
		// Otherwise the library makes one up.
		b.Broadcast = net.IPv4zero
	}
	return b
}

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

// furnish gives the device its addresses and sets it up or leaves it down.
func (d *netDevice) furnish(link netlink.Link, up bool) error {
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

// undo brings the device back to the host, where it has its name, alias, addresses, routes and state again. One that was not
// moved is not touched, nor is another that somebody who shares the network namespace has given its mark.
func (d *netDevice) undo() error {
	if d.name == "" {
		return nil
	}
	var err error
	switch {
	case d.moved && d.arrived == 0:
		err = errors.New("it was not seen in the container; there it is until the container's network namespace ends")
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

func (d *netDevice) restore() error {
	link, err := devices.LinkByName(d.name)
	if err != nil || link == nil || !d.Marked(link) {
		return err
	}
	errs := []error{d.furnish(link, d.up), netlink.LinkSetAlias(link, d.alias)}
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

// relocate moves a device of the calling thread's network namespace into another, under the name that it is to have
// there: in one step, so that neither name has to be free on both sides.
func relocate(index int, name string, namespace *os.File) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index) //nolint:gosec // the kernel's
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(namespace.Fd())))) //nolint:gosec // file descriptors are ints
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// giveBack brings all devices back, last first. Every one is tried.
func (j *journal) giveBack() error {
	var errs []error
	for _, d := range slices.Backward(j.taken) {
		errs = append(errs, d.undo())
	}
	return errors.Join(errs...)
}
