package hook

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// forged returns the claim in a spec with what another made of it.
func forged(t *testing.T, spec *specs.Spec, change func(*claim)) string {
	t.Helper()
	c := &claim{}
	if err := json.Unmarshal([]byte(spec.Annotations[AnnotationPlan]), c); err != nil {
		t.Fatal(err)
	}
	change(c)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A claim without what it claims grants nothing: neither one that is made up nor a true one on another container.
func TestForgedClaim(t *testing.T) {
	g := newGround(t)
	if err := g.host.Write("bin/nvidia-container-runtime-hook", "#!/bin/sh\n", 0o755); err != nil {
		t.Fatal(err)
	}
	true0, _ := g.precreate(g.container([]string{"NVIDIA_VISIBLE_DEVICES=0"}, nil))
	claim0 := true0.Annotations[AnnotationPlan]
	trueMIG, _ := g.precreate(g.container([]string{"NVIDIA_VISIBLE_DEVICES=1:0"}, nil)) // which only the delegate knows
	all := "all"
	for _, test := range []struct {
		name   string
		env    []string
		claim  string
		result string
		given  string
	}{
		{"no JSON", nil, "x", report.ResultNothing, ""},
		{"empty", nil, "{}", report.ResultNothing, ""},
		{"long", nil, strings.Repeat(" ", maxClaim+1), report.ResultNothing, ""},
		{"another container's, nothing of it there", nil, claim0, report.ResultNothing, ""},
		{"its own, but void alone there", []string{"NVIDIA_VISIBLE_DEVICES=void"}, claim0, report.ResultNothing, ""},
		{"its own, another device asked for", []string{"NVIDIA_VISIBLE_DEVICES=1"}, claim0, report.ResultPlanned, "nvidia.com/gpu=1"},
		{"a delegate's", []string{"NVIDIA_VISIBLE_DEVICES=void"}, trueMIG.Annotations[AnnotationPlan], report.ResultNothing, ""},
		{"a delegate's, of another device", []string{"NVIDIA_VISIBLE_DEVICES=1"}, trueMIG.Annotations[AnnotationPlan], report.ResultPlanned, "nvidia.com/gpu=1"},
		{"another story of the environment", []string{"NVIDIA_VISIBLE_DEVICES=void"}, forged(t, true0, func(c *claim) { c.Env["NVIDIA_VISIBLE_DEVICES"] = &all }), report.ResultNothing, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.later(g.container(test.env, map[string]string{AnnotationPlan: test.claim}))
			if r.Result != test.result || strings.Join(r.CDIDevices, " ") != test.given || !strings.Contains(codes(r), "W-PLAN") {
				t.Errorf("%s, %v, %s: %+v", r.Result, r.CDIDevices, codes(r), r.Errors)
			}
			if slices.Contains(statuses(r), devices.Present) {
				t.Errorf("something is taken to be there: %v", statuses(r))
			}
		})
	}
	// One that knows the digest of what it wants, where another device is.
	trueAll, _ := g.precreate(g.container([]string{"NVIDIA_VISIBLE_DEVICES=all"}, nil))
	more, _ := g.precreate(g.container([]string{"NVIDIA_VISIBLE_DEVICES=0"}, nil))
	more.Annotations[AnnotationPlan] = trueAll.Annotations[AnnotationPlan]
	if r := g.later(more); !strings.Contains(codes(r), "W-PLAN") || r.Result != report.ResultNothing {
		t.Errorf("all: %s %s", r.Result, codes(r))
	}
	// A claim under CRI-O, where no stage could have written it, although everything is there.
	true0.Annotations["io.container.manager"] = "cri-o"
	if r := g.later(true0); !strings.Contains(codes(r), "W-PLAN") || r.Result != report.ResultNothing {
		t.Errorf("CRI-O: %s %s", r.Result, codes(r))
	}
}

// A claim about a plan that has changed since is stale.
func TestStaleClaim(t *testing.T) {
	g := newGround(t)
	edited, _ := g.precreate(g.container(nil, map[string]string{AnnotationGPUs: "device=0"}))
	for name, change := range map[string]func(spec *specs.Spec){
		"a mount is gone":     func(spec *specs.Spec) { spec.Mounts = spec.Mounts[1:] },
		"a node is gone":      func(spec *specs.Spec) { spec.Linux.Devices = nil },
		"a group is gone":     func(spec *specs.Spec) { spec.Process.User.AdditionalGids = nil },
		"a late hook is gone": func(spec *specs.Spec) { spec.Hooks.Poststop = nil },
		"a variable is gone":  func(spec *specs.Spec) { spec.Process.Env = []string{"NVIDIA_VISIBLE_DEVICES=void"} },
		"another is asked for": func(spec *specs.Spec) {
			spec.Annotations[AnnotationGPUs] = "device=1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			var spec specs.Spec
			data, _ := json.Marshal(edited)
			if err := json.Unmarshal(data, &spec); err != nil {
				t.Fatal(err)
			}
			change(&spec)
			r := g.later(&spec)
			if r.Result != report.ResultPlanned || !strings.Contains(codes(r), "W-PLAN") {
				t.Errorf("%s, %s", r.Result, codes(r))
			}
		})
	}
}
