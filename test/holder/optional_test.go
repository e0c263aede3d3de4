package holder

import (
	"os"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
)

// optionalSpec has an edit of each kind that fails only after a part of it was made, because of a name that is too long
// for a directory entry.
const optionalSpec = `
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - {path: /dev/nvidia0, hostPath: HOST/dev/nvidia0}
containerEdits:
  deviceNodes:
  - {path: /dev/extra/LONG, hostPath: HOST/dev/nvidia1}
  mounts:
  - {hostPath: HOST/version, containerPath: /usr/share/egl/deep/LONG, options: [ro, bind]}
  - {hostPath: HOST/version, containerPath: /bin, options: [ro, bind]}
  - {hostPath: HOST/lib/libcuda.so.580.65.06, containerPath: /opt/libcuda.so, options: [ro, bind]}
  hooks:
  - {hookName: createContainer, path: HOST/bin/hook, args: [hook, chmod]}
  - {hookName: createContainer, path: HOST/bin/hook, args: [hook, needed]}
`

// optional starts a container with optionalSpec, with hook as the program of its hooks.
func optional(t *testing.T, rule, hook string) *container {
	t.Helper()
	c := newBundle(t, annotated("device=0"))
	c.spec(strings.ReplaceAll(optionalSpec, "LONG", strings.Repeat("x", 256)))
	config := strings.Replace(c.host.Config(), "[cdi]\n", "[cdi]\noptional = ["+rule+"]\n", 1)
	if err := c.host.Write("config.toml", config, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.host.Write("bin/hook", "#!/bin/sh\necho $1 >>"+c.host.Path("log")+"\n"+hook, 0o755); err != nil {
		t.Fatal(err)
	}
	return c.start()
}

const all = `"node:/dev/extra/*", "mount:/usr/share/egl/**", "mount:/bin", "hook:chmod"`

// An optional edit that fails is left out, with nothing of it left behind; all others are made.
func TestOptionalEditsAreLeftOut(t *testing.T) {
	c := optional(t, all, "[ $1 != chmod ] || { echo cannot change it; exit 7; }\n")
	r := c.run()
	r.applied(t)
	e := r.report.Edits
	for i, want := range []devices.Status{devices.Skipped, devices.Applied, devices.Skipped} { // they go by depth
		if m := e.Mounts[i]; m.Status != want {
			t.Errorf("mount on %s: %s", m.ContainerPath, m.Status)
		}
	}
	if e.DeviceNodes[0].Status != devices.Skipped || e.DeviceNodes[1].Status != devices.Applied {
		t.Errorf("nodes: %s %s", e.DeviceNodes[0].Status, e.DeviceNodes[1].Status)
	}
	if e.Hooks[0].Status != devices.Skipped || e.Hooks[1].Status != devices.Applied {
		t.Errorf("hooks: %s %s", e.Hooks[0].Status, e.Hooks[1].Status)
	}
	for _, path := range []string{"/dev/extra", "/usr/share"} {
		if got := c.sees(path); got != "missing" {
			t.Errorf("%s is left behind: %s", path, got)
		}
	}
	if c.sees("/dev/nvidia0") != node || !strings.HasPrefix(c.sees("/opt/libcuda.so"), "100644") {
		t.Error("a required edit is missing")
	}
	var skipped []string
	for _, w := range r.report.Warnings {
		if w.Code == "W-SKIPPED" {
			skipped = append(skipped, w.Message)
		}
	}
	for i, parts := range [][]string{
		{"mount on /bin", "a directory", `"mount:/bin" of optional`},
		{"mount on /usr/share/egl/deep/", "name too long", `"mount:/usr/share/egl/**"`},
		{"device node /dev/extra/", "name too long", `"node:/dev/extra/*"`},
		{"createContainer hook", "exit status 7", "cannot change it", `"hook:chmod"`},
	} {
		for _, part := range parts {
			if i >= len(skipped) || !strings.Contains(skipped[i], part) {
				t.Errorf("no %q in warning %d of: %s", part, i, skipped)
			}
		}
	}
	if data, _ := os.ReadFile(c.host.Path("log")); string(data) != "chmod\nneeded\n" {
		t.Errorf("hooks that ran: %s", data)
	}
}

// If the rule does not name an edit, its failure keeps the container from starting.
func TestOthersAreRequired(t *testing.T) {
	for _, test := range []struct{ entry, code, part string }{
		{`"mount:/bin"`, "E-MOUNT", "/bin"},
		{`"mount:/usr/share/egl/**"`, "E-MOUNT", "/usr/share/egl"},
		{`"node:/dev/extra/*"`, "E-NODE", "/dev/extra"},
		{`"hook:chmod"`, "E-HOOK", "exit status 7"},
	} {
		t.Run(test.entry, func(t *testing.T) {
			rule := strings.Replace(strings.Replace(all, test.entry, "", 1), ", ,", ",", 1)
			c := optional(t, strings.Trim(rule, ", "), "[ $1 != chmod ] || exit 7\n")
			r := c.run()
			r.refused(t, test.code, test.part)
			if err := os.RemoveAll(c.host.Path("log")); err != nil {
				t.Fatal(err)
			}
			c.unchanged()
		})
	}
}

// An optional hook is killed at its own timeout or, if it has none, after half of gpu-hook's remaining time. The other
// edits are still made.
func TestOptionalHookThatHangs(t *testing.T) {
	c := optional(t, all, "[ $1 != chmod ] || exec sleep 600\n")
	data, err := os.ReadFile(c.host.Path("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.host.Write("config.toml", string(data)+"[limits]\ntimeout = \"4s\"\n", 0o644); err != nil {
		t.Fatal(err)
	}
	r := c.run()
	r.applied(t)
	if h := r.report.Edits.Hooks; h[0].Status != devices.Skipped || h[1].Status != devices.Applied {
		t.Errorf("hooks: %s %s", h[0].Status, h[1].Status)
	}
}

// If gpu-hook is told to end, it ends, whatever is running.
func TestSignalWhileAnOptionalHookRuns(t *testing.T) {
	c := optional(t, all, "[ $1 != chmod ] || { kill -TERM $PPID; exec sleep 600; }\n")
	r := c.run()
	r.refused(t, "E-HOOK", "told to end")
	for _, w := range r.report.Warnings {
		if w.Code == "W-SKIPPED" && strings.Contains(w.Message, "hook") {
			t.Errorf("it is taken for a hook that failed: %s", w.Message)
		}
	}
	if err := os.Remove(c.host.Path("log")); err != nil {
		t.Fatal(err)
	}
	c.unchanged()
}

// If the start fails, an optional hook that had failed is named, because what it did cannot be undone.
func TestOptionalHookIsNamedAsLeftover(t *testing.T) {
	c := optional(t, all, "exit 7\n")
	r := c.run()
	r.refused(t, "E-HOOK", "exit status 7")
	left := 0
	for _, w := range r.report.Warnings {
		if w.Code == "W-LEFTOVER" {
			left++
		}
	}
	if left != 2 {
		t.Errorf("%d programs are named: %+v", left, r.report.Warnings)
	}
}

// A Spec that was not written for this host is refused before anything is changed.
func TestStaleSpec(t *testing.T) {
	c := newContainer(t, annotated("driver=nvidia.cdi,device=0"))
	if err := os.Remove(c.host.Path("lib/libcuda.so.580.65.06")); err != nil {
		t.Fatal(err)
	}
	if err := c.host.Write("version", "590.48.01\n", 0o644); err != nil {
		t.Fatal(err)
	}
	c.before = c.snapshot()
	r := c.run()
	r.refused(t, "E-STALE", "written for driver 580.65.06, the host runs 590.48.01",
		"1 of its 2 host files are missing")
	hint := "gpu-hook: fix: " + c.host.Path("bin/nvidia-ctk") + " cdi generate --output=" + c.host.Path("cdi/nvidia.yaml")
	if !strings.Contains(r.stderr, hint) {
		t.Errorf("the fix does not generate it again: %s", r.stderr)
	}
	c.unchanged()
}
