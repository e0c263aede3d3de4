package contract

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// dialect is one that knows a single word.
type dialect struct{}

func (dialect) ParseVisible(value string) (Visible, error) { return Visible{IDs: []string{value}}, nil }
func (dialect) Unknown(string) (why, hint string)          { return "why", "hint" }

// everything is a container that carries what some vendor would take for a request.
func everything() *state.Container {
	return &state.Container{Spec: &specs.Spec{
		Process: &specs.Process{Env: []string{"CUDA_VERSION=11.6", "NVIDIA_GDS=enabled", "NVIDIA_MIG_CONFIG_DEVICES=all"}},
		Hooks:   &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/usr/bin/nvidia-container-runtime-hook"}}},
		Mounts:  []specs.Mount{{Source: "/dev/null", Destination: "/var/run/nvidia-container-devices/0"}},
		Linux:   &specs.Linux{Devices: []specs.LinuxDevice{{Path: "/dev/nvidia0"}}},
	}}
}

// A vendor without rules of its own has its configured variable and its CDI Specs, and nothing else.
func TestNoneRequestsNothing(t *testing.T) {
	n, c := None{Dialect: dialect{}}, everything()
	if variable, value := n.Unset(c); variable != "" || value != "" {
		t.Errorf("an unset variable means %s %q", variable, value)
	}
	mounts := n.ByMounts() || n.SeeMounts("/var/run/nvidia-container-devices")
	if n.Asks("NVIDIA_VISIBLE_DEVICES") || mounts || n.IsID("MIG-GPU-a/1/0") {
		t.Error("something else than the variable asks")
	}
	beside := len(n.Parts()) + len(n.Features(c)) + len(n.Selected([]string{"compute", "gpu"}))
	if beside > 0 || n.Other(c) != nil {
		t.Error("there is something beside devices")
	}
	if v, err := n.ParseVisible("a"); err != nil || v.IDs[0] != "a" {
		t.Errorf("%v, %v: not the dialect's", v, err)
	}
	if why, hint := n.Unknown("a"); why != "why" || hint != "hint" {
		t.Errorf("%s, %s: not the dialect's", why, hint)
	}
}

// It demands nothing, and each demand comes to no part of a driver.
func TestNoneAdmits(t *testing.T) {
	n, c := None{}, Container{Container: everything(), EnvCounts: true}
	a, err := n.Admit(c, []Demand{{What: "a", Capabilities: []string{"compute"}}, {What: "b"}})
	if err != nil || len(a.Capabilities) != 2 || len(slices.Concat(a.Capabilities...)) > 0 || len(a.Warnings) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := n.BeyondCDI(c); err != nil {
		t.Error(err)
	}
}

// Nothing is known of its Specs but how to make them again.
func TestNoneOfSpecs(t *testing.T) {
	n := None{}
	written, loaded := n.Drivers([]string{"/lib/libcuda.so.580.65.06"}, []string{"--host-driver-version=1.2.3"})
	if written != "" || loaded != "" {
		t.Errorf("written for %s, loaded %s", written, loaded)
	}
	if loaded, known := n.HasDriver(); loaded || known {
		t.Error("it knows about drivers")
	}
	if n.IsDevice("/dev/nvidia0") || n.NodeOf("0") != "" || len(n.HostNodes()) > 0 {
		t.Error("it knows node names")
	}
}

// What it tells to do names the vendor's generator where that is known, and otherwise no tool.
func TestNoneMends(t *testing.T) {
	n, known := None{}, None{Generator: Generator{
		Kind: "acme.com/npu", Command: "acme-ctk --out=FILE", Origin: "the package acme-tools", File: "acme.json",
	}}
	gone := Node{Path: "/dev/acme0", Kind: "acme.com/npu", Spec: "/a.yaml"}
	link := gone
	link.Found = "a symbolic link"
	mend := func(n None, node Node) string { _, hint := n.MendNode(node); return hint }
	for want, got := range map[string]string{
		"generate one with the tool of acme.com, or write it": n.Generate("acme.com/npu", "/cdi"),
		"generate /a.yaml again with the tool that wrote it":  n.Regenerate("acme.com/npu", "/a.yaml"),
		"generate /a.yaml and /b.yaml again with the tool that wrote it": known.Regenerate(
			"acme.com/npu", "/a.yaml", "/b.yaml"),
		"acme-ctk --out=/cdi/acme.json # of the package acme-tools":             known.Generate("acme.com/npu", "/cdi"),
		"acme-ctk --out=/a.yaml # of the package acme-tools":                    known.Regenerate("acme.com/npu", "/a.yaml"),
		"make /dev/acme0 the device node again, or correct hostPath in /a.yaml": mend(n, link),
		"load the device's driver; if the device is gone: " +
			"acme-ctk --out=/a.yaml # of the package acme-tools": mend(known, gone),
		"install /bin/h, or correct the hook's path in /a.yaml": n.MendProgram("/bin/h", "acme.com/npu", "/a.yaml"),
	} {
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

// Its generator is not named for another kind, in whose place it would put its own devices.
func TestGeneratorOfAnotherKind(t *testing.T) {
	n := None{Generator: Generator{Kind: "acme.com/npu", Command: "acme-ctk --in=DIR", Origin: "acme", File: "a.json"}}
	for want, got := range map[string]string{
		"acme-ctk --in=/cdi # of acme":                        n.Generate("acme.com/npu", "/cdi"),
		"generate one with the tool of acme.com, or write it": n.Generate("acme.com/tpu", "/cdi"),
		"generate /c.yaml again with the tool that wrote it":  n.Regenerate("acme.com/tpu", "/c.yaml"),
	} {
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

// It has no hook.
func TestNoneDelegates(t *testing.T) {
	n := None{}
	if err := n.Found(); !fault.Is(err, fault.Delegate) {
		t.Error(err)
	}
	if d, err := n.Run(Order{IDs: []string{"0"}}); d != nil || !fault.Is(err, fault.Delegate) {
		t.Errorf("%+v, %v", d, err)
	}
	if err := n.CheckID("imex", "0"); err != nil {
		t.Error(err)
	}
	if n.Given(everything().Spec, []string{"0"}) {
		t.Error("its hook's work is done already")
	}
}

// What Specs lack is mended by generating them again, after what comes first.
func TestIncomplete(t *testing.T) {
	n := None{Generator: Generator{Kind: "a.com/b", Command: "make FILE", Origin: "a"}}
	g := Given{Kind: "a.com/b", Specs: []string{"/a.yaml"}}
	for _, test := range []struct {
		lack Lack
		hint string
	}{
		{Lack{}, "make /a.yaml # of a"},
		{Lack{Before: "load"}, "load && make /a.yaml # of a"},
		{Lack{First: "look; removed for good"}, "look; removed for good: make /a.yaml # of a"},
	} {
		if got := Incomplete(n, g, test.lack).Hint(); got != test.hint {
			t.Errorf("%q, not %q", got, test.hint)
		}
	}
}

func TestReserved(t *testing.T) {
	for id, want := range map[string]bool{"none": true, "void": true, "all": false, "0": false, "": false, "None": false} {
		if got := Reserved(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
