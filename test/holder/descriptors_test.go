package holder

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
)

// manyMounts writes a Spec with a node and this number of mounts, files on /opt/lib/N. It ends with further lines.
func (c *container) manyMounts(mounts int, further string) {
	c.t.Helper()
	var text strings.Builder
	text.WriteString(strings.Replace(mountSpec, "    mounts:\n", "    deviceNodes:\n"+
		"    - {path: /dev/nvidia0, hostPath: HOST/dev/nvidia0}\n    mounts:\n", 1))
	for i := range mounts {
		name := fmt.Sprintf("lib/many%d", i)
		if err := c.host.Write(name, fmt.Sprint(i), 0o644); err != nil {
			c.t.Fatal(err)
		}
		fmt.Fprintf(&text, "    - {hostPath: HOST/%s, containerPath: /opt/lib/%d, options: [ro, bind]}\n", name, i)
	}
	c.spec(text.String() + further)
}

// However many mounts there are, gpu-hook fits into the table of 64 descriptors with which a runtime starts it.
// Enlarging the table takes a process with threads longer than all of its work. This also holds for a wish, whose
// mounts are kept open.
func TestDescriptorsOfManyMounts(t *testing.T) {
	const mounts = 200
	for name, request := range map[string]option{
		"request": annotated("device=0"),
		"wish":    withEnv("NVIDIA_VISIBLE_DEVICES=all"),
	} {
		t.Run(name, func(t *testing.T) {
			c := newBundle(t, request)
			c.manyMounts(mounts, "    hooks: [{hookName: createRuntime, path: HOST/bin/hook}]\n")
			log := c.host.Path("log")
			// FDSize is the size of a process's table of descriptors. It grows and never shrinks.
			if err := c.host.Write("bin/hook", "#!/bin/sh\ngrep FDSize /proc/$PPID/status >"+log+"\n", 0o755); err != nil {
				t.Fatal(err)
			}
			c.start().run().applied(t)
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Fields(string(data)), " "); got != "FDSize: 64" {
				t.Errorf("%s", got)
			}
			for i := range mounts {
				got, want := c.sees(fmt.Sprintf("/opt/lib/%d", i)), fmt.Sprintf("uid=0 gid=0 %d (read-only)", i)
				if !strings.HasSuffix(got, want) {
					t.Errorf("mount %d: %s", i, got)
				}
			}
			if got := c.sees("/dev/nvidia0"); got != node {
				t.Errorf("node: %s", got)
			}
		})
	}
}

// A mount that cannot be made is found before the first mount is attached, however many there are.
func TestLastOfManyMounts(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	bad := c.host.Path("bad")
	if err := os.Mkdir(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(bad, unix.MNT_DETACH) })
	if err := unix.Mount(bad, bad, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", bad, "", unix.MS_UNBINDABLE, ""); err != nil {
		t.Fatal(err)
	}
	c.manyMounts(150, "    - {hostPath: HOST/bad, containerPath: /opt/lib/z, options: [bind]}\n")
	r := c.start().run()
	r.refused(t, "E-MOUNT", "/bad")
	for _, m := range r.report.Edits.Mounts {
		want := devices.Apply
		if m.ContainerPath == "/opt/lib/z" {
			want = devices.Failed
		}
		if m.Status != want {
			t.Errorf("mount on %s: %s", m.ContainerPath, m.Status)
		}
	}
	c.unchanged()
}

// many returns edits with more mounts and nodes than are held open at once.
func (c *container) many(stage string) *devices.Edits {
	paths := make([]string, 90)
	for i := range paths {
		paths[i] = fmt.Sprintf("/opt/lib/%d", i)
	}
	e := c.edits(stage, paths...)
	for i := range paths {
		d := *e.DeviceNodes[0]
		d.Path = fmt.Sprintf("/dev/many/%d", i)
		e.DeviceNodes = append(e.DeviceNodes, &d)
	}
	return e
}

// If nodes are bound, all of them are, however many there are, and none is created.
func TestManyBoundNodes(t *testing.T) {
	c := wishing(t, "")
	target, edits := c.target(), c.many("")
	target.Namespaced = true
	if _, err := target.Apply(context.Background(), edits, nil); err != nil {
		t.Fatal(err)
	}
	for e := range edits.All() {
		if *e.State() != devices.Applied {
			t.Errorf("%s: %s", e.Label(), *e.State())
		}
	}
	inside := c.inside()
	for _, d := range edits.DeviceNodes {
		if got := c.sees(d.Path); got != node || !strings.Contains(inside, " "+c.rootfs(d.Path)+" ") {
			t.Errorf("%s: %s", d.Path, got)
		}
	}
}

// Nodes that are already there, bound at an earlier start of the container, are not bound again.
func TestManyNodesThatArePresent(t *testing.T) {
	c := wishing(t, "")
	target := c.target()
	target.Namespaced = true
	var before string
	for _, want := range []devices.Status{devices.Applied, devices.Present} {
		edits := c.many("")
		edits.Mounts = nil
		if _, err := target.Apply(context.Background(), edits, nil); err != nil {
			t.Fatal(err)
		}
		for _, d := range edits.DeviceNodes {
			if d.Status != want {
				t.Errorf("%s: %s, not %s", d.Path, d.Status, want)
			}
		}
		if want == devices.Present && c.inside() != before {
			t.Errorf("the container is changed:\n%s", diff(before, c.inside()))
		}
		before = c.inside()
	}
}

// An edit that is left out among many mounts does not affect the others.
func TestSomeOfManyMounts(t *testing.T) {
	c := wishing(t, "")
	target, edits := c.target(), c.many("")
	edits.DeviceNodes = nil
	target.Optional = func(string, ...string) string { return "the test" }
	gone := map[int]bool{7: true, 41: true, 60: true}
	for i, m := range edits.Mounts {
		name := fmt.Sprintf("lib/many%d", i)
		if err := c.host.Write(name, fmt.Sprint(i), 0o644); err != nil {
			t.Fatal(err)
		}
		switch m.HostPath = c.host.Path(name); i {
		case 7, 60:
			m.ContainerPath = "/etc/dangling"
		case 41:
			m.HostPath = "/nowhere"
		}
	}
	if _, err := target.Apply(context.Background(), edits, nil); err != nil {
		t.Fatal(err)
	}
	for i, m := range edits.Mounts {
		if gone[i] {
			if m.Status != devices.Skipped {
				t.Errorf("%s: %s", m.ContainerPath, m.Status)
			}
			continue
		}
		want := fmt.Sprintf("uid=0 gid=0 %d (read-only)", i)
		if got := c.sees(m.ContainerPath); m.Status != devices.Applied || !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s, %s", m.ContainerPath, m.Status, got)
		}
	}
}

// A wish that fails detaches all of its mounts, however many there are.
func TestFailedWishOfManyMounts(t *testing.T) {
	c := wishing(t, "exit 7")
	before := c.inside()
	for _, namespaced := range []bool{false, true} {
		target := c.target()
		target.Wish, target.Namespaced = true, namespaced
		if _, err := target.Apply(context.Background(), c.many("createRuntime"), nil); err == nil {
			t.Fatal("it did not fail")
		}
		c.unchanged()
		if after := c.inside(); after != before {
			t.Errorf("the container is changed:\n%s", diff(before, after))
		}
	}
}
