package planner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/precedence"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// scene is a container on a synthetic GPU host, which has a CDI Spec for two GPUs of NVIDIA's and no hook.
type scene struct {
	name      string
	host      func(*gpuhost.Host) error // changes the host
	configure func(*config.Config)
	gpus      string // value of the annotation gpu-hook/gpus
	env       []string
	container func(*state.Container)
	late      bool // the stage makes late edits too
	want      []string
}

// steps makes one change of several.
func steps(all ...func(*gpuhost.Host) error) func(*gpuhost.Host) error {
	return func(h *gpuhost.Host) error {
		var errs []error
		for _, step := range all {
			errs = append(errs, step(h))
		}
		return errors.Join(errs...)
	}
}

func write(name, text string, mode os.FileMode) func(*gpuhost.Host) error {
	return func(h *gpuhost.Host) error { return h.Write(name, text, mode) }
}

func remove(name string) func(*gpuhost.Host) error {
	return func(h *gpuhost.Host) error { return os.Remove(h.Path(name)) }
}

// withHook installs NVIDIA's runtime hook.
func withHook() func(*gpuhost.Host) error {
	return write("bin/nvidia-container-runtime-hook", "", 0o755)
}

// withoutSpec takes NVIDIA's CDI Spec away.
func withoutSpec() func(*gpuhost.Host) error { return remove("cdi/nvidia.yaml") }

// broken makes NVIDIA's CDI Spec one that cannot be read.
func broken() func(*gpuhost.Host) error {
	return write("cdi/nvidia.yaml", "kind: nvidia.com/gpu\n\t", 0o644)
}

// withAMD adds a CDI Spec of AMD's, for one GPU.
func withAMD() func(*gpuhost.Host) error {
	return spec("amd.com/gpu", "amd0", "deviceNodes: [{path: /dev/null}]")
}

// spec adds a CDI Spec that defines one device by its edits.
func spec(kind, device, edits string) func(*gpuhost.Host) error {
	name := "cdi/" + strings.NewReplacer("/", "-").Replace(kind) + ".yaml"
	text := "cdiVersion: \"0.6.0\"\nkind: " + kind + "\ndevices:\n- {name: " +
		device + ", containerEdits: {" + edits + "}}\n"
	return write(name, text, 0o644)
}

// adding adds edits to those that every device of NVIDIA's Spec has.
func adding(edits string) func(*gpuhost.Host) error {
	return func(h *gpuhost.Host) error {
		text := strings.Replace(h.Spec(), "containerEdits:\n  env:", "containerEdits:\n"+edits+"  env:", 1)
		text = strings.Replace(text, `cdiVersion: "0.5.0"`, `cdiVersion: "0.7.0"`, 1)
		return h.Write("cdi/nvidia.yaml", text, 0o644)
	}
}

// setting adds a variable to those that NVIDIA's Spec sets.
func setting(variable string) func(*gpuhost.Host) error {
	return func(h *gpuhost.Host) error {
		return h.Write("cdi/nvidia.yaml", strings.Replace(h.Spec(), "  env:\n", "  env:\n  - "+variable+"\n", 1), 0o644)
	}
}

// plan plans for the scene's container, as a stage does.
func (s scene) plan(t *testing.T) (plan.Plan, *gpuhost.Host) {
	t.Helper()
	d, host := s.draft(t)
	return d.Plan(), host
}

// draft makes the draft of the plan for the scene's container.
func (s scene) draft(t *testing.T) (*Draft, *gpuhost.Host) {
	t.Helper()
	require.Root(t)
	host, err := gpuhost.New(filepath.Join(t.TempDir(), "host"))
	if err == nil && s.host != nil {
		err = s.host(host)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Options{Config: host.Path("config.toml")}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if s.configure != nil {
		s.configure(c)
	}
	container := &state.Container{Spec: &specs.Spec{
		Process: &specs.Process{Env: s.env, Capabilities: &specs.LinuxCapabilities{}},
	}}
	if s.gpus != "" {
		container.Spec.Annotations = map[string]string{"gpu-hook/gpus": s.gpus}
	}
	if s.container != nil {
		s.container(container)
	}
	d := NewDraft()
	d.Requests = request.Gather(c, container, nil)
	d.Won, d.Warnings, err = precedence.Contest(c, container, d.Requests)
	if err == nil {
		p := &Planner{Config: c, Container: container, Draft: d, Stage: "createRuntime", MakesLate: s.late}
		err = p.Plan()
	}
	if err != nil {
		d.Fail(err)
	}
	return d, host
}

// drawn is a plan as the tables write it: each request, attempt, grant, warning and error. The host's folder is HOST.
func drawn(p plan.Plan, host *gpuhost.Host) []string {
	var out []string
	for _, r := range p.Requests {
		line := r.Source + " " + r.Vendor + ": " + r.Status
		if r.Status != plan.Unserved && r.Reason != "" { // those of the drivers
			line += ", " + r.Reason
		}
		out = append(out, line)
	}
	for _, a := range p.Attempts {
		line := string(rune('0'+a.Request)) + " " + a.Driver + " " + a.Status
		if a.Reason != "" {
			line += ": " + a.Reason
		}
		out = append(out, line)
	}
	for _, g := range p.Grants {
		line := string(rune('0'+g.Request)) + " gets " + strings.Join(g.CDIDevices, " ")
		if g.Delegate != nil {
			line += "a run with " + strings.Join(g.Delegate.Env, " ")
		}
		out = append(out, strings.TrimRight(line, " "))
	}
	for _, f := range append(p.Warnings, p.Errors...) {
		out = append(out, string(f.Code())+" "+f.Error())
	}
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], host.Dir, "HOST")
	}
	return out
}

func (s scene) run(t *testing.T) {
	t.Helper()
	t.Run(s.name, func(t *testing.T) {
		p, host := s.plan(t)
		if diff := cmp.Diff(s.want, drawn(p, host), cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

const (
	asked   = "annotation:gpu-hook/gpus"
	visible = "env:NVIDIA_VISIBLE_DEVICES"

	hookSkipped = "0 nvidia.runtime-hook skipped: nvidia.cdi serves the request"

	noHook = "HOST/bin/nvidia-container-runtime-hook: it is not installed"
	noSpec = "nvidia.com/gpu=0: no CDI Spec defines kind nvidia.com/gpu (looked in HOST/cdi: 0 files)"
)
