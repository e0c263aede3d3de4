package devices

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func ptr[T any](v T) *T { return &v }

// hostTree makes a host's files, device nodes and links, and the root filesystem of a container. It returns their top.
func hostTree(t *testing.T) string {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(os.Chmod(top, 0o755))
	try(os.MkdirAll(top+"/rootfs/lib", 0o755))
	for name, mode := range map[string]uint32{
		"lib": 0o644, "hook": 0o755, "text": 0o644, "rootfs/lib/f": 0o644, "rootfs/hook": 0o755, "rootfs2": 0o644,
	} {
		try(os.WriteFile(filepath.Join(top, name), nil, 0o600))
		try(unix.Chmod(filepath.Join(top, name), mode))
	}
	for link, target := range map[string]string{
		"liblink": "lib", "inlink": "rootfs/lib/f", "nodelink": "null", "loop": "loop", "hostlink": "/",
	} {
		try(os.Symlink(target, filepath.Join(top, link)))
	}
	for name, mode := range map[string]uint32{"null": unix.S_IFCHR, "loop7": unix.S_IFBLK, "fifo": unix.S_IFIFO} {
		numbers := map[string]uint64{"null": unix.Mkdev(1, 3), "loop7": unix.Mkdev(7, 0)}
		try(unix.Mknod(filepath.Join(top, name), mode|0o600, int(numbers[name])))
		try(unix.Chmod(filepath.Join(top, name), 0o640))
	}
	return top
}

// in replaces @ in every path of the edits.
func in(top string, e *Edits) *Edits {
	at := func(s *string) { *s = strings.ReplaceAll(*s, "@", top) }
	for _, d := range e.DeviceNodes {
		at(&d.HostPath)
	}
	for _, m := range e.Mounts {
		at(&m.HostPath)
	}
	for _, h := range e.Hooks {
		at(&h.Path)
	}
	return e
}

func TestCompleteNodes(t *testing.T) {
	require.Root(t)
	host := func(d DeviceNode) DeviceNode {
		d.Path, d.Status = "/dev/x", Apply
		return d
	}
	null := DeviceNode{
		Path: "/dev/x", HostPath: "@/null", Type: "c", Major: 1, Minor: 3, Permissions: "rw", Status: Apply,
		FileMode: ptr[os.FileMode](0o640), UID: ptr[uint32](0), GID: ptr[uint32](0),
	}
	with := func(f func(d *DeviceNode)) DeviceNode {
		d := null
		f(&d)
		return d
	}
	user := &specs.Spec{Process: &specs.Process{User: specs.User{UID: 7, GID: 8}}}
	carries := func(devices ...specs.LinuxDevice) *specs.Spec {
		return &specs.Spec{Linux: &specs.Linux{Devices: devices}}
	}
	for _, test := range []struct {
		name      string
		container *specs.Spec
		in, want  DeviceNode
	}{
		{"all from the host, rw", &specs.Spec{}, host(DeviceNode{HostPath: "@/null"}), null},
		{
			"what the Spec says", user,
			host(DeviceNode{
				HostPath: "@/null", Type: "c", Major: 1, Minor: 3, Permissions: "rwm",
				FileMode: ptr[os.FileMode](0o666), UID: ptr[uint32](1), GID: ptr[uint32](2),
			}),
			with(func(d *DeviceNode) {
				d.Permissions, d.FileMode, d.UID, d.GID = "rwm", ptr[os.FileMode](0o666), ptr[uint32](1), ptr[uint32](2)
			}),
		},
		{
			"owned by the process", user, host(DeviceNode{HostPath: "@/null"}),
			with(func(d *DeviceNode) { d.UID, d.GID = ptr[uint32](7), ptr[uint32](8) }),
		},
		{
			"owned by the Spec's uid, the process's group", user, host(DeviceNode{HostPath: "@/null", UID: ptr[uint32](0)}),
			with(func(d *DeviceNode) { d.GID = ptr[uint32](8) }),
		},
		{
			"no rule", &specs.Spec{}, host(DeviceNode{HostPath: "@/null", Permissions: "none"}),
			with(func(d *DeviceNode) { d.Permissions = "" }),
		},
		{"type u is c", &specs.Spec{}, host(DeviceNode{HostPath: "@/null", Type: "u"}), null},
		{
			"a block device", &specs.Spec{}, host(DeviceNode{HostPath: "@/loop7"}),
			with(func(d *DeviceNode) { d.HostPath, d.Type, d.Major, d.Minor = "@/loop7", "b", 7, 0 }),
		},
		{
			"a FIFO needs no rule", &specs.Spec{}, host(DeviceNode{HostPath: "@/fifo", Permissions: "rw"}),
			with(func(d *DeviceNode) { d.HostPath, d.Type, d.Major, d.Minor, d.Permissions = "@/fifo", "p", 0, 0, "" }),
		},
		{
			"present",
			carries(specs.LinuxDevice{Path: "/dev/y"}, specs.LinuxDevice{Path: "/dev/./x", Type: "c", Major: 1, Minor: 3}),
			host(DeviceNode{HostPath: "@/null"}), with(func(d *DeviceNode) { d.Status = Present }),
		},
		{
			"another major there", carries(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 2, Minor: 3}),
			host(DeviceNode{HostPath: "@/null"}), null,
		},
		{
			"another minor there", carries(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 1, Minor: 4}),
			host(DeviceNode{HostPath: "@/null"}), null,
		},
		{
			"the device elsewhere", carries(specs.LinuxDevice{Path: "/dev/y", Type: "c", Major: 1, Minor: 3}),
			host(DeviceNode{HostPath: "@/null"}), null,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := hostTree(t)
			got := in(top, &Edits{DeviceNodes: []*DeviceNode{&test.in}})
			if _, err := got.Complete(test.container, "", us(), nil); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(in(top, &Edits{DeviceNodes: []*DeviceNode{&test.want}}), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompletePresent(t *testing.T) {
	require.Root(t)
	top := hostTree(t)
	container := &specs.Spec{
		Process: &specs.Process{Env: []string{"A=1", "B=2"}, User: specs.User{GID: 41, AdditionalGids: []uint32{39}}},
		Mounts: []specs.Mount{
			{Source: top + "/./lib", Destination: "/usr/lib/"}, {Source: top + "/text", Destination: "/text"},
		},
		Hooks: &specs.Hooks{
			//nolint:staticcheck // engines still write it
			Prestart:        []specs.Hook{{Path: top + "/hook", Args: []string{"hook", "1"}}},
			CreateRuntime:   []specs.Hook{{Path: top + "/hook", Args: []string{"hook", "2"}}},
			CreateContainer: []specs.Hook{{Path: top + "/hook", Args: []string{"hook", "3"}}},
			StartContainer:  []specs.Hook{{Path: top + "/hook", Args: []string{"hook", "4"}}},
			Poststop:        []specs.Hook{{Path: top + "/hook", Args: []string{"hook", "6"}}},
		},
		Linux: &specs.Linux{IntelRdt: &specs.LinuxIntelRdt{ClosID: "gold"}},
	}
	hooked := func(n string, status Status) *Hook {
		return &Hook{HookName: "createContainer", Path: "@/hook", Args: []string{"hook", n}, Status: status}
	}
	later := func(n string, status Status) *Hook {
		h := hooked(n, status)
		h.HookName = "poststop"
		return h
	}
	edits := func(env, lib, gid, hook, late Status) *Edits {
		return in(top, &Edits{
			Env: []*Env{{"A=1", env}, {"B=1", Late}, {"A=", Late}},
			Mounts: []*Mount{
				{"@/lib", "/usr/lib", nil, lib, "", ""},
				{"@/text", "/usr/lib", nil, Apply, "", ""},
				{"@/lib", "/lib", nil, Apply, "bind", ""},
			},
			Hooks: []*Hook{
				hooked("1", hook), hooked("2", hook), hooked("3", hook), hooked("4", Apply), hooked("5", Apply), later("1", Late),
				later("4", Late), later("6", late),
			},
			AdditionalGIDs: []*GID{{39, gid}, {40, Late}, {41, gid}},
			IntelRdt:       []*IntelRdt{{"gold", late, nil}, {"silver", Late, nil}, {"", Late, nil}},
		})
	}
	got := edits(Late, Apply, Late, Apply, Late)
	if _, err := got.Complete(container, "", us(), nil); err != nil {
		t.Fatal(err)
	}
	source := cmpopts.IgnoreFields(Mount{}, "Source")
	if diff := cmp.Diff(edits(Present, Present, Present, Present, Present), got, source); diff != "" {
		t.Error(diff)
	}
	got = edits(Late, Apply, Late, Apply, Late)
	if _, err := got.Complete(&specs.Spec{}, "", us(), nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(edits(Late, Apply, Late, Apply, Late), got, source); diff != "" {
		t.Errorf("with a config.json that holds nothing: %s", diff)
	}
}

func TestCompleteRefuses(t *testing.T) {
	require.Root(t)
	nodes := func(d DeviceNode) *Edits {
		if d.Path == "" {
			d.Path = "/dev/x"
		}
		return &Edits{DeviceNodes: []*DeviceNode{&d}}
	}
	mounts := func(host, container string, options ...string) *Edits {
		return &Edits{Mounts: []*Mount{{host, container, options, Apply, "", ""}}}
	}
	hooks := func(path string) *Edits {
		return &Edits{Hooks: []*Hook{{HookName: "prestart", Path: path, Status: Apply}}}
	}
	for _, test := range []struct {
		name  string
		edits *Edits
		code  fault.Code
		err   string
	}{
		{
			"node: missing", nodes(DeviceNode{HostPath: "@/none"}), fault.Node, "@/none: missing on this host",
		},
		{"node: below a file", nodes(DeviceNode{HostPath: "@/lib/x"}), fault.Node, "@/lib/x: not a directory"},
		{
			"node: relative on the host", nodes(DeviceNode{HostPath: "dev/null"}), fault.Node,
			"device node dev/null: the path is not absolute",
		},
		{
			"node: relative", nodes(DeviceNode{Path: "dev/x", HostPath: "@/null"}), fault.Node,
			"device node dev/x: the path is not absolute",
		},
		{
			"node: root", nodes(DeviceNode{Path: "/dev/..", HostPath: "@/null"}), fault.Node,
			"device node /dev/..: the path is the container's root",
		},
		{
			"node: dots", nodes(DeviceNode{Path: "/dev/../etc/x", HostPath: "@/null"}), fault.Node,
			`device node /dev/../etc/x: the path has a ".." in it`,
		},
		{
			"node: a file", nodes(DeviceNode{HostPath: "@/lib"}), fault.Node,
			"@/lib: on this host it is a regular file, the Spec wants a device node",
		},
		{
			"node: a directory", nodes(DeviceNode{HostPath: "@/rootfs", Type: "c"}), fault.Node,
			"@/rootfs: on this host it is a directory, the Spec wants a character device",
		},
		{
			"node: a link", nodes(DeviceNode{HostPath: "@/nodelink"}), fault.Node,
			"@/nodelink: on this host it is a symbolic link, the Spec wants a device node",
		},
		{
			"node: another type", nodes(DeviceNode{HostPath: "@/null", Type: "b"}), fault.Node,
			"@/null: on this host it is a character device, the Spec wants a block device",
		},
		{
			"node: a FIFO wanted", nodes(DeviceNode{HostPath: "@/loop7", Type: "p"}), fault.Node,
			"@/loop7: on this host it is a block device, the Spec wants a FIFO",
		},
		{
			"node: another major", nodes(DeviceNode{HostPath: "@/null", Major: 5, Minor: 3}), fault.Major,
			"@/null: the Spec has it as 5:3, on this host it is 1:3",
		},
		{
			"node: another minor", nodes(DeviceNode{HostPath: "@/null", Major: 1}), fault.Major,
			"@/null: the Spec has it as 1:0, on this host it is 1:3",
		},
		{"mount: missing", mounts("@/none", "/x"), fault.Mount, "mount of @/none: it is missing on this host"},
		{
			"mount: a loop", mounts("@/loop", "/x"), fault.Mount,
			"mount of @/loop: open @/loop: too many levels of symbolic links",
		},
		{
			"mount: relative on the host", mounts("lib", "/x"), fault.Mount,
			"mount of lib: the path must be that of a file or directory below /",
		},
		{
			"mount: the host's root", mounts("//.", "/x"), fault.Mount,
			"mount of //.: the path must be that of a file or directory below /",
		},
		{"mount: relative", mounts("@/lib", "x"), fault.Mount, "mount on x: the path is not absolute"},
		{"mount: root", mounts("@/lib", "//"), fault.Mount, "mount on //: the path is the container's root"},
		{"mount: dots", mounts("@/lib", "/x/../y"), fault.Mount, `mount on /x/../y: the path has a ".." in it`},
		{
			"mount: shared", mounts("@/lib", "/x", "rshared"), fault.Mount,
			`mount of @/lib: mount option "rshared" would propagate mounts of the container to the host`,
		},
		{
			"mount: an overlay", &Edits{Mounts: []*Mount{{"@/lib", "/x", []string{"bind"}, Apply, "overlay", ""}}}, fault.Mount,
			`mount of @/lib: mounts of type "overlay" are not supported, only bind mounts and tmpfs`,
		},
		{
			"mount: a tmpfs's option", &Edits{Mounts: []*Mount{{"tmpfs", "/x", []string{"colour=red"}, Apply, "tmpfs", ""}}},
			fault.Mount, `mount of tmpfs: mount option "colour=red" is not supported`,
		},
		{
			"mount: a tmpfs that is a bind mount",
			&Edits{Mounts: []*Mount{{"tmpfs", "/x", []string{"bind"}, Apply, "tmpfs", ""}}}, fault.Mount,
			"mount of tmpfs: the path must be that of a file or directory below /",
		},
		{
			"mount: from the container", mounts("@/rootfs/lib/f", "/x"), fault.Mount,
			"mount of @/rootfs/lib/f: it is in the container's own root filesystem",
		},
		{
			"mount: a link to the host's root", mounts("@/hostlink", "/x"), fault.Mount,
			"mount of @/hostlink: it is a link to the host's root",
		},
		{
			"mount: the container's root", mounts("@/rootfs", "/x"), fault.Mount,
			"mount of @/rootfs: it is in the container's own root filesystem",
		},
		{
			"mount: a link into the container", mounts("@/inlink", "/x"), fault.Mount,
			"mount of @/inlink: it is in the container's own root filesystem",
		},
		{
			"hook: missing", hooks("@/none"), fault.Hook,
			"prestart hook of the CDI Spec: @/none: it is not installed",
		},
		{
			"hook: not executable", hooks("@/text"), fault.Hook,
			"prestart hook of the CDI Spec: @/text: not trusted: it is not executable",
		},
		{
			"hook: of the container", hooks("@/rootfs/hook"), fault.Hook,
			"prestart hook of the CDI Spec: @/rootfs/hook: it is in the container's own root filesystem",
		},
		{
			"hook: relative", hooks("hook"), fault.Hook,
			`prestart hook of the CDI Spec: "hook": not trusted: the path is not absolute and clean`,
		},
		{
			"a network device", &Edits{NetDevices: []*NetDevice{{"eth1", "a", Apply}}}, fault.NetDev,
			"network device eth1: it is neither on this host nor, as a, in the container; a virtual device (veth, macvlan) is " +
				"lost with the container that had it",
		},
		{
			"a network device's name", &Edits{NetDevices: []*NetDevice{{"../x", "a", Apply}}}, fault.NetDev,
			"network device ../x: the name has a character that is not allowed in a network device name",
		},
		{
			"a network device's name in the container", &Edits{NetDevices: []*NetDevice{{"eth1", "sixteen-letters.", Apply}}},
			fault.NetDev, `network device eth1: name "sixteen-letters.": the name is longer than 15 bytes`,
		},
		{
			"the second of two", &Edits{Mounts: []*Mount{mount("@/lib", "/x"), mount("@/none", "/y")}}, fault.Mount,
			"mount of @/none: it is missing on this host",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := hostTree(t)
			_, err := in(top, test.edits).Complete(&specs.Spec{}, top+"/rootfs", trust.Root(), nil)
			want := strings.ReplaceAll(test.err, "@", top)
			if !fault.Is(err, test.code) || err.Error() != want || fault.From(err).Hint() == "" {
				t.Errorf("got %v\nwant %s %s", err, test.code, want)
			}
		})
	}
}

// These cases are similar to those that are refused, and are allowed.
func TestCompleteAccepts(t *testing.T) {
	require.Root(t)
	top := hostTree(t)
	edits := in(top, &Edits{
		Mounts: []*Mount{
			{"@/liblink", "/a", []string{"ro", "rbind"}, Apply, "none", ""},
			{"@/rootfs2", "/..b", []string{}, Apply, "", ""},
			{"tmpfs", "/t", []string{"size=1m"}, Apply, "tmpfs", ""},
		},
		Hooks: []*Hook{{HookName: "poststop", Path: "@/none", Status: Late}},
	})
	if _, err := edits.Complete(&specs.Spec{}, top+"/rootfs", trust.Root(), nil); err != nil {
		t.Error(err)
	}
	if slices.ContainsFunc(edits.Mounts, func(m *Mount) bool { return m.Status != Apply }) {
		t.Errorf("mounts %+v", edits.Mounts)
	}
}
