package holder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

const (
	node    = "020666 1:11 uid=0 gid=0"
	libPath = gpuhost.LibDir + "/libcuda.so." + gpuhost.Driver
	lib     = "100644 0:0 uid=0 gid=0 this stands for libcuda.so." + gpuhost.Driver + " (read-only)"
)

func TestGives(t *testing.T) {
	for _, test := range []struct {
		name   string
		option option
		has    []string
		hasNot []string
	}{
		{"one by index", annotated("device=0"), []string{"nvidia0", "nvidiactl"}, []string{"nvidia1"}},
		{"unquoted list", annotated("device=0,1"), []string{"nvidia0", "nvidia1"}, nil},
		{"by UUID", annotated("device=" + gpuhost.UUID(1)), []string{"nvidia1"}, []string{"nvidia0"}},
		{"by CDI name", annotated("device=nvidia.com/gpu=1"), []string{"nvidia1"}, []string{"nvidia0"}},
		{"count", annotated("2"), []string{"nvidia0", "nvidia1"}, nil},
		{"all", annotated("all"), []string{"nvidia0", "nvidia1"}, nil},
		{"environment", withEnv("NVIDIA_VISIBLE_DEVICES=1"), []string{"nvidia1"}, []string{"nvidia0"}},
		{"CDI annotation", func(_ *container, b *gpuhost.Bundle) {
			b.Annotations = map[string]string{"cdi.k8s.io/test": "nvidia.com/gpu=0"}
		}, []string{"nvidia0"}, []string{"nvidia1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, test.option)
			c.run().applied(t)
			for _, name := range test.has {
				if got := c.sees("/dev/" + name); got != node {
					t.Errorf("/dev/%s: %s", name, got)
				}
			}
			for _, name := range test.hasNot {
				if got := c.sees("/dev/" + name); got != "missing" {
					t.Errorf("/dev/%s: %s", name, got)
				}
			}
			if got := c.sees(libPath); got != lib {
				t.Errorf("library: %s", got)
			}
		})
	}
}

// The host must not see the mounts, and only empty mount points may be left.
func TestMountsStayInTheContainer(t *testing.T) {
	c := newContainer(t, annotated("device=0"))
	c.run().applied(t)
	if data, err := os.ReadFile(c.rootfs(libPath)); err != nil || len(data) != 0 {
		t.Errorf("on the host the mount point holds %q, %v", data, err)
	}
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), c.bundle) {
		t.Errorf("mounts of the container on the host: %s", mounts)
	}
}

func TestSecondRunFindsTheNodesPresent(t *testing.T) {
	c := newContainer(t, annotated("device=0"))
	c.run().applied(t)
	r := c.run()
	r.applied(t)
	for _, d := range r.report.Edits.DeviceNodes {
		if d.Status != devices.Present {
			t.Errorf("%s: %s", d.Path, d.Status)
		}
	}
}

func TestNodeOwnerAndMode(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(`
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - {path: /dev/gpus/a, hostPath: HOST/dev/nvidia0, fileMode: 432, uid: 7, gid: 44, permissions: r}
    - {path: /dev/b, hostPath: HOST/dev/nvidia1, type: u}
`)
	r := c.start().run()
	r.applied(t)
	if got := c.sees("/dev/gpus/a"); got != "020660 1:11 uid=7 gid=44" {
		t.Errorf("a: %s", got)
	}
	if got := c.sees("/dev/b"); got != node {
		t.Errorf("b: %s", got)
	}
	if d := r.report.Edits.DeviceNodes[0]; d.Permissions != "r" || d.Major != 1 || d.Minor != 11 {
		t.Errorf("a in the record: %+v", d)
	}
}

// spec replaces the host's CDI Spec. HOST stands for the host's directory. If the Spec is too small to have
// /dev/nvidiactl, the host has it neither.
func (c *container) spec(text string) {
	c.t.Helper()
	err := c.host.Write("cdi/nvidia.yaml", strings.ReplaceAll(text, "HOST", c.host.Dir), 0o644)
	if !strings.Contains(text, "nvidiactl") {
		err = errors.Join(err, os.RemoveAll(c.host.Path("dev/nvidiactl")))
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestMountOptionsAndDirectories(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	if err := os.MkdirAll(c.host.Path("data/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.host.Write("data/file", "shared data\n", 0o644); err != nil {
		t.Fatal(err)
	}
	c.spec(`
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    mounts:
    - {hostPath: HOST/data, containerPath: /opt/data, options: [rbind, ro, noexec]}
    - {hostPath: HOST/data/file, containerPath: /etc/writable, options: [bind, rw]}
`)
	c.start().run().applied(t)
	if got := c.sees("/opt/data/file"); got != "100644 0:0 uid=0 gid=0 shared data (read-only)" {
		t.Errorf("directory: %s", got)
	}
	if got := c.sees("/etc/writable"); got != "100644 0:0 uid=0 gid=0 shared data" {
		t.Errorf("file: %s", got)
	}
}

const hookSpec = `
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - {path: /dev/nvidia0, hostPath: HOST/dev/nvidia0}
    mounts:
    - {hostPath: HOST/lib/libcuda.so.580.65.06, containerPath: /opt/new/dir/libcuda.so, options: [ro, bind]}
    hooks:
    - {hookName: createContainer, path: HOST/bin/hook, args: [hook, three], env: [A=b]}
    - {hookName: createRuntime, path: HOST/bin/hook, args: [hook, two]}
    - {hookName: prestart, path: HOST/bin/hook, args: [hook, one], timeout: 20}
    - {hookName: poststop, path: HOST/bin/hook, args: [hook, late]}
`

// The hooks of a Spec run stage by stage after all edits, with the state and without gpu-hook's environment. Only those
// of the last stage run in the container's namespaces.
func TestSpecHooks(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(hookSpec)
	script := fmt.Sprintf("#!/bin/sh\n{ echo \"== $1\"; env | sort; pwd; cat; echo; "+
		"readlink /proc/self/ns/mnt; ls %s; } >>%s\n", c.rootfs("/dev"), c.host.Path("log"))
	if err := c.host.Write("bin/hook", script, 0o755); err != nil {
		t.Fatal(err)
	}
	r := c.start().run()
	r.applied(t)
	data, err := os.ReadFile(c.host.Path("log"))
	if err != nil {
		t.Fatal(err)
	}
	runs := strings.Split(string(data), "== ")[1:]
	if len(runs) != 3 {
		t.Fatalf("%d runs: %s", len(runs), data)
	}
	ours, _ := os.Readlink("/proc/self/ns/mnt")
	its, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", c.pid))
	for i, want := range []struct{ name, ns, dir string }{
		{"one", ours, c.bundle}, {"two", ours, c.bundle}, {"three", its, "/"},
	} {
		run := runs[i]
		for _, part := range []string{
			want.name + "\n", "\n" + want.ns + "\n", "\n" + want.dir + "\n", `"id":"test"`, `"status":"creating"`,
			`"root":"` + c.rootfs("") + `"`, "PATH=/usr",
		} {
			if !strings.Contains(run, part) {
				t.Errorf("run %d has no %q:\n%s", i, part, run)
			}
		}
		if strings.Contains(run, "LD_PRELOAD") || strings.Contains(run, "NVIDIA_VISIBLE") ||
			strings.Contains(run, "nowhere") {
			t.Errorf("run %d has our environment:\n%s", i, run)
		}
	}
	if !strings.Contains(runs[2], "A=b\n") || !strings.Contains(runs[2], "nvidia0") {
		t.Errorf("the createContainer hook lacks its variable or the node:\n%s", runs[2])
	}
	if h := r.report.Edits.Hooks; h[3].Status != devices.Late || h[0].Status != devices.Applied {
		t.Errorf("statuses: %s, %s", h[0].Status, h[3].Status)
	}
	// The holder has no cgroup of its own. That is reported, and nothing else.
	if w := r.report.Warnings; len(w) != 2 || w[0].Code != "W-LATE" || w[1].Code != "W-CGROUP" {
		t.Errorf("warnings: %+v", w)
	}
}

// A hook that fails stops the start with its own message. Everything is undone except what the hook itself did.
func TestFailingHookUndoesAll(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(hookSpec)
	script := "#!/bin/sh\necho 'cannot do it: Permission Denied' >&2\nexit 3\n"
	if err := c.host.Write("bin/hook", script, 0o755); err != nil {
		t.Fatal(err)
	}
	r := c.start().run()
	r.refused(t, "E-HOOK", "prestart hook", "exit status 3", "cannot do it")
	c.unchanged()
	if c.sees("/dev/nvidia0") != "missing" || c.sees("/opt") != "missing" {
		t.Error("nodes or directories are left in the container")
	}
	if r.report.Result != "failed" || r.report.Warnings[len(r.report.Warnings)-1].Code != "W-LEFTOVER" {
		t.Errorf("record: %s %+v", r.report.Result, r.report.Warnings)
	}
}

// At its timeout a hook is killed with everything that it started. A process that keeps its output open does not delay
// gpu-hook.
func TestHookTimeout(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(strings.ReplaceAll(hookSpec, "timeout: 20", "timeout: 1"))
	pids := c.host.Path("pids")
	if err := c.host.Write("bin/hook", "#!/bin/sh\nsleep 600 &\necho $$ $! >"+pids+"\nwait\n", 0o755); err != nil {
		t.Fatal(err)
	}
	c.start().run().refused(t, "E-HOOK", "did not end in time")
	data, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(data)) {
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %s still runs", pid)
		}
	}
	if err := os.Remove(pids); err != nil {
		t.Fatal(err)
	}
	c.unchanged()
}

// If a node or mount cannot be made, those before it are undone.
func TestFailingEditUndoesAll(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(`
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - {path: /made/first, hostPath: HOST/dev/nvidia0}
    - {path: /bin/sh, hostPath: HOST/dev/nvidia1}
    mounts:
    - {hostPath: HOST/lib/libcuda.so.580.65.06, containerPath: /opt/new/dir/libcuda.so, options: [ro, bind]}
`)
	r := c.start().run()
	r.refused(t, "E-NODE", "/bin/sh", "stands in its place")
	c.unchanged()
	if r.report.Result != "failed" {
		t.Errorf("result %q", r.report.Result)
	}
}

func TestRelativeRootAndCrunRoot(t *testing.T) {
	c := newContainer(t, annotated("device=0"), edited(func(config map[string]any) {
		config["root"] = map[string]any{"path": "./rootfs"}
	}))
	c.run().applied(t)
	const state = `{"ociVersion":"1.0","id":"test","status":"created","pid":%d,"bundle":%q,"root":%q}`
	c.runOn(fmt.Sprintf(state, c.pid, c.bundle, filepath.Join(c.bundle, "rootfs"))).applied(t)
	c.runOn(fmt.Sprintf(state, c.pid, c.bundle, c.host.Dir)).refused(t, "E-BUNDLE", c.host.Dir)
}
