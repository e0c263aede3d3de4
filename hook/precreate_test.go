package hook

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/containers"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// ground is a GPU host with one container, first as the engine has it and then as precreate leaves it.
type ground struct {
	t       *testing.T
	host    *gpuhost.Host
	options Options
	bundle  string
}

func newGround(t *testing.T) *ground {
	t.Helper()
	require.Root(t)
	dir := t.TempDir()
	host, err := gpuhost.New(filepath.Join(dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	const variable = "  - NVIDIA_VISIBLE_DEVICES=void\n"
	spec := strings.Replace(host.Spec(), variable, variable+"  - FROM_SPEC=1\n", 1) +
		"  additionalGids: [44]\n" +
		"  hooks:\n" +
		"  - {hookName: startContainer, path: /in/the/container, args: [x]}\n" +
		"  - {hookName: poststop, path: /bin/true, args: [\"true\"]}\n"
	spec = strings.Replace(spec, `cdiVersion: "0.5.0"`, `cdiVersion: "0.7.0"`, 1)
	if err := host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
		t.Fatal(err)
	}
	g := &ground{t, host, Options{Config: host.Path("config.toml")}, filepath.Join(dir, "bundle")}
	if err := os.MkdirAll(filepath.Join(g.bundle, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	return g
}

// container is one that asks by environment and annotations.
func (g *ground) container(env []string, annotations map[string]string) *specs.Spec {
	return &specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: filepath.Join(g.bundle, "rootfs")}, Annotations: annotations,
		Process: &specs.Process{
			Args: []string{"true"}, Cwd: "/", Env: append([]string{"PATH=/bin"}, env...),
			Capabilities: &specs.LinuxCapabilities{},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: "mount"}}, CgroupsPath: "machine.slice:libpod:" + id,
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
		},
		Hooks: &specs.Hooks{CreateRuntime: []specs.Hook{
			{Path: "/usr/local/bin/gpu-hook", Args: []string{"gpu-hook", "createRuntime"}},
		}},
	}
}

const id = "094599e9729fa7a8365ccfcc3e0d11bb63384e88f961081d35d06d95bf7d4627"

// precreate runs the stage on a spec.
func (g *ground) precreate(spec *specs.Spec) (*specs.Spec, *report.Report) {
	g.t.Helper()
	in, err := json.Marshal(spec)
	if err != nil {
		g.t.Fatal(err)
	}
	s := PlanSpec(g.options, in)
	edited := &specs.Spec{}
	if err := json.Unmarshal(s.Render(), edited); err != nil {
		g.t.Fatal(err)
	}
	return edited, s.Report
}

// later explains what createRuntime makes of a spec.
func (g *ground) later(spec *specs.Spec) *report.Report {
	g.t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(g.bundle, "config.json"), data, 0o600); err != nil {
		g.t.Fatal(err)
	}
	return ExplainBundle(g.options, g.bundle)
}

func codes(r *report.Report) string {
	var out []string
	for _, m := range append(slices.Clone(r.Warnings), r.Errors...) {
		out = append(out, string(m.Code))
	}
	return strings.Join(out, " ")
}

func statuses(r *report.Report) (out []devices.Status) {
	for _, s := range r.Edits.Statuses() {
		if !slices.Contains(out, *s) {
			out = append(out, *s)
		}
	}
	return out
}

// Both stages make the same plan, whatever source asks. The first makes what the second could not, and nothing else;
// the second finds that there, and the rest to do.
func TestStages(t *testing.T) {
	g := newGround(t)
	for name, test := range map[string]struct {
		spec    *specs.Spec
		visible string // what the container's program is to see
		codes   string
	}{
		"annotation":  {g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"}), "void", ""},
		"environment": {g.container([]string{"NVIDIA_VISIBLE_DEVICES=0", "FROM_SPEC=2"}, nil), "0", ""},
		"both": {
			g.container([]string{"NVIDIA_VISIBLE_DEVICES=1"}, map[string]string{request.AnnotationGPUs: "device=0"}),
			"1", "W-OVERRIDDEN",
		},
		"CDI annotation": {g.container(nil, map[string]string{"cdi.k8s.io/x": "nvidia.com/gpu=all"}), "void", ""},
		"an old mark too": {
			g.container([]string{"NVIDIA_VISIBLE_DEVICES=0"}, map[string]string{request.AnnotationPlan: `{"digest":"x"}`}),
			"0", "W-PLAN",
		},
	} {
		t.Run(name, func(t *testing.T) {
			edited, first := g.precreate(test.spec)
			if first.Result != plan.ResultPlanned || first.Container.Stage != StagePrecreate ||
				first.Container.ID != id || codes(first) != test.codes {
				t.Fatalf("%s %+v: %s", first.Result, first.Container, codes(first))
			}
			if len(edited.Mounts)+len(edited.Linux.Devices)+len(edited.Hooks.CreateContainer) > 0 ||
				len(edited.Hooks.CreateRuntime) != 1 {
				t.Errorf("precreate does the later stage's work: %+v", edited)
			}
			value, _ := (&state.Container{Spec: edited}).Env("NVIDIA_VISIBLE_DEVICES")
			if value != test.visible || !slices.Contains(edited.Process.Env, "FROM_SPEC=1") {
				t.Errorf("environment: %q", edited.Process.Env)
			}
			if !slices.Equal(edited.Process.User.AdditionalGids, []uint32{44}) ||
				len(edited.Hooks.Poststop)+len(edited.Hooks.StartContainer) != 2 ||
				len(edited.Linux.Resources.Devices) < 2 {
				t.Errorf("something is lacking: %+v", edited)
			}
			second := g.later(edited)
			for _, status := range second.Edits.Statuses() {
				if *status == devices.Late && test.visible == "void" {
					t.Errorf("late: %+v", second.Edits)
				}
			}
			if s := statuses(second); !slices.Contains(s, devices.Present) || !slices.Contains(s, devices.Apply) ||
				codes(second) != test.codes {
				t.Errorf("createRuntime: %v %s", s, codes(second))
			}
			if got, want := second.CDIDevices, first.CDIDevices; !slices.Equal(got, want) {
				t.Errorf("createRuntime gives %v, precreate planned %v", got, want)
			}
			again, _ := g.precreate(edited)
			if diff := cmp.Diff(edited, again); diff != "" {
				t.Errorf("a second precreate changes it: %s", diff)
			}
		})
	}
}

// Of a wish nothing is written that could stop the start, or would stay where createRuntime gives the wish up.
func TestStagesOfAWish(t *testing.T) {
	g := newGround(t)
	for name, env := range map[string]string{"all": "NVIDIA_VISIBLE_DEVICES=all", "legacy image": "CUDA_VERSION=9.0"} {
		t.Run(name, func(t *testing.T) {
			edited, _ := g.precreate(g.container([]string{env}, nil))
			if len(edited.Hooks.StartContainer)+len(edited.Hooks.Poststop) > 0 || len(edited.Linux.Resources.Devices) != 1 {
				t.Errorf("too much is written: %+v %+v", edited.Hooks, edited.Linux.Resources.Devices)
			}
			if !slices.Contains(edited.Process.Env, "FROM_SPEC=1") ||
				!slices.Contains(edited.Process.Env, env) ||
				slices.Contains(edited.Process.Env, "NVIDIA_VISIBLE_DEVICES=void") {
				t.Errorf("environment: %q", edited.Process.Env)
			}
			if second := g.later(edited); second.Result != plan.ResultPlanned || len(second.Grants) != 1 {
				t.Errorf("createRuntime: %s %+v", second.Result, second.Grants)
			}
		})
	}
}

// What is asked for by a container's name in its pod, which podman tells only later, is left to the later stage whole.
func TestPrecreateWithoutAName(t *testing.T) {
	g := newGround(t)
	spec := g.container(nil, map[string]string{request.AnnotationGPUs: "all", request.AnnotationGPUs + ".b": "device=1"})
	edited, first := g.precreate(spec)
	if diff := cmp.Diff(spec, edited); diff != "" || first.Result != plan.ResultNothing {
		t.Errorf("%s %s", first.Result, diff)
	}
}

// A rule that systemd would not take away is left to createRuntime.
func TestStagesCgroupfs(t *testing.T) {
	g := newGround(t)
	spec := g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"})
	spec.Linux.CgroupsPath = "/parent/libpod-" + id
	if edited, _ := g.precreate(spec); len(edited.Linux.Resources.Devices) != 1 {
		t.Errorf("rules: %+v", edited.Linux.Resources.Devices)
	}
}

// In a user namespace the kernel takes no rules.
func TestStagesInUserNamespace(t *testing.T) {
	g := newGround(t)
	in, err := json.Marshal(g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"}))
	if err != nil {
		t.Fatal(err)
	}
	s := PlanSpec(g.options, in)
	s.config.Self.Namespaced = true
	edited := &specs.Spec{}
	if err := json.Unmarshal(s.Render(), edited); err != nil {
		t.Fatal(err)
	}
	if len(edited.Linux.Resources.Devices) != 1 {
		t.Errorf("rules: %+v", edited.Linux.Resources.Devices)
	}
}

// What the engine has put there is told, and not the earlier stage's work.
func TestStagesFindTheEngines(t *testing.T) {
	g := newGround(t)
	spec := g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"})
	spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/nvidia0", Type: "c", Major: gpuhost.Major, Minor: gpuhost.Minor}}
	edited, _ := g.precreate(spec)
	if r := g.later(edited); len(r.Warnings) != 1 || r.Warnings[0].Code != fault.Duplicate ||
		!strings.Contains(r.Warnings[0].Message, "carries 1 of") {
		t.Errorf("%+v", r.Warnings)
	}
}

// Where podman gives the container no control group, nothing in its spec has its id, and no record could be found
// again.
func TestStagesWithoutID(t *testing.T) {
	g := newGround(t)
	spec := g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"})
	spec.Linux.CgroupsPath = ""
	edited, _ := g.precreate(spec)
	if _, err := Last(g.options, containers.View{}, ""); err == nil || len(edited.Process.Env) < 2 {
		t.Errorf("%v, %v", err, edited.Process.Env)
	}
}

// What only the delegate can serve is left to the later stage, with the variables for the container's program.
func TestStagesDelegate(t *testing.T) {
	g := newGround(t)
	if err := g.host.Write("bin/nvidia-container-runtime-hook", "#!/bin/sh\n", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(g.host.Path("cdi/nvidia.yaml")); err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]*specs.Spec{
		"annotation": g.container(
			[]string{"NVIDIA_VISIBLE_DEVICES=void"},
			map[string]string{request.AnnotationGPUs: `"device=0","capabilities=compute"`},
		),
		"environment": g.container([]string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute"}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			edited, first := g.precreate(spec)
			if first.Result != plan.ResultPlanned || codes(first) != "W-FALLBACK" {
				t.Fatalf("%s %s %+v", first.Result, codes(first), first.Errors)
			}
			for _, want := range []string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute"} {
				if !slices.Contains(edited.Process.Env, want) {
					t.Errorf("environment: %q", edited.Process.Env)
				}
			}
			second := g.later(edited)
			if second.Result != plan.ResultPlanned || codes(second) != "W-FALLBACK" || !cmp.Equal(second.Grants, first.Grants) {
				t.Errorf("%s %s %+v", second.Result, codes(second), second.Grants)
			}
		})
	}
}

// NVIDIA's own hook would take a variable of ours for a request.
func TestStagesDelegateBesideNVIDIAsHook(t *testing.T) {
	g := newGround(t)
	if err := errors.Join(
		os.Remove(g.host.Path("cdi/nvidia.yaml")),
		g.host.Write("bin/nvidia-container-runtime-hook", "#!/bin/sh\n", 0o755),
	); err != nil {
		t.Fatal(err)
	}
	spec := g.container([]string{"NVIDIA_VISIBLE_DEVICES=void"}, map[string]string{request.AnnotationGPUs: "device=0"})
	spec.Hooks.CreateRuntime = append(spec.Hooks.CreateRuntime, specs.Hook{Path: "/usr/bin/nvidia-container-runtime-hook"})
	edited, first := g.precreate(spec)
	if first.Result != plan.ResultPlanned || !slices.Equal(edited.Process.Env, spec.Process.Env) {
		t.Errorf("%s: %q", first.Result, edited.Process.Env)
	}
}

// A variable of ours would be a request that policy refuses, where environment does not count.
func TestStagesDelegateWithoutEnvironment(t *testing.T) {
	g := newGround(t)
	if err := g.host.Write("bin/nvidia-container-runtime-hook", "#!/bin/sh\n", 0o755); err != nil {
		t.Fatal(err)
	}
	config := "[requests]\nsources = [\"annotation\"]\non-refused = \"error\"\n" + g.host.Config()
	if err := errors.Join(
		os.Remove(g.host.Path("cdi/nvidia.yaml")),
		g.host.Write("config.toml", config, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	edited, _ := g.precreate(g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"}))
	if r := g.later(edited); r.Result != plan.ResultPlanned {
		t.Errorf("%s %s: %v", r.Result, codes(r), edited.Process.Env)
	}
}

// The stage refuses nothing, and changes nothing where the later one will refuse.
func TestPrecreateRefusesNothing(t *testing.T) {
	g := newGround(t)
	const (
		process = `{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]}`
		mountNS = `,"linux":{"namespaces":[{"type":"mount"}]}`
		hooks   = `,"hooks":{"createRuntime":[{"path":"/x/gpu-hook"}]}`
	)
	for name, in := range map[string]string{
		"no JSON":     "x",
		"null":        "null",
		"empty":       "",
		"no mount ns": process + `,"root":{"path":"/"},"linux":{}` + hooks + `}`,
		"the host":    process + `,"root":{"path":"/"}` + mountNS + hooks + `}`,
		"no device": `{"process":{"env":["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=9"]},"root":{"path":"rootfs"}` +
			mountNS + hooks + `}`,
		"no request": `{"process":{"env":["A=1"]} }`,
		"too large":  process + `,"x":"` + strings.Repeat("x", 17<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := PlanSpec(g.options, []byte(in))
			if out := s.Render(); string(out) != in {
				t.Errorf("it writes %.200q", out)
			}
		})
	}
}

// A Spec's hook that others may write is not handed to the runtime, which would run it as the host's root.
func TestPrecreateHandsOnNoLooseHook(t *testing.T) {
	g := newGround(t)
	spec, err := os.ReadFile(g.host.Path("cdi/nvidia.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	loose := g.host.Path("bin/loose")
	text := strings.Replace(string(spec), "path: /bin/true", "path: "+loose, 1)
	if err := errors.Join(
		g.host.Write("bin/loose", "#!/bin/sh\n", 0o755),
		os.Chmod(loose, 0o777),
		g.host.Write("cdi/nvidia.yaml", text, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	edited, _ := g.precreate(g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"}))
	if len(edited.Hooks.Poststop) != 0 || len(edited.Hooks.StartContainer) != 1 {
		t.Errorf("hooks: %+v", edited.Hooks)
	}
}

// Without the later stage in the spec nothing is half served, and the record says why.
func TestPrecreateAlone(t *testing.T) {
	g := newGround(t)
	spec := g.container(nil, map[string]string{request.AnnotationGPUs: "device=0"})
	spec.Hooks = nil
	edited, _ := g.precreate(spec)
	if diff := cmp.Diff(spec, edited); diff != "" {
		t.Error(diff)
	}
	if r, err := Last(g.options, containers.View{}, id); err != nil || codes(r) != "W-STAGE" {
		t.Errorf("%v %+v", err, r)
	}
}
