package holder

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// A state that cannot be read is refused, because nothing is known about the container. A config.json that cannot be
// read is refused if the state shows that something was requested. Otherwise the container starts, because it most
// probably requests nothing.
func TestUnreadableStateAndBundle(t *testing.T) {
	c := newContainer(t)
	const asks = `"annotations":{"gpu-hook/gpus":"0"}`
	valid := fmt.Sprintf(`{"ociVersion":"1.0.2","id":"test","status":"creating","pid":%d,"bundle":%q}`, c.pid, c.bundle)
	for _, test := range []struct{ name, state, code, part string }{
		{"empty", "", "E-STATE", "empty"},
		{"truncated", valid[:len(valid)/2], "E-STATE", "unexpected end"},
		{"no JSON", "hello", "E-STATE", "invalid character"},
		{"two objects", valid + valid, "E-STATE", "after top-level value"},
		{"a list", "[]", "E-STATE", "cannot unmarshal array"},
		{"too large", `{"id":"` + strings.Repeat("x", limits.State) + `"}`, "E-STATE", "larger"},
		{"relative bundle", `{"bundle":"b",` + asks + `}`, "E-BUNDLE", `"b" cannot be a bundle`},
		{"the host's root as bundle", `{"bundle":"/",` + asks + `}`, "E-BUNDLE", `"/" cannot be a bundle`},
		{"no bundle there", `{"bundle":"/nowhere",` + asks + `}`, "E-BUNDLE", "/nowhere/config.json"},
		{"a CDI annotation", `{"bundle":"/nowhere","annotations":{"cdi.k8s.io/x":"y"}}`, "E-BUNDLE", "/nowhere/config.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.runOn(test.state).refused(t, test.code, test.part)
			c.unchanged()
		})
	}
	config := filepath.Join(c.bundle, "config.json")
	for _, test := range []struct {
		name string
		put  func() error
		part string
	}{
		{"malformed", func() error { return os.WriteFile(config, []byte("{"), 0o600) }, "unexpected end"},
		{"empty", func() error { return os.WriteFile(config, nil, 0o600) }, "empty"},
		{"null", func() error { return os.WriteFile(config, []byte("null"), 0o600) }, "null"},
		{"a directory", func() error { return os.Mkdir(config, 0o700) }, "not a regular file"},
		{"a FIFO", func() error { return syscall.Mkfifo(config, 0o600) }, "not a regular file"},
		{"a link to nothing", func() error { return os.Symlink("/nowhere", config) }, "does not exist"},
	} {
		t.Run("config.json "+test.name, func(t *testing.T) {
			if err := os.RemoveAll(config); err != nil {
				t.Fatal(err)
			}
			if err := test.put(); err != nil {
				t.Fatal(err)
			}
			asking := strings.Replace(valid, "{", "{"+asks+",", 1)
			c.runOn(asking).refused(t, "E-BUNDLE", config, test.part)
			if r := c.run(); r.status != 0 || r.stderr != "" {
				t.Errorf("nothing is asked, and it ends with %d: %s", r.status, r.stderr)
			}
		})
	}
}

// A mistake in a request, a Spec or the host refuses a container with a request, and does not affect one without.
func TestRefusals(t *testing.T) {
	t.Cleanup(func() {
		// If the configuration cannot be read, the record is written to the default directory. Other records there stay.
		_ = os.Remove("/run/gpu-hook/records/test@refused-0-0-0.json")
		_ = os.Remove("/run/gpu-hook/records")
		_ = os.Remove("/run/gpu-hook")
	})
	const spec = "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n"
	device0 := annotated("driver=nvidia.cdi,device=0")
	for _, test := range []struct {
		name   string
		option option
		break_ func(c *container) error
		parts  []string
	}{
		{"unknown device", annotated("driver=nvidia.cdi,device=7"), nil, []string{"E-NAME", "nvidia.com/gpu=7", "0, 1"}},
		{"unknown kind", annotated("driver=cdi,device=acme.com/npu=7"), nil, []string{"E-NOSPEC", "acme.com/npu=7"}},
		{
			"all drivers fail", annotated("device=7"), nil,
			[]string{"E-NAME", "gpu-hook/gpus=device=7: nvidia.com/gpu=7"},
		},
		{"count and ids", annotated("count=2,device=0"), nil, []string{"E-REQUEST", "both a count and device ids"}},
		{"no --gpus syntax", annotated("some"), nil, []string{"E-REQUEST", `"some"`}},
		{"empty annotation", annotated(""), nil, []string{"E-REQUEST", "empty"}},
		{"empty id", annotated("device="), nil, []string{"E-REQUEST", "empty"}},
		{"absurd count", annotated("1000000"), nil, []string{"E-REQUEST", "1000000"}},
		{"unknown driver", annotated("driver=acme"), nil, []string{"E-REQUEST", `"acme"`, "nvidia, amd"}},
		{"unknown capability", annotated(`"capabilities=compute,magic"`), nil, []string{"E-REQUEST", "magic"}},
		{"phrase of podman's", annotated("device=Permission Denied"), nil, []string{"E-REQUEST"}},
		{"bad CDI annotation", annotated2("cdi.k8s.io/a", "0"), nil, []string{"E-REQUEST", "cdi.k8s.io/a"}},
		{
			"bad id in environment", withEnv("NVIDIA_VISIBLE_DEVICES=0,../x"), nil,
			[]string{"E-REQUEST", "NVIDIA_VISIBLE_DEVICES"},
		},

		{
			"no Spec", device0, func(c *container) error { return os.RemoveAll(c.host.Path("cdi")) },
			[]string{"E-NOSPEC", "missing"},
		},
		{
			"broken Spec", device0, func(c *container) error { return c.host.Write("cdi/nvidia.yaml", "kind: [", 0o644) },
			[]string{"E-PARSE", "nvidia.yaml"},
		},
		{"null in a Spec", device0, func(c *container) error {
			return c.host.Write("cdi/nvidia.yaml", spec+"    deviceNodes: [null]\n", 0o644)
		}, []string{"E-PARSE", "devices[0].containerEdits.deviceNodes[0] is null"}},
		{
			"Spec of another owner", device0,
			func(c *container) error { return os.Chown(c.host.Path("cdi/nvidia.yaml"), 1234, 0) },
			[]string{"E-TRUST", "uid 1234"},
		},
		{
			"Spec that others may write", device0,
			func(c *container) error { return os.Chmod(c.host.Path("cdi/nvidia.yaml"), 0o666) },
			[]string{"E-TRUST", "0666"},
		},
		{
			"Spec directory that others may write", device0,
			func(c *container) error { return os.Chmod(c.host.Path("cdi"), 0o777) },
			[]string{"E-TRUST", "0777"},
		},
		{"Spec that is a FIFO", device0, func(c *container) error {
			return syscall.Mkfifo(c.host.Path("cdi/a.json"), 0o644)
		}, nil},
		{
			"missing node", device0, func(c *container) error { return os.Remove(c.host.Path("dev/nvidia0")) },
			[]string{"E-NODE", "dev/nvidia0", "missing"},
		},
		{"node that is a file", device0, func(c *container) error {
			if err := os.Remove(c.host.Path("dev/nvidia0")); err != nil {
				return err
			}
			return c.host.Write("dev/nvidia0", "", 0o666)
		}, []string{"E-NODE", "a regular file"}},
		{"numbers that have changed", device0, func(c *container) error {
			node := fmt.Sprintf("    deviceNodes: [{path: /dev/nvidia0, hostPath: %s, major: 510, minor: 0}]\n",
				c.host.Path("dev/nvidia0"))
			return c.host.Write("cdi/nvidia.yaml", spec+node, 0o644)
		}, []string{"E-MAJOR", "510:0", "1:11"}},
		{
			"missing library", device0, func(c *container) error { return os.RemoveAll(c.host.Path("lib")) },
			[]string{"E-STALE", "libcuda.so", "missing"},
		},
		{"mount option", device0, func(c *container) error {
			mount := fmt.Sprintf("    mounts: [{hostPath: %s, containerPath: /x, options: [rshared]}]\n", c.host.Path("lib"))
			return c.host.Write("cdi/nvidia.yaml", spec+mount, 0o644)
		}, []string{"E-MOUNT", `"rshared"`}},
		{"mount of the host's root", device0, func(c *container) error {
			return c.host.Write("cdi/nvidia.yaml", spec+"    mounts: [{hostPath: /, containerPath: /x}]\n", 0o644)
		}, []string{"E-MOUNT"}},
		{"mount from the container's own root", device0, func(c *container) error {
			mount := fmt.Sprintf("    mounts: [{hostPath: %s, containerPath: /x}]\n", c.rootfs("/etc"))
			return c.host.Write("cdi/nvidia.yaml", spec+mount, 0o644)
		}, []string{"E-MOUNT", "own root filesystem"}},
		{"path with ..", device0, func(c *container) error {
			mount := fmt.Sprintf("    mounts: [{hostPath: %s, containerPath: /x/../../y}]\n", c.host.Path("lib"))
			return c.host.Write("cdi/nvidia.yaml", spec+mount, 0o644)
		}, []string{"E-MOUNT", `".."`}},
		{"missing hook", device0, func(c *container) error {
			return c.host.Write("cdi/nvidia.yaml", spec+"    hooks: [{hookName: createContainer, path: /nowhere/hook}]\n", 0o644)
		}, []string{"E-HOOK", "/nowhere"}},
		{"hook that others may write", device0, func(c *container) error {
			if err := c.host.Write("bin/hook", "#!/bin/sh\n", 0o777); err != nil {
				return err
			}
			hook := fmt.Sprintf("    hooks: [{hookName: createContainer, path: %s}]\n", c.host.Path("bin/hook"))
			return c.host.Write("cdi/nvidia.yaml", spec+hook, 0o644)
		}, []string{"E-HOOK", "0777"}},
		{"network device", device0, func(c *container) error {
			newer := strings.Replace(spec, "0.5.0", "1.1.0", 1)
			return c.host.Write("cdi/nvidia.yaml", newer+"    netDevices: [{hostInterfaceName: eth9, name: eth0}]\n", 0o644)
		}, []string{"E-NETDEV", "eth9"}},

		{
			"unknown key in config.toml", device0,
			func(c *container) error { return c.host.Write("config.toml", "[cdi]\n\nspec-dir = []\n", 0o644) },
			[]string{"E-CONFIG", "line 3", "cdi.spec-dir"},
		},
		{
			"config.toml that others may write", device0,
			func(c *container) error { return os.Chmod(c.host.Path("config.toml"), 0o666) },
			[]string{"E-CONFIG", "0666"},
		},
		{
			"no config.toml", device0, func(c *container) error { return os.Remove(c.host.Path("config.toml")) },
			[]string{"E-CONFIG", "config.toml"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newBundle(t, test.option)
			if test.break_ != nil {
				if err := test.break_(c); err != nil {
					t.Fatal(err)
				}
			}
			c.start()
			r := c.run()
			if test.parts == nil {
				r.applied(t)
				return
			}
			r.refused(t, test.parts...)
			c.unchanged()
			if r.report != nil && (r.report.Result != "refused" || len(r.report.Errors) != 1) {
				t.Errorf("record: %s %+v", r.report.Result, r.report.Errors)
			}
			quiet := newBundle(t)
			if test.break_ != nil {
				if err := test.break_(quiet); err != nil {
					t.Fatal(err)
				}
			}
			if r := quiet.start().run(); r.status != 0 || r.stderr != "" || r.report != nil {
				t.Errorf("a container that asks for nothing: status %d, %s", r.status, r.stderr)
			}
			quiet.unchanged()
		})
	}
}

func annotated2(key, value string) option {
	return annotations(map[string]string{key: value})
}

// The process in the state must be a child of this runtime, in namespaces of its own.
func TestProcessChecks(t *testing.T) {
	c := newContainer(t, annotated("device=0"))
	state := func(pid int, status string) string {
		return fmt.Sprintf(`{"ociVersion":"1.0.2","id":"test","status":%q,"pid":%d,"bundle":%q}`, status, pid, c.bundle)
	}
	sleep, err := os.StartProcess("/bin/sleep", []string{"sleep", "600"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleep.Kill(); _, _ = sleep.Wait() })
	for _, test := range []struct {
		name, state string
		parts       []string
	}{
		{"pid 0", state(0, "creating"), []string{"E-STATE", "process 0"}},
		{"pid 1", state(1, "creating"), []string{"E-STATE", "process 1"}},
		{"our own parent", state(os.Getpid(), "creating"), []string{"E-STATE", "not of the runtime"}},
		{"a process that is gone", state(1<<22-1, "creating"), []string{"E-STATE", "gone"}},
		{"status", state(c.pid, "running"), []string{"E-STATE", `"running"`}},
		{"the host's mount namespace", state(sleep.Pid, "creating"), []string{"E-STATE", "mount namespace"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.runOn(test.state).refused(t, test.parts...)
			c.unchanged()
		})
	}
	t.Run("another runtime's child", func(t *testing.T) {
		// With a shell in between, the hook's parent is not the holder's parent.
		c.runCommand(state(c.pid, "creating"), "/bin/sh", "-c", `"$@"; exit $?`, "sh",
			require.GPUHook(t), "--config", c.host.Path("config.toml"), "createRuntime").
			refused(t, "E-STATE", "not of the runtime")
	})
	t.Run("check-parent off", func(t *testing.T) {
		if err := c.host.Write("config.toml", c.host.Config()+"[process]\ncheck-parent = false\n", 0o644); err != nil {
			t.Fatal(err)
		}
		c.runCommand(state(c.pid, "creating"), "/bin/sh", "-c", `"$@"; exit $?`, "sh",
			require.GPUHook(t), "--config", c.host.Path("config.toml"), "createRuntime").applied(t)
	})
}

func TestIncompleteBundles(t *testing.T) {
	for _, test := range []struct {
		name  string
		edit  func(config map[string]any)
		parts []string
	}{
		{"no process", func(c map[string]any) { delete(c, "process") }, []string{"E-BUNDLE", "no process"}},
		{"no root", func(c map[string]any) { delete(c, "root") }, []string{"E-BUNDLE", "no root"}},
		{
			"root of the host", func(c map[string]any) { c["root"] = map[string]any{"path": "/"} },
			[]string{"E-BUNDLE", "root of the host"},
		},
		{"root that climbs to the host's", func(c map[string]any) {
			c["root"] = map[string]any{"path": strings.Repeat("../", 40)}
		}, []string{"E-BUNDLE", "root of the host"}},
		{
			"root that is not there", func(c map[string]any) { c["root"] = map[string]any{"path": "nowhere"} },
			[]string{"E-BUNDLE", "nowhere"},
		},
		{
			"root that is not mounted", func(c map[string]any) { c["root"] = map[string]any{"path": "rootfs/usr"} },
			[]string{"E-BUNDLE", "not mounted"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, annotated("device=0"), edited(test.edit))
			c.run().refused(t, test.parts...)
			c.unchanged()
		})
	}
}

// A root filesystem of a hostile image has links that lead out of it, and other obstacles, wherever something is made.
// Nothing outside changes (CVE-2024-0133, CVE-2019-19921, CVE-2025-31133, CVE-2025-52565, CVE-2026-41579).
func TestHostileRootfs(t *testing.T) {
	for _, test := range []struct {
		name    string
		plant   func(c *container) error
		refused bool
	}{
		{
			"library folder is an absolute link out",
			func(c *container) error { return link(c, c.outside(), "/usr/lib/x86_64-linux-gnu") }, true,
		},
		{
			"library folder is a relative link out",
			func(c *container) error { return link(c, "../../../../outside", "/usr/lib/x86_64-linux-gnu") }, true,
		},
		{
			"library folder is an absolute link within",
			func(c *container) error { return link(c, "/usr/lib", "/usr/lib/x86_64-linux-gnu") }, false,
		},
		{"library folder climbs out and comes back in", func(c *container) error {
			return link(c, strings.Repeat("../", 20)+"usr/lib", "/usr/lib/x86_64-linux-gnu")
		}, false},
		{"library is a dangling link out", func(c *container) error {
			if err := os.MkdirAll(c.rootfs("/usr/lib/x86_64-linux-gnu"), 0o755); err != nil {
				return err
			}
			return link(c, c.outside()+"/new", libPath)
		}, true},
		{"library is a directory", func(c *container) error { return os.MkdirAll(c.rootfs(libPath), 0o755) }, true},
		{
			"library folder is a file",
			func(c *container) error { return os.WriteFile(c.rootfs("/usr/lib/x86_64-linux-gnu"), nil, 0o644) }, true,
		},
		{"dev is a link out", func(c *container) error {
			if err := os.Remove(c.rootfs("/dev")); err != nil {
				return err
			}
			return link(c, c.outside(), "/dev")
		}, true},
		{
			"library folder is a link to proc",
			func(c *container) error { return link(c, "/proc/sys/kernel", "/usr/lib/x86_64-linux-gnu") }, true,
		},
		{
			"a loop of links",
			func(c *container) error { return link(c, "x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu") }, true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newBundle(t, annotated("device=0"))
			if err := os.MkdirAll(c.outside(), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(c.outside(), "marker"), []byte("untouched"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := test.plant(c); err != nil {
				t.Fatal(err)
			}
			c.start()
			r := c.run()
			if test.refused {
				r.refused(t, "E-")
				c.unchanged()
			} else {
				r.applied(t)
			}
			entries, err := os.ReadDir(c.outside())
			if err != nil || len(entries) != 1 {
				t.Errorf("outside holds %v, %v", entries, err)
			}
		})
	}
}

func (c *container) outside() string { return filepath.Join(filepath.Dir(c.bundle), "outside") }

func link(c *container, target, path string) error { return os.Symlink(target, c.rootfs(path)) }

// A root filesystem that is shared with the host is refused, because mounts in it would reach the host.
func TestSharedRootIsRefused(t *testing.T) {
	c := newBundle(t, annotated("device=0"), shared)
	if err := unix.Mount(c.rootfs(""), c.rootfs(""), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(c.rootfs(""), unix.MNT_DETACH) })
	if err := unix.Mount("", c.rootfs(""), "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.run().refused(t, "E-MOUNT", "shared with the host")
	c.unchanged()
}

// crun discards what a hook writes. If the parent is a program of that name, gpu-hook writes the reason to the parent's
// standard error, once. It does so for no other parent.
func TestCrunIsToldWhy(t *testing.T) {
	c := newContainer(t, annotated("count=many"))
	data, err := json.Marshal(c.state())
	c.must(err)
	dir := t.TempDir()
	for _, test := range []struct {
		runtime, stderr string
		told            bool
	}{
		{"crun", "2>/dev/null", true},
		{"crun", "", true},
		{"other", "2>/dev/null", false},
	} {
		runtime := filepath.Join(dir, test.runtime)
		_ = os.Symlink("/bin/sh", runtime)
		script := `("$0" --config "$1" createRuntime ` + test.stderr + `); exit $?`
		r := c.runCommand(string(data), runtime, "-c", script, require.GPUHook(t), c.host.Path("config.toml"))
		if test.told {
			r.refused(t, "E-REQUEST", "many")
		} else if r.stderr != "" {
			t.Errorf("%s is told: %s", test.runtime, r.stderr)
		}
	}
}
