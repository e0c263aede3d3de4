package holder

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
)

const lateSpec = `
cdiVersion: "1.1.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/nvidia0, hostPath: HOST/dev/nvidia0}]
    env: [NVIDIA_VISIBLE_DEVICES=void, CUDA_HOME=/cuda]
    additionalGids: [0, 39]
    intelRdt: {closID: gold}
    hooks:
    - {hookName: startContainer, path: /nowhere/a}
    - {hookName: poststart, path: /nowhere/b}
    - {hookName: poststop, path: /nowhere/c}
`

func lates() []string {
	return []string{
		"variable CUDA_HOME=/cuda", "group 39", "Intel RDT class gold", "startContainer hook /nowhere/a",
		"poststart hook /nowhere/b", "poststop hook /nowhere/c",
	}
}

// Each edit that a createRuntime hook cannot make is reported by name, and the others are made.
func TestLateEdits(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(lateSpec)
	r := c.start().run()
	r.applied(t)
	if got := c.sees("/dev/nvidia0"); got != node {
		t.Errorf("node: %s", got)
	}
	w := r.report.Warnings[0]
	for _, what := range lates() {
		if w.Code != "W-LATE" || !strings.Contains(w.Message, what) {
			t.Errorf("no %q in %+v", what, w)
		}
	}
	// No program needs the variable that keeps a vendor's own hook away, and a Spec cannot add root's group.
	if strings.Contains(w.Message, "void") || strings.Contains(w.Message, "group 0") {
		t.Errorf("too much in %+v", w)
	}
	e := r.report.Edits
	statuses := []devices.Status{
		e.Env[0].Status, e.Env[1].Status, e.AdditionalGIDs[0].Status, e.IntelRdt[0].Status, e.Hooks[0].Status,
		e.Hooks[1].Status, e.Hooks[2].Status,
	}
	for i, s := range statuses {
		if s != devices.Late {
			t.Errorf("edit %d: %s", i, s)
		}
	}
}

// If the policy is "error", a late edit is refused before anything is done.
func TestLateEditsRefused(t *testing.T) {
	for i, only := range append(lates(), "") {
		spec := lateSpec
		if only != "" {
			spec = lateSpec[:strings.Index(lateSpec, "    env:")] + []string{
				"    env: [CUDA_HOME=/cuda]", "    additionalGids: [39]", "    intelRdt: {closID: gold}",
				"    hooks: [{hookName: startContainer, path: /nowhere/a}]",
				"    hooks: [{hookName: poststart, path: /nowhere/b}]",
				"    hooks: [{hookName: poststop, path: /nowhere/c}]",
			}[i] + "\n"
		}
		c := newBundle(t, annotated("device=0"))
		c.spec(spec)
		if err := c.host.Write(
			"config.toml", strings.Replace(c.host.Config(), "[cdi]\n", "[cdi]\non-late = \"error\"\n", 1), 0o644,
		); err != nil {
			t.Fatal(err)
		}
		r := c.start().run()
		r.refused(t, "E-LATE", only)
		c.unchanged()
		if r.report.Result != "refused" {
			t.Errorf("%s: result %q", only, r.report.Result)
		}
	}
}

// An edit that an engine with CDI support has put into config.json is present, not late.
func TestLateEditsThatArePresent(t *testing.T) {
	c := newBundle(t, annotated("device=0"), edited(func(config map[string]any) {
		process := config["process"].(map[string]any)
		process["env"] = append(process["env"].([]string), "CUDA_HOME=/cuda")
		process["user"] = map[string]any{"uid": 0, "gid": 0, "additionalGids": []int{39}}
		config["linux"].(map[string]any)["intelRdt"] = map[string]any{"closID": "gold"}
		hook := func(path string) any { return []any{map[string]any{"path": path}} }
		config["hooks"] = map[string]any{
			"startContainer": hook("/nowhere/a"), "poststart": hook("/nowhere/b"), "poststop": hook("/nowhere/c"),
		}
	}))
	c.spec(lateSpec)
	if err := c.host.Write(
		"config.toml", strings.Replace(c.host.Config(), "[cdi]\n", "[cdi]\non-late = \"error\"\n", 1), 0o644,
	); err != nil {
		t.Fatal(err)
	}
	c.start().run().applied(t)
}
