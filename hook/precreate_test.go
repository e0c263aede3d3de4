package hook

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook/report"
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
	spec := strings.Replace(host.Spec(), "  - NVIDIA_VISIBLE_DEVICES=void\n", "  - NVIDIA_VISIBLE_DEVICES=void\n  - FROM_SPEC=1\n", 1) +
		"  additionalGids: [44]\n  hooks:\n  - {hookName: startContainer, path: /in/the/container, args: [x]}\n  - {hookName: poststop, path: /bin/true, args: [\"true\"]}\n"
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
		Process: &specs.Process{Args: []string{"true"}, Cwd: "/", Env: append([]string{"PATH=/bin"}, env...), Capabilities: &specs.LinuxCapabilities{}},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: "mount"}}, CgroupsPath: "/parent/libpod-" + id,
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
		},
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
	s := PlanSpec(g.options, strings.NewReader(string(in)))
	out := s.Render()
	if out == nil {
		return nil, s.Report
	}
	edited := &specs.Spec{}
	if err := json.Unmarshal(out, edited); err != nil {
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

// Both stages come to the same, whatever source asks; the first makes everything, the second finds everything there.
func TestStages(t *testing.T) {
	g := newGround(t)
	for name, spec := range map[string]*specs.Spec{
		"annotation":          g.container(nil, map[string]string{AnnotationGPUs: "device=0"}),
		"environment":         g.container([]string{"NVIDIA_VISIBLE_DEVICES=0", "FROM_SPEC=2"}, nil),
		"both":                g.container([]string{"NVIDIA_VISIBLE_DEVICES=1"}, map[string]string{AnnotationGPUs: "device=0"}),
		"legacy image":        g.container([]string{"CUDA_VERSION=9.0"}, nil),
		"CDI annotation":      g.container(nil, map[string]string{"cdi.k8s.io/x": "nvidia.com/gpu=all"}),
		"a forged claim with": g.container([]string{"NVIDIA_VISIBLE_DEVICES=0"}, map[string]string{AnnotationPlan: `{"digest":"x"}`}),
	} {
		t.Run(name, func(t *testing.T) {
			edited, first := g.precreate(spec)
			if first.Result != report.ResultApplied || first.Container.Stage != StagePrecreate || first.Container.ID != id {
				t.Fatalf("%s %+v: %+v", first.Result, first.Container, first.Errors)
			}
			if s := statuses(first); !slices.Equal(s, []devices.Status{devices.Applied}) {
				t.Errorf("precreate leaves %v", s)
			}
			for _, want := range []string{"FROM_SPEC=1", "NVIDIA_VISIBLE_DEVICES=void"} {
				if !slices.Contains(edited.Process.Env, want) {
					t.Errorf("environment: %q", edited.Process.Env)
				}
			}
			second := g.later(edited)
			if s := statuses(second); !slices.Equal(s, []devices.Status{devices.Present}) {
				t.Errorf("createRuntime finds %v", s)
			}
			if got, want := fmt.Sprint(asked(second)), fmt.Sprint(asked(first)); got != want {
				t.Errorf("requests of createRuntime:\n%s\nof precreate:\n%s", got, want)
			}
			if got := codes(second); got != strings.TrimSpace(strings.ReplaceAll(codes(first), "W-PLAN", "")) {
				t.Errorf("createRuntime says %s, precreate said %s", got, codes(first))
			}
			again, third := g.precreate(edited)
			if diff := cmp.Diff(edited, again); diff != "" || third.Result != report.ResultApplied {
				t.Errorf("a second precreate changes it: %s", diff)
			}
		})
	}
}

func asked(r *report.Report) (out []report.Request) {
	for _, q := range r.Requests {
		out = append(out, *q)
	}
	return out
}

// The later stage tells the administrator's own duplicate once more, and not its own work.
func TestStagesFindTheEngines(t *testing.T) {
	g := newGround(t)
	spec := g.container(nil, map[string]string{AnnotationGPUs: "device=0"})
	spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/nvidia0", Type: "c", Major: gpuhost.Major, Minor: gpuhost.Minor}}
	edited, first := g.precreate(spec)
	second := g.later(edited)
	for _, r := range []*report.Report{first, second} {
		if len(r.Warnings) != 1 || r.Warnings[0].Code != fault.Duplicate || !strings.Contains(r.Warnings[0].Message, "carries 1 of") {
			t.Errorf("%s: %+v", r.Container.Stage, r.Warnings)
		}
	}
}

// Where podman gives the container no control group, nothing in its spec has its id: the claim carries that of the record.
func TestStagesWithoutID(t *testing.T) {
	g := newGround(t)
	spec := g.container(nil, map[string]string{AnnotationGPUs: "device=0"})
	spec.Linux.CgroupsPath = ""
	edited, first := g.precreate(spec)
	if second := g.later(edited); !ownID(first.Container.ID) || second.Container.Precreate != first.Container.ID || second.Container.ID != "" {
		t.Errorf("%+v, then %+v", first.Container, second.Container)
	}
	edited.Annotations[AnnotationPlan] = forged(t, edited, func(c *claim) { c.Record = "../../x" })
	if second := g.later(edited); second.Container.Precreate != "" {
		t.Errorf("%+v", second.Container)
	}
}

// Network devices are left to the later stage where the engine's runtime-spec does not know them; it does only that.
func TestStagesNetDevices(t *testing.T) {
	g := newGround(t)
	data, err := os.ReadFile(g.host.Path("cdi/nvidia.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	spec := strings.Replace(string(data), `cdiVersion: "0.7.0"`, `cdiVersion: "1.1.0"`, 1) + "  netDevices:\n  - {hostInterfaceName: lo, name: nic0}\n"
	if err := g.host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
		t.Fatal(err)
	}
	container := func(version string, env []string, annotations map[string]string) *specs.Spec {
		c := g.container(env, annotations)
		c.Version, c.Linux.Namespaces = version, append(c.Linux.Namespaces, specs.LinuxNamespace{Type: "network"})
		return c
	}
	annotation := map[string]string{AnnotationGPUs: "device=0"}
	edited, first := g.precreate(container("1.3.0", nil, annotation))
	if second := g.later(edited); edited.Linux.NetDevices["lo"].Name != "nic0" || !slices.Equal(statuses(second), []devices.Status{devices.Present}) || codes(second) != "" {
		t.Errorf("1.3: %v, then %v %s", statuses(first), statuses(second), codes(second))
	}
	edited, first = g.precreate(container("1.2.1", nil, annotation))
	second := g.later(edited)
	if len(edited.Linux.NetDevices) > 0 || first.Edits.NetDevices[0].Status != devices.Late || codes(first)+codes(second) != "" {
		t.Errorf("1.2: %v %s %s", edited.Linux.NetDevices, codes(first), codes(second))
	}
	if second.Edits.NetDevices[0].Status != devices.Apply || second.Edits.Mounts[0].Status != devices.Present || second.Result != report.ResultPlanned {
		t.Errorf("1.2: %s %v", second.Result, statuses(second))
	}
	if out, r := g.precreate(container("1.2.1", []string{"NVIDIA_VISIBLE_DEVICES=0"}, nil)); out != nil || codes(r) != "E-NETDEV" {
		t.Errorf("by environment: %s", codes(r))
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
		"annotation":  g.container([]string{"NVIDIA_VISIBLE_DEVICES=void"}, map[string]string{AnnotationGPUs: `"device=0","capabilities=compute"`}),
		"environment": g.container([]string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute"}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			edited, first := g.precreate(spec)
			if first.Result != report.ResultPlanned || codes(first) != "W-FALLBACK" {
				t.Fatalf("%s %s %+v", first.Result, codes(first), first.Errors)
			}
			for _, want := range []string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute"} {
				if !slices.Contains(edited.Process.Env, want) {
					t.Errorf("environment: %q", edited.Process.Env)
				}
			}
			second := g.later(edited)
			if second.Result != report.ResultPlanned || codes(second) != "W-FALLBACK" || fmt.Sprint(asked(second)) != fmt.Sprint(asked(first)) {
				t.Errorf("%s %s %v", second.Result, codes(second), asked(second))
			}
		})
	}
}

func TestPrecreateRefuses(t *testing.T) {
	g := newGround(t)
	for name, test := range map[string]struct {
		in   string
		code fault.Code
	}{
		"no JSON":     {"x", fault.Bundle},
		"null":        {"null", fault.Bundle},
		"empty":       {"", fault.Bundle},
		"no mount ns": {`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]},"root":{"path":"/"},"linux":{}}`, fault.State},
		"the host":    {`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]},"root":{"path":"/"},"linux":{"namespaces":[{"type":"mount"}]}}`, fault.Bundle},
		"no device":   {`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=9"]},"root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"mount"}]}}`, fault.Name},
	} {
		t.Run(name, func(t *testing.T) {
			s := PlanSpec(g.options, strings.NewReader(test.in))
			if out := s.Render(); out != nil {
				t.Errorf("it writes %s", out)
			}
			if len(s.Report.Errors) != 1 || s.Report.Errors[0].Code != test.code {
				t.Errorf("%+v", s.Report.Errors)
			}
			r, err := Last(g.options, s.Report.Container.ID)
			if err != nil || len(r.Errors) != 1 || !ownID(r.Container.ID) {
				t.Errorf("record: %v, %+v", err, r)
			}
		})
	}
}
