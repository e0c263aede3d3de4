package holder

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// mounts returns the container's mount table.
func (c *container) mounts() string {
	c.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", c.pid))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// An image's "all" is a wish. If it fails while it is carried out, it is undone, and the container starts as if nothing
// had been requested.
func TestWishComesToNothing(t *testing.T) {
	library := gpuhost.LibDir + "/libnvidia-ml.so." + gpuhost.Driver
	for name, test := range map[string]struct {
		option option
		before func(c *container)
		code   string
	}{
		"a volume on the library directory": {volume(gpuhost.LibDir), func(c *container) {
			c.mkdir(c.volume(), c.rootfs(gpuhost.LibDir))
		}, "volume"},
		"a dangling link in the second library's place": {nil, func(c *container) {
			c.mkdir(c.rootfs(gpuhost.LibDir))
			c.must(os.Symlink("/nowhere/at/all", c.rootfs(library)))
		}, "link"},
		"the first library's place is there, the second's is a folder": {nil, func(c *container) {
			c.mkdir(c.rootfs(library))
			c.must(os.WriteFile(c.rootfs(gpuhost.LibDir+"/libcuda.so."+gpuhost.Driver), []byte("of the image"), 0o600))
		}, "directory"},
		"another device in the node's place": {nil, func(c *container) {
			c.mkdir(c.rootfs("dev"))
			c.env = append(c.env, "GPU_HOOK_TEST_VOLUME="+c.volume()+":/dev")
			c.mkdir(c.volume())
			c.must(unix.Mknod(filepath.Join(c.volume(), "nvidiactl"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		}, "another device"},
		"a Spec's hook that fails": {nil, func(c *container) {
			c.must(c.host.Write("bin/fails", "#!/bin/sh\necho nothing doing >&2\nexit 3\n", 0o755))
			spec := c.host.Spec() + "  hooks:\n  - {hookName: createContainer, path: " + c.host.Path("bin/fails") +
				", args: [fails]}\n"
			c.must(c.host.Write("cdi/nvidia.yaml", spec, 0o644))
		}, "nothing doing"},
	} {
		t.Run(name, func(t *testing.T) {
			options := []option{withEnv("NVIDIA_VISIBLE_DEVICES=all")}
			if test.option != nil {
				options = append(options, test.option)
			}
			c := newBundle(t, options...)
			test.before(c)
			c.start()
			mounts := c.mounts()
			r := c.run()
			if r.status != 0 || r.stderr != "" {
				t.Fatalf("status %d: %s", r.status, r.stderr)
			}
			if after := c.mounts(); after != mounts {
				t.Errorf("mounts in the container:\n%s", diff(mounts, after))
			}
			c.unchanged()
			c.comesToNothing(r.report, test.code)
		})
	}
}

// comesToNothing checks the record of a wish that was not granted, for a reason that contains the word.
func (c *container) comesToNothing(r *report.Report, word string) {
	c.t.Helper()
	if node := c.sees("/dev/nvidia0"); node != "missing" {
		c.t.Errorf("/dev/nvidia0: %s", node)
	}
	weak := slices.ContainsFunc(r.Warnings,
		func(m report.Message) bool { return m.Code == "W-WEAK" && strings.Contains(m.Message, word) })
	if r.Result != plan.ResultNothing || len(r.Errors)+len(r.Grants)+len(r.CDIDevices) > 0 || !weak ||
		r.Requests[0].Status != plan.Unserved {
		c.t.Errorf("record: %s %+v %+v %v %+v", r.Result, r.Errors, r.Grants, r.CDIDevices, r.Warnings)
	}
	for _, status := range r.Edits.Statuses() {
		if *status == "applied" || *status == "apply" {
			c.t.Errorf("an edit is %s", *status)
		}
	}
}

// A hook that ran before the wish failed cannot be undone, and the record says so.
func TestWishTellsOfHooksThatRan(t *testing.T) {
	c := newBundle(t, withEnv("NVIDIA_VISIBLE_DEVICES=all"))
	c.must(c.host.Write("bin/fails", "#!/bin/sh\nexit 3\n", 0o755))
	c.must(c.host.Write("cdi/nvidia.yaml", c.host.Spec()+
		"  hooks:\n  - {hookName: createContainer, path: /bin/true, args: [\"true\"]}\n"+
		"  - {hookName: createContainer, path: "+c.host.Path("bin/fails")+", args: [fails]}\n", 0o644))
	c.start()
	r := c.run()
	h := r.report.Edits.Hooks
	if r.status != 0 || h[0].Status != "applied" || h[1].Status != "failed" ||
		r.report.Edits.DeviceNodes[0].Status != "skipped" {
		t.Errorf("status %d: %s, %s", r.status, h[0].Status, h[1].Status)
	}
}

// A request is served even if a wish in addition to it is not granted.
func TestWishBesideARequest(t *testing.T) {
	c := newBundle(t, withEnv("NVIDIA_VISIBLE_DEVICES=all"), annotated("driver=amd,device=0"))
	amd := "cdiVersion: 0.5.0\nkind: amd.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n" +
		"    - {path: /dev/kfd, hostPath: " + c.host.Path("dev/nvidiactl") + "}\n"
	c.must(c.host.Write("cdi/amd.yaml", amd, 0o644))
	c.mkdir(c.rootfs(gpuhost.LibDir + "/libnvidia-ml.so." + gpuhost.Driver))
	c.start()
	r := c.run()
	r.applied(t)
	if !strings.HasPrefix(c.sees("/dev/kfd"), "020666 1:11") || c.sees("/dev/nvidia0") != "missing" {
		t.Errorf("kfd: %s, nvidia0: %s", c.sees("/dev/kfd"), c.sees("/dev/nvidia0"))
	}
	if g := r.report.Grants; len(g) != 1 || g[0].Vendor != "amd" || len(r.report.CDIDevices) != 1 {
		t.Errorf("grants: %+v", g)
	}
}

// Features in addition to GPUs succeed or fail with the GPUs. Devices of another vendor are a separate wish.
func TestFeatureGoesWithTheGPUs(t *testing.T) {
	c := newBundle(t, withEnv("NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_GDS=enabled", "AMD_VISIBLE_DEVICES=all"))
	for kind, path := range map[string]string{"nvidia.com/gds": "/dev/nvidia-fs0", "amd.com/gpu": "/dev/kfd"} {
		spec := "cdiVersion: 0.5.0\nkind: " + kind + "\ndevices:\n- name: all\n  containerEdits:\n    deviceNodes:\n" +
			"    - {path: " + path + ", hostPath: " + c.host.Path("dev/nvidiactl") + "}\n"
		c.must(c.host.Write("cdi/"+filepath.Base(path)+".yaml", spec, 0o644))
	}
	c.mkdir(c.rootfs(gpuhost.LibDir + "/libnvidia-ml.so." + gpuhost.Driver))
	c.start()
	r := c.run()
	r.applied(t)
	if !strings.HasPrefix(c.sees("/dev/kfd"), "020666 1:11") || c.sees("/dev/nvidia-fs0") != "missing" ||
		c.sees("/dev/nvidia0") != "missing" {
		t.Errorf("kfd: %s, nvidia-fs0: %s, nvidia0: %s",
			c.sees("/dev/kfd"), c.sees("/dev/nvidia-fs0"), c.sees("/dev/nvidia0"))
	}
	if g := r.report.Grants; len(g) != 1 || g[0].Vendor != "amd" {
		t.Errorf("grants: %+v", g)
	}
}

// A wish that fails and cannot be undone stops the start, because the container is not as it would be without the wish.
func TestWishThatCannotBeUndone(t *testing.T) {
	c := newBundle(t, withEnv("NVIDIA_VISIBLE_DEVICES=all"))
	c.must(c.host.Write("bin/fails", "#!/bin/sh\nmount -o remount,bind,ro "+c.rootfs("")+"\nexit 7\n", 0o755))
	hooks := "  hooks:\n  - {hookName: createContainer, path: " + c.host.Path("bin/fails") + ", args: [fails]}\n"
	c.must(c.host.Write("cdi/nvidia.yaml", c.host.Spec()+hooks, 0o644))
	r := c.start().run()
	r.refused(t, "E-")
	if r.report == nil || r.report.Result != plan.ResultFailed || !strings.Contains(r.stderr, "remove ") {
		t.Errorf("record: %+v\n%s", r.report, r.stderr)
	}
}

// In a build nothing is made in the root filesystem.
func TestBuildIsSpared(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.start()
	state := c.state()
	state["id"] = "buildah-" + filepath.Base(c.bundle)
	data, err := json.Marshal(state)
	c.must(err)
	if r := c.runOn(string(data)); r.status != 0 {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
	c.unchanged()
	if got := c.sees("/dev/nvidia0"); got != node {
		t.Errorf("node: %s", got)
	}
}

func (c *container) mkdir(dirs ...string) {
	c.t.Helper()
	for _, dir := range dirs {
		c.must(os.MkdirAll(dir, 0o755))
	}
}

func (c *container) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
