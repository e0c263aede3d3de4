package holder

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
)

const mountSpec = `
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    mounts:
`

// mounted is the container's mount on path: its options and those of its filesystem.
func (c *container) mounted(path string) *mountinfo.Info {
	c.t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", c.pid))
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	infos, err := mountinfo.GetMountsFromReader(file, mountinfo.SingleEntryFilter(c.rootfs(path)))
	if err != nil || len(infos) != 1 {
		c.t.Fatalf("mounts on %s: %v, %v", path, infos, err)
	}
	return infos[0]
}

// shares makes a directory of the host that is a shared mount with another mount below it: data and data/sub.
func (c *container) shares() {
	c.t.Helper()
	data := c.host.Path("data")
	try := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	try(os.MkdirAll(data, 0o755))
	c.t.Cleanup(func() { _ = unix.Unmount(data, unix.MNT_DETACH) })
	try(unix.Mount(data, data, "", unix.MS_BIND, ""))
	try(unix.Mount("", data, "", unix.MS_SHARED, ""))
	try(os.MkdirAll(data+"/sub", 0o755))
	try(unix.Mount("tmpfs", data+"/sub", "tmpfs", 0, ""))
	try(os.WriteFile(data+"/top", []byte("top"), 0o644))
	try(os.WriteFile(data+"/sub/below", []byte("below"), 0o644))
}

// With rbind the mounts below a directory come along, with bind they do not. "ro" applies to the mount itself, "rro" to
// all of them.
func TestRecursiveMounts(t *testing.T) {
	const readOnly = " (read-only)"
	for _, test := range []struct{ options, top, below string }{
		{"bind", "", "missing"},
		{"bind, ro", readOnly, "missing"},
		{"rbind", "", ""},
		{"rbind, ro", readOnly, ""},
		{"rbind, rro", readOnly, readOnly},
		{"rbind, ro, rrw", "", ""},
	} {
		t.Run(strings.ReplaceAll(test.options, ", ", "+"), func(t *testing.T) {
			c := newBundle(t, annotated("device=0"))
			c.shares()
			c.spec(mountSpec + "    - {hostPath: HOST/data, containerPath: /opt/data, options: [" + test.options + "]}\n")
			c.start().run().applied(t)
			if got, want := c.sees("/opt/data/top"), "100644 0:0 uid=0 gid=0 top"+test.top; got != want {
				t.Errorf("top: %s", got)
			}
			want := test.below
			if want != "missing" {
				want = "100644 0:0 uid=0 gid=0 below" + test.below
			}
			if got := c.sees("/opt/data/sub/below"); got != want {
				t.Errorf("below: %s", got)
			}
		})
	}
}

// The kernel shows the mount options that the Spec requests.
func TestMountOptions(t *testing.T) {
	for _, test := range []struct {
		options  string
		want     string // the kernel's words for the mount
		optional string // for its propagation, without numbers
	}{
		{"bind", "rw,relatime", ""},
		{"bind, ro, nosuid, nodev, noexec", "ro,nosuid,nodev,noexec,relatime", ""},
		{"bind, noatime, nodiratime, nosymfollow", "rw,noatime,nodiratime,nosymfollow", ""},
		{"bind, strictatime", "rw", ""},
		{"bind, noatime, atime, nodiratime, diratime, nosymfollow, symfollow", "rw,relatime", ""},
		{
			"bind, rro, rnosuid, rnodev, rnoexec, rnoatime, rnodiratime, rnosymfollow",
			"ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow", "",
		},
		{"bind, ro, noexec, noatime, rrw, rrelatime", "rw,noexec,relatime", ""},
		{"bind, rw, dev, strictatime, rro, rnodev, rnoatime", "ro,nodev,noatime", ""},
		{"rbind, private, silent, async", "rw,relatime", ""},
		{"rbind, rslave", "rw,relatime", "master"},
		{"bind, unbindable", "rw,relatime", "unbindable"},
	} {
		t.Run(strings.ReplaceAll(test.options, ", ", "+"), func(t *testing.T) {
			c := newBundle(t, annotated("device=0"))
			c.shares()
			c.spec(mountSpec + "    - {hostPath: HOST/data, containerPath: /opt/data, options: [" + test.options + "]}\n" +
				"    - {hostPath: HOST/data/top, containerPath: /opt/file, options: [" + test.options + "]}\n")
			c.start().run().applied(t)
			for _, path := range []string{"/opt/data", "/opt/file"} {
				m := c.mounted(path)
				optional, _, _ := strings.Cut(m.Optional, ":")
				if got, want := words(m.Options), words(test.want); !slices.Equal(got, want) || optional != test.optional {
					t.Errorf("%s: %s %s", path, m.Options, m.Optional)
				}
			}
		})
	}
}

func words(options string) []string {
	return slices.Sorted(slices.Values(strings.Split(options, ",")))
}

// A tmpfs belongs to the container, and has the size and owner that the Spec states.
func TestTmpfs(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	const scratch = "    - {hostPath: tmpfs, containerPath: /opt/scratch, type: tmpfs, " +
		"options: [size=64k, nr_inodes=10, mode=0750, uid=7, gid=8, nosuid, ro]}\n"
	c.spec(mountSpec + scratch + `    - {hostPath: none, containerPath: /opt/scratch/../other, type: tmpfs}
`)
	c.start().run().refused(t, "E-MOUNT", "..")
	c.spec(mountSpec + scratch + `    - {hostPath: none, containerPath: /opt/other, type: tmpfs}
    - {hostPath: HOST/lib, containerPath: /opt/other/lib, options: [bind]}
`)
	r := c.run()
	r.applied(t)
	if got := c.sees("/opt/scratch"); got != "040750 0:0 uid=7 gid=8" {
		t.Errorf("scratch: %s", got)
	}
	m := c.mounted("/opt/scratch")
	if !slices.Equal(words(m.Options), words("nosuid,relatime,ro")) || m.FSType != "tmpfs" {
		t.Errorf("scratch: %+v", m)
	}
	for _, option := range []string{"size=64k", "nr_inodes=10", "mode=750", "uid=7", "gid=8"} {
		if !slices.Contains(words(m.VFSOptions), option) {
			t.Errorf("scratch has no %s: %s", option, m.VFSOptions)
		}
	}
	if got := c.sees("/opt/other/lib/libcuda.so.580.65.06"); !strings.HasPrefix(got, "100644") {
		t.Errorf("a mount on the tmpfs: %s", got)
	}
	if entries, err := os.ReadDir(c.rootfs("/opt/other")); err != nil || len(entries) > 0 {
		t.Errorf("the root filesystem holds what was made on the tmpfs: %v, %v", entries, err)
	}
	if e := r.report.Edits.Mounts[0]; e.Status != devices.Applied || e.HostPath != "tmpfs" {
		t.Errorf("record: %+v", e)
	}
}

// If the kernel rejects an option of a tmpfs, the message is the kernel's own, and nothing is left behind.
func TestBadMountsAreRefused(t *testing.T) {
	for i, test := range []struct {
		mount string
		parts []string
	}{
		{
			"{hostPath: tmpfs, containerPath: /opt/t, type: tmpfs, options: [size=much]}",
			[]string{"E-MOUNT", `"size=much"`, "size"},
		},
		{"{hostPath: tmpfs, containerPath: /opt/t, type: tmpfs, options: [colour=red]}", []string{"E-MOUNT", `"colour=red"`}},
		{"{hostPath: tmpfs, containerPath: /bin/sh, type: tmpfs}", []string{"E-MOUNT", "/bin/sh"}},
		{"{hostPath: proc, containerPath: /opt/t, type: proc}", []string{"E-MOUNT", `"proc"`}},
		{
			"{hostPath: HOST/lib, containerPath: /opt/t, type: overlay, options: [lowerdir=/]}",
			[]string{"E-MOUNT", `"overlay"`},
		},
		{"{hostPath: HOST/lib, containerPath: /opt/t, options: [bind, rshared]}", []string{"E-MOUNT", `"rshared"`, "host"}},
		{"{hostPath: HOST/lib, containerPath: /opt/t, options: [bind, sync]}", []string{"E-MOUNT", `"sync"`}},
		{"{hostPath: HOST/lib, containerPath: /bin/sh, options: [bind]}", []string{"E-MOUNT", "/bin/sh"}},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c := newBundle(t, annotated("driver=nvidia.cdi,device=0"))
			withNode := strings.Replace(mountSpec, "mounts:",
				"deviceNodes: [{path: /made/node, hostPath: HOST/dev/nvidia0}]\n    mounts:", 1)
			c.spec(withNode + "    - " + test.mount + "\n")
			c.start().run().refused(t, test.parts...)
			c.unchanged()
			if entries, _ := filepath.Glob(c.rootfs("/made")); len(entries) > 0 {
				t.Error("something was made")
			}
		})
	}
}

// A symbolic link of the image resolves to another directory once something is mounted on its target, so that the path
// does not show the mount. The start is refused, even if the mount is optional.
func TestMountThatTheImageLeadsAstray(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.mkdir(c.rootfs("/place/below"), c.rootfs("/other/below"), c.host.Path("data"))
	c.must(link(c, "place/below/..", "/link"))
	c.must(os.Symlink("/other/below", c.host.Path("data/below")))
	config := strings.Replace(c.host.Config(), "[cdi]\n", "[cdi]\noptional = [\"mount:/link\"]\n", 1)
	c.must(c.host.Write("config.toml", config, 0o644))
	c.spec(mountSpec + "    - {hostPath: HOST/data, containerPath: /link, options: [bind]}\n")
	c.start().run().refused(t, "E-MOUNT", "/link", "the path was moved while it was mounted on")
	c.unchanged()
}
