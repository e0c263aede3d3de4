package inject

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// What stands in the way of a mount or a node is found out from outside, and nothing is changed by it.
func TestForesee(t *testing.T) {
	null := func(path string) *devices.DeviceNode {
		return &devices.DeviceNode{Path: path, HostPath: "/dev/null", Type: "c", Major: 1, Minor: 3, Status: devices.Apply}
	}
	file := func(path string) *devices.Mount {
		return &devices.Mount{HostPath: "/etc/passwd", ContainerPath: path, Status: devices.Apply}
	}
	dir := func(path string) *devices.Mount {
		return &devices.Mount{HostPath: "/etc", ContainerPath: path, Status: devices.Apply}
	}
	const where = "the container's /dev must be"
	for _, test := range []struct {
		name   string
		tree   string // entries of the root filesystem and, below @, of a volume: "dir/", "file" or "link>target"
		mounts []specs.Mount
		edit   devices.Edit
		want   string
	}{
		{"nothing is there", "", nil, file("/usr/lib/a/b.so"), ""},
		{"a file is there", "usr/lib/b.so", nil, file("/usr/lib/b.so"), ""},
		{"a directory is there", "usr/lib/b.so/", nil, file("/usr/lib/b.so"), "cannot mount a directory on a file"},
		{"a file in a directory's place", "usr/share/x", nil, dir("/usr/share/x"), "cannot mount a directory on a file"},
		{"a tmpfs", "", nil, &devices.Mount{ContainerPath: "/x/y", Type: "tmpfs", Status: devices.Apply}, ""},
		{"a file on the way", "usr/lib", nil, file("/usr/lib/b.so"), "not a directory"},
		{"a link on the way", "usr/lib/ lib>usr/lib", nil, file("/lib/b.so"), ""},
		{"an absolute link", "usr/lib/ lib>/usr/lib", nil, file("/lib/b.so"), ""},
		{"a link above the root", "usr/lib/ lib>../../../usr/lib", nil, file("/lib/x/b.so"), ""},
		{"a link through a link", "a/c/ b>a/c l>b/../d a/d", nil, file("/l"), ""},
		{"a dangling link on the way", "lib>usr/lib", nil, file("/lib/x/b.so"), `"/lib" is a link that leads nowhere`},
		{
			"a dangling link at the end", "usr/lib/b.so>nowhere", nil, file("/usr/lib/b.so"),
			`"/usr/lib/b.so" is a link that leads nowhere`,
		},
		{"links in a circle", "a>b b>a", nil, file("/a/x"), "too many levels"},
		{
			"a volume", "usr/lib/",
			[]specs.Mount{{Destination: "/usr/lib", Type: "bind", Source: "@"}},
			file("/usr/lib/b.so"), `"/usr/lib/b.so" would have to be made on a volume`,
		},
		{
			"a volume that has it", "@b.so",
			[]specs.Mount{{Destination: "/usr/lib/", Type: "bind", Source: "@"}},
			file("/usr/lib/b.so"), "",
		},
		{
			"a link to a volume", "lib>data/lib @lib/",
			[]specs.Mount{{Destination: "/data", Type: "bind", Source: "@"}},
			file("/lib/a/b.so"), `"/lib/a" would have to be made on a volume`,
		},
		{
			"a volume in a volume", "@x", []specs.Mount{
				{Destination: "/data", Type: "bind", Source: "@"}, {Destination: "/data/own", Type: "tmpfs"},
			}, file("/data/own/a"), "",
		},
		{"a tmpfs of the container", "", []specs.Mount{{Destination: "/usr", Type: "tmpfs"}}, file("/usr/lib/a"), ""},
		{
			"a directory made for a mount", "", []specs.Mount{{Destination: "/a/b/c", Type: "tmpfs"}}, file("/a/b/d"), "",
		},
		{
			"a volume that cannot be seen", "",
			[]specs.Mount{{Destination: "/usr", Type: "bind", Source: "/nowhere"}},
			file("/usr/lib/a"), "",
		},
		{"the kernel's", "", []specs.Mount{{Destination: "/proc", Type: "proc"}}, file("/proc/sys/x"), ""},
		{
			"the kernel's, by a volume", "",
			[]specs.Mount{{Destination: "/p", Type: "bind", Source: "/proc/sys"}},
			file("/p/nowhere"), `"/p/nowhere" lies on a filesystem of the kernel`,
		},

		{"a new node", "", []specs.Mount{{Destination: "/dev", Type: "tmpfs"}}, null("/dev/x"), ""},
		{"a new node below", "", []specs.Mount{{Destination: "/dev", Type: "tmpfs"}}, null("/dev/x/y"), ""},
		{"the node is there", "", []specs.Mount{{Destination: "/dev", Type: "bind", Source: "/dev"}}, null("/dev/null"), ""},
		{
			"another node is there", "",
			[]specs.Mount{{Destination: "/dev", Type: "bind", Source: "/dev"}},
			null("/dev/zero"),
			"another device, 1:5, stands in its place",
		},
		{
			"the host's /dev", "",
			[]specs.Mount{{Destination: "/dev", Type: "bind", Source: "/dev"}},
			null("/dev/nowhere0"),
			`"/dev/nowhere0" would have to be made on a volume`,
		},
		{"a file in the node's place", "dev/x", nil, null("/dev/x"), "something that is not a node"},
		{"a link in the node's place", "dev/x>/dev/null", nil, null("/dev/x"), "something that is not a node"},
		{"a file in the place of its directory", "dev", nil, null("/dev/x"), "not a directory"},
		{"a link in the place of its directory", "dev>real real/", nil, null("/dev/x"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, volume := t.TempDir(), t.TempDir()
			if err := plant(root, volume, test.tree); err != nil {
				t.Fatal(err)
			}
			before := listing(t, root) + listing(t, volume)
			for i := range test.mounts {
				if test.mounts[i].Source == "@" {
					test.mounts[i].Source = volume
				}
			}
			target := &Target{Root: root, Container: &state.Container{Spec: &specs.Spec{Mounts: test.mounts}}}
			edits := devices.NewEdits()
			want := where
			switch e := test.edit.(type) {
			case *devices.Mount:
				edits.Mounts, want = append(edits.Mounts, e), "nothing of the image"
			case *devices.DeviceNode:
				edits.DeviceNodes = append(edits.DeviceNodes, e)
			}
			err := target.Foresee(edits, &Result{})
			switch {
			case test.want == "" && err != nil, test.want != "" && err == nil:
				t.Errorf("error %v", err)
			case err != nil:
				if !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(fault.From(err).Hint(), want) {
					t.Errorf("error %v, %s", err, fault.From(err).Hint())
				}
			}
			if after := listing(t, root) + listing(t, volume); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// plant makes the entries in the root filesystem and in the volume.
func plant(root, volume, tree string) error {
	for _, entry := range strings.Fields(tree) {
		dir := root
		if rest, inVolume := strings.CutPrefix(entry, "@"); inVolume {
			dir, entry = volume, rest
		}
		name, target, isLink := strings.Cut(entry, ">")
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch {
		case isLink:
			err = errors.Join(err, os.Symlink(target, at))
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(at, 0o755))
		default:
			err = errors.Join(err, os.WriteFile(at, nil, 0o600))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		out.WriteString(path + " " + info.Mode().String() + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Optional edits are left out with a warning, and of nodes that are bound the mount point of an earlier start is no
// obstacle. Where the root filesystem becomes an image, nothing is made in it.
func TestForeseeOptional(t *testing.T) {
	root := t.TempDir()
	if err := plant(root, "", "lib>nowhere dev/x"); err != nil {
		t.Fatal(err)
	}
	optional := func(kind string, _ ...string) string {
		if kind == "mount" {
			return "the test"
		}
		return ""
	}
	edits := devices.NewEdits()
	edits.Mounts = append(edits.Mounts, &devices.Mount{
		HostPath: "/etc/passwd", ContainerPath: "/lib/x", Status: devices.Apply,
	})
	edits.DeviceNodes = append(edits.DeviceNodes, &devices.DeviceNode{
		Path: "/dev/x", HostPath: "/dev/null", Type: "c", Major: 1, Minor: 3, Status: devices.Apply,
	})
	target := &Target{
		Root: root, Container: &state.Container{Spec: &specs.Spec{}}, Optional: optional, Namespaced: true,
	}
	var result Result
	if err := target.Foresee(edits, &result); err != nil {
		t.Error(err)
	}
	if len(result.Skipped) != 1 || edits.Mounts[0].Status != devices.Skipped ||
		!strings.Contains(result.Skipped[0].Error(), "is a link that leads nowhere in the container; it is left out") {
		t.Errorf("%v, %s", result.Skipped, edits.Mounts[0].Status)
	}
	edits.Mounts[0].Status, edits.Mounts[0].ContainerPath = devices.Apply, "/etc/x"
	target.Optional, target.NothingInRoot, result = nil, true, Result{}
	if err := target.Foresee(edits, &result); err != nil || len(result.Skipped) != 1 {
		t.Errorf("%v, %v", err, result.Skipped)
	}
	target.Root = filepath.Join(root, "nowhere")
	if err := target.Foresee(edits, &result); err != nil {
		t.Error(err)
	}
}

// A root filesystem that is mounted read-only takes no mount points, and one that is nodev no nodes.
func TestForeseeMounted(t *testing.T) {
	require.Root(t)
	root := t.TempDir()
	mount := &devices.Mount{HostPath: "/etc", ContainerPath: "/x", Status: devices.Apply}
	node := &devices.DeviceNode{
		Path: "/dev/x", HostPath: "/dev/null", Type: "c", Major: 1, Minor: 3, Status: devices.Apply,
	}
	for _, test := range []struct {
		flags uintptr
		edits devices.Edits
		want  string
	}{
		{unix.MS_RDONLY, devices.Edits{Mounts: []*devices.Mount{mount}}, "read-only"},
		{unix.MS_NODEV, devices.Edits{Mounts: []*devices.Mount{mount}}, ""},
		{unix.MS_NODEV, devices.Edits{DeviceNodes: []*devices.DeviceNode{node}}, "its filesystem is mounted nodev"},
	} {
		results := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread, and its mounts, end with the goroutine
			err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
				unix.Mount("none", root, "tmpfs", test.flags, ""))
			if err != nil {
				results <- err
				return
			}
			target := &Target{Root: root, Container: &state.Container{Spec: &specs.Spec{}}}
			results <- target.Foresee(&test.edits, &Result{})
		}()
		if err := <-results; (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("flags %#x: %v", test.flags, err)
		}
	}
}
