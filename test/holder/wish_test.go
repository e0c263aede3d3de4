package holder

import (
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

func init() {
	// As in cmd/gpu-hook, no thread that joins a container's namespaces may be the main thread.
	runtime.LockOSThread()
}

// target returns the container as devices/inject sees it.
func (c *container) target() *inject.Target {
	c.t.Helper()
	found, err := state.Load(state.State{
		State: specs.State{ID: "test", Status: specs.StateCreating, Pid: c.pid, Bundle: c.bundle}, Raw: []byte("{}"),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	process, err := found.OpenProcess(false)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = process.Close() })
	return &inject.Target{
		Container: found, Process: process, Root: c.rootfs(""), StateJSON: []byte("{}"), RunDir: c.host.Path("run"),
	}
}

// inside returns everything that can be seen of the container from inside: its mounts and what is in its /dev.
func (c *container) inside() string {
	c.t.Helper()
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", c.pid))
	if err != nil {
		c.t.Fatal(err)
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/root%s", c.pid, c.rootfs("dev")))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range entries {
		mounts = append(mounts, "in /dev: "+e.Name()+"\n"...)
	}
	return string(mounts)
}

// taken is the path of a file that the containers of these tests have.
const taken = "/etc/taken"

// wishing makes a container with that file and a dangling link, and a hook on its host.
func wishing(t *testing.T, hook string, options ...option) *container {
	t.Helper()
	c := newBundle(t, options...)
	for _, err := range []error{
		os.WriteFile(c.rootfs(taken), []byte("its own"), 0o600),
		os.Symlink("/nowhere/at/all", c.rootfs("/etc/dangling")),
		os.MkdirAll(c.rootfs("/opt/volume"), 0o755),
		os.MkdirAll(c.volume(), 0o755),
		c.host.Write("bin/hook", "#!/bin/sh\n"+strings.ReplaceAll(hook, "ROOT", c.rootfs("")), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return c.start()
}

// edits returns mounts of a file on the paths, a tmpfs, a node and, if stage is not "", a hook of that stage.
func (c *container) edits(stage string, paths ...string) *devices.Edits {
	e := devices.NewEdits()
	for _, path := range paths {
		e.Mounts = append(e.Mounts, &devices.Mount{
			HostPath: c.host.Path("version"), ContainerPath: path, Options: []string{"ro", "bind"}, Status: devices.Apply,
		})
	}
	mode, zero := os.FileMode(0o666), uint32(0)
	e.DeviceNodes = append(e.DeviceNodes, &devices.DeviceNode{
		Path: "/dev/sub/nvidia0", HostPath: c.host.Path("dev/nvidia0"),
		Type: "c", Major: gpuhost.Major, Minor: gpuhost.Minor, Permissions: "rw",
		Status: devices.Apply, FileMode: &mode, UID: &zero, GID: &zero, Own: true,
	})
	if stage != "" {
		e.Hooks = append(e.Hooks, &devices.Hook{
			HookName: stage, Path: c.host.Path("bin/hook"), Args: []string{"hook"}, Status: devices.Apply,
		})
	}
	return e
}

// A wish that fails leaves the container unchanged: its mounts, its root filesystem and its /dev. Other edits can be
// made afterwards.
func TestFailedWishIsUndone(t *testing.T) {
	for _, test := range []struct {
		name, hook, stage string
		options           []option
		paths             []string
		part              string
	}{
		{"link that leads nowhere", "", "", nil, []string{taken, "/opt/a/lib", "/etc/dangling"}, "leads nowhere"},
		{"volume", "", "", []option{volume("/opt/volume")}, []string{"/opt/a/lib", taken, "/opt/volume/lib"}, "volume"},
		{"read-only root", "", "", []option{readOnly}, []string{taken, "/opt/a/lib"}, "read-only"},
		{"hook that fails", "exit 7", "createRuntime", nil, []string{taken, "/opt/a/lib"}, "exit status 7"},
		{
			"hook that mounts and fails",
			"mount --bind /etc/hostname ROOT" + taken + " && mount -t tmpfs none ROOT" + taken + "2; exit 7",
			"createContainer", nil,
			[]string{taken, "/opt/a/lib"},
			"exit status 7",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := wishing(t, test.hook, test.options...)
			before := c.inside()
			target := c.target()
			target.Wish = true
			edits := c.edits(test.stage, test.paths...)
			result, err := target.Apply(context.Background(), edits, nil)
			if err == nil || !strings.Contains(err.Error(), test.part) {
				t.Fatalf("no %q in: %v", test.part, err)
			}
			if result.Left != nil {
				t.Errorf("left: %v", result.Left)
			}
			c.unchanged()
			if after := c.inside(); after != before {
				t.Errorf("the container is changed:\n%s", diff(before, after))
			}
			for _, status := range edits.Statuses() {
				if *status != devices.Skipped && *status != devices.Failed {
					t.Errorf("an edit is %s", *status)
				}
			}
			if hooks := len(edits.Hooks); len(result.Foreign) != hooks {
				t.Errorf("foreign programs: %v", result.Foreign)
			}

			target.Wish = false
			if _, err := target.Apply(context.Background(), c.edits("", taken), nil); err != nil {
				t.Fatal(err)
			}
			if got := c.sees(taken); !strings.Contains(got, gpuhost.Driver) {
				t.Errorf("given then: %s", got)
			}
			if got := c.sees("/dev/sub/nvidia0"); got != node {
				t.Errorf("given then: %s", got)
			}
		})
	}
}

// If nodes are bound instead of created, a failed wish detaches them, even if an earlier start left their mount points.
func TestFailedWishDetachesNodes(t *testing.T) {
	c := wishing(t, "exit 7")
	target := c.target()
	target.Namespaced, target.Wish = true, true
	before := c.inside()
	if _, err := target.Apply(context.Background(), c.edits("createRuntime", taken), nil); err == nil {
		t.Fatal("it did not fail")
	}
	c.unchanged()
	if after := c.inside(); after != before {
		t.Errorf("the container is changed:\n%s", diff(before, after))
	}
	if _, err := target.Apply(context.Background(), c.edits("", taken), nil); err != nil {
		t.Fatal(err)
	}
	if got := c.sees("/dev/sub/nvidia0"); got != node {
		t.Errorf("given then: %s", got)
	}
}

// What was requested stays if a wish in addition to it fails.
func TestFailedWishTakesNothingElse(t *testing.T) {
	c := wishing(t, "exit 7")
	target := c.target()
	if _, err := target.Apply(context.Background(), c.edits("", taken, "/opt/a/lib"), nil); err != nil {
		t.Fatal(err)
	}
	before := c.inside()
	target.Wish = true
	edits := c.edits("createRuntime", taken, "/opt/a/lib", "/opt/a/more")
	if _, err := target.Apply(context.Background(), edits, nil); err == nil {
		t.Fatal("it did not fail")
	}
	if after := c.inside(); after != before {
		t.Errorf("the container is changed:\n%s", diff(before, after))
	}
	if got := c.sees("/opt/a/more"); got != "missing" {
		t.Errorf("left: %s", got)
	}
}

// A wish that succeeds is granted like any request.
func TestWishIsGiven(t *testing.T) {
	c := wishing(t, "echo ran >"+"$0.log")
	target := c.target()
	target.Wish = true
	edits := c.edits("createContainer", taken)
	if _, err := target.Apply(context.Background(), edits, nil); err != nil {
		t.Fatal(err)
	}
	for _, status := range edits.Statuses() {
		if *status != devices.Applied {
			t.Errorf("an edit is %s", *status)
		}
	}
	if got := c.sees("/dev/sub/nvidia0"); got != node {
		t.Errorf("node: %s", got)
	}
}

// In a build nothing is made in the root filesystem, which becomes the image. Mounts are made on existing files, nodes
// are made in the container's own /dev, and no foreign program runs.
func TestRootIsSpared(t *testing.T) {
	c := wishing(t, "touch $0.ran")
	target := c.target()
	target.NothingInRoot = true
	edits := c.edits("createContainer", taken, "/opt/a/lib", "/etc/missing")
	edits.Hooks = append(edits.Hooks, &devices.Hook{
		HookName: "createRuntime", Path: c.host.Path("bin/hook"), Args: []string{"hook"}, Status: devices.Apply,
	})
	result, err := target.Apply(context.Background(), edits, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.unchanged()
	var got []string
	for _, status := range edits.Statuses() {
		got = append(got, string(*status))
	}
	if want := []string{"applied", "applied", "skipped", "skipped", "skipped", "skipped"}; !slices.Equal(got, want) {
		t.Errorf("statuses: %v", got)
	}
	var notes []string
	for _, note := range result.Skipped {
		notes = append(notes, string(note.Code())+" "+path.Base(note.What()))
		if note.Hint() == "" {
			t.Errorf("no hint: %v", note)
		}
	}
	want := []string{"W-SKIPPED hooks of the CDI Spec", "W-SKIPPED lib", "W-SKIPPED missing"}
	if !slices.Equal(notes, want) {
		t.Errorf("notes: %v", notes)
	}
	if got := c.sees("/dev/sub/nvidia0"); got != node {
		t.Errorf("node: %s", got)
	}
}

func TestDelegateIsRefusedInABuild(t *testing.T) {
	c := wishing(t, "")
	target := c.target()
	target.NothingInRoot = true
	_, err := target.Apply(context.Background(), c.edits("", taken), []inject.Delegate{
		{Path: c.host.Path("bin/hook"), Args: []string{"hook"}},
	})
	if err == nil || !strings.Contains(err.Error(), "stay in the image") {
		t.Errorf("error: %v", err)
	}
	c.unchanged()
}
