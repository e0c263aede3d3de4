package planner

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// A warning names what a createRuntime hook cannot make. on-late makes it the error; a wish comes to nothing then.
func TestLate(t *testing.T) {
	strict := func(c *config.Config) { c.CDI.OnLate = config.Error }
	const late = "edits of the CDI Spec: a createRuntime hook cannot make these: "
	served := []string{
		asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
		"0 gets nvidia.com/gpu=0",
	}
	and := func(more ...string) []string { return append(served[:len(served):len(served)], more...) }
	usernamespace := func(c *state.Container) {
		c.Spec.Linux = &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}}
	}
	owned := func(h *gpuhost.Host) error {
		const nodes = "  - NVIDIA_VISIBLE_DEVICES=void\n  deviceNodes:\n"
		owned := nodes + "  - {path: /dev/owned, hostPath: /dev/null, uid: 5}\n"
		return h.Write("cdi/nvidia.yaml", strings.Replace(h.Spec(), nodes, owned, 1), 0o644)
	}
	for _, test := range []scene{
		{
			name: "no program misses the mark that keeps NVIDIA's hook away", gpus: "driver=nvidia",
			configure: strict, want: served,
		},
		{name: "a variable", host: setting("A=b"), gpus: "driver=nvidia", want: and("W-LATE " + late + "variable A=b")},
		{
			name: "void of another variable", host: setting("A=void"), gpus: "driver=nvidia",
			want: and("W-LATE " + late + "variable A=void"),
		},
		{
			name: "a group", host: adding("  additionalGids: [44]\n"), gpus: "driver=nvidia",
			want: and("W-LATE " + late + "group 44"),
		},
		{
			name: "a later hook", host: adding("  hooks:\n  - {hookName: startContainer, path: /bin/true}\n"),
			gpus: "driver=nvidia",
			want: and(
				"W-LATE " + late + "startContainer hook /bin/true",
			),
		},
		{
			name: "a stage that makes them", host: setting("A=b"), gpus: "driver=nvidia", configure: strict,
			late: true, want: served,
		},
		{
			name: "on-late", host: setting("A=b"), gpus: "driver=nvidia", configure: strict,
			want: and("E-LATE " + late + "variable A=b"),
		},
		{
			name: "what config.json has is not late", host: setting("A=b"), gpus: "driver=nvidia",
			env: []string{"A=b"}, want: served,
		},
		{name: "a wish", host: setting("A=b"), env: []string{"NVIDIA_VISIBLE_DEVICES=all"}, want: []string{
			visible + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
			"0 gets nvidia.com/gpu=all", "W-LATE " + late + "variable A=b",
		}},
		{
			name: "on-late, for a wish", host: setting("A=b"), env: []string{"NVIDIA_VISIBLE_DEVICES=all"},
			configure: strict,
			want: []string{
				visible + " nvidia: unserved", "0 nvidia.cdi chosen", hookSkipped,
				"W-WEAK " + `NVIDIA_VISIBLE_DEVICES=all: the container starts without: ` + late + "variable A=b",
			},
		},
		{name: "a chosen owner, of a node that is made", host: owned, gpus: "driver=nvidia.cdi", want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi chosen", "0 gets nvidia.com/gpu=0",
		}},
		{
			name: "a chosen owner, of a node that the engine has bound", host: owned, gpus: "driver=nvidia.cdi",
			container: func(c *state.Container) {
				usernamespace(c)
				c.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/owned", Type: "c", Major: 1, Minor: 3}}
			},
			want: []string{
				asked + " nvidia: granted", "0 nvidia.cdi chosen", "0 gets nvidia.com/gpu=0",
				"W-DUP config.json: it carries 1 of the edits already: the engine or another hook has put them there, " +
					"and they are not made again",
			},
		},
		{
			name: "a chosen owner, of a node that is bound", host: owned, gpus: "driver=nvidia.cdi",
			container: usernamespace,
			want: []string{
				asked + " nvidia: granted", "0 nvidia.cdi chosen", "0 gets nvidia.com/gpu=0",
				"W-LATE " + late + "mode and owner of /dev/owned",
			},
		},
	} {
		test.run(t)
	}
}

// A wish that comes to nothing leaves nothing to do, and gives nothing.
func TestForgoneWish(t *testing.T) {
	p, _ := scene{host: setting("A=b"), env: []string{"NVIDIA_VISIBLE_DEVICES=all"}, configure: func(c *config.Config) {
		c.CDI.OnLate = config.Error
	}}.plan(t)
	if len(p.Grants) > 0 || len(p.CDIDevices) > 0 || p.Failed() || p.Ready() {
		t.Errorf("%+v", p)
	}
	if len(p.Wishes) != 1 || !p.Wishes[0].Forgone {
		t.Errorf("%+v", p.Wishes)
	}
	for e := range p.Edits().All() {
		if *e.State() == devices.Apply {
			t.Errorf("%s is still to be made", e.Label())
		}
	}
}
