package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// A warning tells of what a Spec lacks, unless the container has it from somewhere else.
func TestIncomplete(t *testing.T) {
	withUVM := func(h *gpuhost.Host) error { return h.Node("nvidia-uvm") }
	for _, test := range []struct {
		name      string
		container func(*state.Container)
		env       []string
		want      bool
	}{
		{"lacking", nil, nil, true},
		{"lacking for a wish", nil, []string{"NVIDIA_VISIBLE_DEVICES=all"}, true},
		{"the engine gives it", func(c *state.Container) {
			c.Spec.Linux = &specs.Linux{Devices: []specs.LinuxDevice{{Path: "/dev/./nvidia-uvm", Type: "c"}}}
		}, nil, false},
		{"a volume is at the node", func(c *state.Container) {
			c.Spec.Mounts = []specs.Mount{{Destination: "/dev/nvidia-uvm", Type: "bind", Source: "/dev/nvidia-uvm"}}
		}, nil, false},
		{"a volume is above the node", func(c *state.Container) {
			c.Spec.Mounts = []specs.Mount{{Destination: "/dev", Source: "/dev", Options: []string{"rbind"}}}
		}, nil, false},
		{"another mount is above the node", func(c *state.Container) {
			c.Spec.Mounts = []specs.Mount{{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}}
		}, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := scene{host: withUVM, gpus: "driver=nvidia", env: test.env, container: test.container}
			if test.env != nil {
				s.gpus = ""
			}
			p, h := s.plan(t)
			got := 0
			for _, w := range p.Warnings {
				if w.Code() == fault.StaleNote && strings.HasPrefix(w.Error(), h.Path("cdi/nvidia.yaml")+": it lacks ") {
					got++
				}
			}
			if p.Failed() || (got == 1) != test.want || got > 1 {
				t.Errorf("%v %v", p.Errors, p.Warnings)
			}
		})
	}
}

// A Spec that lacks something on purpose leaves no warning, if the administrator says so.
func TestIncompleteOnPurpose(t *testing.T) {
	s := scene{
		host: func(h *gpuhost.Host) error { return h.Node("nvidia-uvm") }, gpus: "driver=nvidia",
		configure: func(c *config.Config) { c.CDI.OnIncomplete = config.Ignore },
	}
	p, _ := s.plan(t)
	if slices.ContainsFunc(p.Warnings, func(w *fault.Error) bool { return w.Code() == fault.StaleNote }) {
		t.Errorf("%v", p.Warnings)
	}
}
