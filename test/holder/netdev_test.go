package holder

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/require"
)

const netSpec = `
cdiVersion: "1.1.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    netDevices: [{hostInterfaceName: rdma7, name: eth0}]
`

// network puts the test into a network namespace of its own, which stands for the host's. It has the device rdma7 with
// addresses and an alias; the device's peer stands for the outside world.
func network(t *testing.T) {
	t.Helper()
	require.Root(t)
	require.Program(t, "ip")
	require.Program(t, "nsenter")
	require.GPUHook(t)
	// The thread ends with the test, and the namespace with the thread.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	makeDevice(t)
}

func makeDevice(t *testing.T) {
	t.Helper()
	ip(t, "link add rdma7 type veth peer name world")
	ip(t, "link set world up")
	ip(t, "link set rdma7 alias port-7")
	ip(t, "address add 192.0.2.7/24 dev rdma7")
	ip(t, "address add 192.0.2.8/24 dev rdma7")
	ip(t, "address add 198.51.100.1 peer 198.51.100.2/32 dev rdma7")
	ip(t, "address add 2001:db8::7/64 dev rdma7 nodad")
	ip(t, "address add 203.0.113.9/24 dev rdma7 valid_lft 3000 preferred_lft 3000")
	ip(t, "address add 169.254.3.3/16 dev rdma7 scope link")
	ip(t, "link set rdma7 up")
}

// ip runs ip(8), on the host or, with a pid, in that process's network namespace.
func ip(t *testing.T, args string, pid ...int) string {
	t.Helper()
	argv := append([]string{"ip"}, strings.Fields(args)...)
	if len(pid) > 0 {
		argv = append([]string{"nsenter", "-t", fmt.Sprint(pid[0]), "-n"}, argv...)
	}
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// addresses returns a device's state and its permanent addresses.
func addresses(t *testing.T, device string, pid ...int) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(ip(t, "-o address show dev "+device, pid...)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && !strings.HasPrefix(fields[3], "fe80") && !strings.Contains(line, "scope link") &&
			strings.Contains(line, "forever") {
			address := fields[3]
			if fields[4] == "peer" {
				address += "-" + fields[5]
			}
			out = append(out, address)
		}
	}
	if strings.Contains(ip(t, "-o link show dev "+device, pid...), ",UP") {
		out = append(out, "up")
	}
	return strings.Join(out, " ")
}

// whole returns everything that a device has on the host, except what the kernel makes by itself.
func whole(t *testing.T, device string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(ip(t, "-o address show dev "+device)) {
		if fields := strings.Fields(line); !strings.HasPrefix(fields[3], "fe80") {
			out = append(out, fields[3], fmt.Sprint(strings.Contains(line, "forever")))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ") + "\n" + ip(t, "route show dev "+device) +
		ip(t, "-6 route show 2001:db8:9::/48 dev "+device)
}

const kept = "192.0.2.7/24 198.51.100.1-198.51.100.2/32 192.0.2.8/24 2001:db8::7/64 up"

func (c *container) ownNetwork() *container {
	c.clone |= unix.CLONE_NEWNET
	return c
}

// The host's device is in the container under its new name, with its permanent addresses and up, and no longer on the
// host. A second start in the same network namespace uses it as it is.
func TestNetDevice(t *testing.T) {
	network(t)
	c := newBundle(t, annotated("device=0")).ownNetwork()
	c.spec(netSpec)
	c.start()
	r := c.run()
	r.applied(t)
	if got := addresses(t, "eth0", c.pid); got != kept {
		t.Errorf("in the container: %s", got)
	}
	all := ip(t, "-o address show dev eth0", c.pid)
	if strings.Contains(all, "203.0.113.9") || strings.Contains(all, "169.254") {
		t.Errorf("addresses that are not permanent: %s", all)
	}
	if host := ip(t, "-o link show"); strings.Contains(host, "rdma7") || strings.Contains(host, "eth0") {
		t.Errorf("on the host: %s", host)
	}
	if n := r.report.Edits.NetDevices[0]; n.Status != devices.Applied {
		t.Errorf("record: %+v", n)
	}
	c.joins(fmt.Sprintf("/proc/%d/ns/net", c.pid))
	r = c.run()
	r.applied(t)
	if n := r.report.Edits.NetDevices[0]; n.Status != devices.Present || addresses(t, "eth0", c.pid) != kept {
		t.Errorf("the second time: %+v", n)
	}
}

// joins makes config.json name a network namespace that the container joins.
func (c *container) joins(path string) {
	c.t.Helper()
	file := filepath.Join(c.bundle, "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		c.t.Fatal(err)
	}
	networkNamespace(path)(config)
	if data, err = json.Marshal(config); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.before = c.snapshot()
}

// networkNamespace edits config.json: the container joins the namespace at path or, if that is "", keeps the host's.
func networkNamespace(path string) func(config map[string]any) {
	return func(config map[string]any) {
		linux := config["linux"].(map[string]any)
		list := slices.DeleteFunc(linux["namespaces"].([]any),
			func(ns any) bool { return ns.(map[string]any)["type"] == "network" })
		if path != "" {
			list = append(list, map[string]any{"type": "network", "path": path})
		}
		linux["namespaces"] = list
	}
}

// A device that has come back to the host under its name in a container is recognized by its alias.
func TestNetDeviceThatCameBack(t *testing.T) {
	network(t)
	ip(t, "link set rdma7 down")
	ip(t, "link set rdma7 name eth0")
	ip(t, "link set eth0 alias gpu-hook:rdma7")
	c := newBundle(t, annotated("device=0")).ownNetwork()
	c.spec(netSpec)
	c.start().run().applied(t)
	if got := addresses(t, "eth0", c.pid); !strings.HasSuffix(got, "up") {
		t.Errorf("in the container: %s", got)
	}
}

// A virtual device is destroyed with the container that had it. The next start says so.
func TestLostNetDevice(t *testing.T) {
	network(t)
	c := newBundle(t, annotated("driver=nvidia.cdi,device=0")).ownNetwork()
	c.spec(netSpec)
	c.start().run().applied(t)
	ip(t, "link delete eth0", c.pid)
	second := newBundle(t, annotated("driver=nvidia.cdi,device=0")).ownNetwork()
	second.spec(netSpec)
	second.start().run().refused(t, "E-NETDEV", "rdma7", "virtual device", "lost with the container")
	second.unchanged()
	// If the namespace outlives its containers, this is found only inside it.
	c.joins(fmt.Sprintf("/proc/%d/ns/net", c.pid))
	c.run().refused(t, "E-NETDEV", "rdma7", "lost with the container")
	c.unchanged()
}

// If a hook fails after the device was moved, the device comes back as it was.
func TestNetDeviceComesBackOnError(t *testing.T) {
	for _, state := range []string{"up", "down"} {
		t.Run(state, func(t *testing.T) {
			network(t)
			ip(t, "link set rdma7 "+state)
			c := newBundle(t, annotated("device=0")).ownNetwork()
			c.spec(netSpec + "    hooks: [{hookName: createRuntime, path: HOST/bin/hook}]\n")
			script := "#!/bin/sh\nip -o link show >" + c.host.Path("run/seen") + "\nexit 3\n"
			if err := c.host.Write("bin/hook", script, 0o755); err != nil {
				t.Fatal(err)
			}
			if state == "up" {
				ip(t, "route add 10.9.0.0/16 via 192.0.2.1 dev rdma7")
				ip(t, "route add 10.8.0.0/16 dev rdma7 metric 7")
				ip(t, "route add 2001:db8:9::/48 via 2001:db8::1 dev rdma7")
			}
			before, all := addresses(t, "rdma7"), whole(t, "rdma7")
			c.start()
			r := c.run()
			r.refused(t, "E-HOOK", "exit status 3")
			c.unchanged()
			if seen, err := os.ReadFile(c.host.Path("run/seen")); err != nil || strings.Contains(string(seen), "rdma7") {
				t.Errorf("it was not moved before the hook ran: %s, %v", seen, err)
			}
			if got := addresses(t, "rdma7"); got != before {
				t.Errorf("on the host: %q, and before %q", got, before)
			}
			if got := whole(t, "rdma7"); got != all {
				t.Errorf("on the host:\n%s\nand before:\n%s", got, all)
			}
			if link := ip(t, "-o link show dev rdma7"); !strings.HasSuffix(strings.TrimSpace(link), "alias port-7") {
				t.Errorf("alias: %s", link)
			}
			if inside := ip(t, "-o link show", c.pid); strings.Contains(inside, "eth0") {
				t.Errorf("in the container: %s", inside)
			}
			if n := r.report.Edits.NetDevices[0]; n.Status != devices.Apply {
				t.Errorf("record: %+v", n)
			}
		})
	}
}

// If the second of two devices cannot be moved, the first comes back.
func TestSecondNetDeviceFails(t *testing.T) {
	network(t)
	c := newBundle(t, annotated("device=0")).ownNetwork()
	c.spec(strings.Replace(netSpec, "}]", "}, {hostInterfaceName: world, name: taken}]", 1))
	c.start()
	ip(t, "link add taken type veth peer name other", c.pid)
	before := addresses(t, "rdma7")
	c.run().refused(t, "E-NETDEV", "world", "another network device taken")
	c.unchanged()
	if got := addresses(t, "rdma7"); got != before {
		t.Errorf("on the host: %q, and before %q", got, before)
	}
}

// If the container's namespace does not accept an address, the start fails and the host gets its device back.
func TestNetDeviceWhoseAddressIsRefused(t *testing.T) {
	network(t)
	c := newBundle(t, annotated("device=0")).ownNetwork()
	c.spec(netSpec)
	c.start()
	command := "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"
	inside := exec.Command("nsenter", "-t", fmt.Sprint(c.pid), "-n", "sh", "-c", command)
	if out, err := inside.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	c.run().refused(t, "E-NETDEV", "rdma7", "2001:db8::7/64")
	c.unchanged()
	if got := addresses(t, "rdma7"); got != kept {
		t.Errorf("on the host: %s", got)
	}
}

// A device that config.json makes the runtime move is left to the runtime.
func TestNetDeviceThatTheRuntimeMoves(t *testing.T) {
	network(t)
	c := newBundle(t, annotated("device=0"), edited(func(config map[string]any) {
		config["linux"].(map[string]any)["netDevices"] = map[string]any{"rdma7": map[string]any{"name": "eth0"}}
	})).ownNetwork()
	c.spec(netSpec)
	r := c.start().run()
	r.applied(t)
	if n := r.report.Edits.NetDevices[0]; n.Status != devices.Present {
		t.Errorf("record: %+v", n)
	}
	if got := addresses(t, "rdma7"); got != kept {
		t.Errorf("on the host: %s", got)
	}
}

// With the host's network namespace a rename would hit the host. It is refused whether or not config.json tells which
// namespace it is.
func TestSharedHostNetwork(t *testing.T) {
	for _, test := range []struct {
		name   string
		result string
		edit   func() func(config map[string]any)
	}{
		{"none in config.json", "refused", func() func(map[string]any) { return networkNamespace("") }},
		{"the host's by path", "refused", func() func(map[string]any) {
			return networkNamespace(fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid()))
		}},
		{"config.json does not tell", "failed", func() func(map[string]any) { return func(map[string]any) {} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			network(t)
			c := newBundle(t, annotated("driver=nvidia.cdi,device=0"), edited(test.edit()))
			c.spec(strings.Replace(netSpec, "netDevices:",
				"deviceNodes: [{path: /made/node, hostPath: HOST/dev/nvidia0}]\n    netDevices:", 1))
			before := addresses(t, "rdma7")
			r := c.start().run()
			r.refused(t, "E-NETDEV", "rdma7", "shares the host's network namespace")
			c.unchanged()
			if r.report.Result != test.result {
				t.Errorf("result %q", r.report.Result)
			}
			if got := addresses(t, "rdma7"); got != before {
				t.Errorf("on the host: %q, and before %q", got, before)
			}
		})
	}
}

// Another process in the container's network namespace has marked a device of its own. That device does not come back
// to the host.
func TestNetDeviceWithADecoy(t *testing.T) {
	network(t)
	c := newBundle(t, annotated("device=0")).ownNetwork()
	c.spec(netSpec + "    hooks: [{hookName: createRuntime, path: /bin/false}]\n")
	before := addresses(t, "rdma7")
	c.start()
	ip(t, "link add evil type veth peer name evilpeer", c.pid)
	ip(t, "link set evil alias gpu-hook:rdma7", c.pid)
	c.run().refused(t, "E-HOOK")
	if got := addresses(t, "rdma7"); got != before {
		t.Errorf("on the host: %q, and before %q", got, before)
	}
	if inside := ip(t, "-o link show", c.pid); !strings.Contains(inside, "evil") || strings.Contains(inside, "eth0") {
		t.Errorf("in the container: %s", inside)
	}
}

// A device that the host itself needs is not moved.
func TestNetDeviceThatTheHostNeeds(t *testing.T) {
	for want, change := range map[string]string{
		"default route": "route add default via 192.0.2.1 dev rdma7",
		"bridge":        "link set rdma7 master br7",
	} {
		t.Run(want, func(t *testing.T) {
			network(t)
			ip(t, "link add br7 type bridge")
			ip(t, change)
			before := addresses(t, "rdma7")
			c := newBundle(t, annotated("driver=nvidia.cdi,device=0")).ownNetwork()
			c.spec(netSpec)
			c.start().run().refused(t, "E-NETDEV", "rdma7", want)
			c.unchanged()
			if got := addresses(t, "rdma7"); got != before {
				t.Errorf("on the host: %q, and before %q", got, before)
			}
		})
	}
}
