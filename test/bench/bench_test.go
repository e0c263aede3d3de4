package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// named is a shape under the name of its benchmark.
type named struct {
	name string
	shape
}

// at makes a place of this shape.
func at(b *testing.B, s shape) *place {
	b.Helper()
	require.Root(b)
	require.Program(b, "runc")
	require.Program(b, "busybox")
	p, err := newPlace(b.TempDir(), s)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkQuiet is the plan for a container that asks for nothing.
func BenchmarkQuiet(b *testing.B) {
	for _, s := range []named{
		{"nothing", shape{}},
		{"void", shape{env: []string{visible + "void"}}},
		{"annotations", shape{annotations: 200}},
		{"1MB", shape{padding: 1 << 20}},
	} {
		b.Run(s.name, func(b *testing.B) {
			p := at(b, s.shape)
			const form = `{"ociVersion": "1.0.2", "id": "test", "status": "creating", "pid": %d, "bundle": %q}`
			text := fmt.Sprintf(form, os.Getpid(), p.bundle)
			b.ReportAllocs()
			for b.Loop() {
				start := hook.Plan(hook.Options{Config: p.Path("config.toml")}, strings.NewReader(text))
				if start.Report.Failed() || start.Report.Result != plan.ResultNothing {
					b.Fatalf("%+v", start.Report)
				}
			}
		})
	}
}

// BenchmarkPlan is the plan for a container that asks for 8 GPUs, without what a process must be checked for.
func BenchmarkPlan(b *testing.B) {
	many, beside := all(), all()
	many.instances, beside.others = instances, 20
	for _, s := range []named{{"8GPUs", all()}, {"among1025", many}, {"beside20Specs", beside}} {
		b.Run(s.name, func(b *testing.B) {
			p := at(b, s.shape)
			b.ReportAllocs()
			for b.Loop() {
				r := hook.ExplainBundle(hook.Options{Config: p.Path("config.toml")}, p.bundle)
				if len(r.Edits.DeviceNodes) != len(nodes()) || len(r.Edits.Mounts) != mounts {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}

// BenchmarkSpecs reads the CDI Specs of a host.
func BenchmarkSpecs(b *testing.B) {
	for _, s := range []named{
		{"17devices", shape{}}, {"1025devices", shape{instances: instances}}, {"21files", shape{others: 20}},
	} {
		b.Run(s.name, func(b *testing.B) {
			p := at(b, s.shape)
			b.ReportAllocs()
			for b.Loop() {
				if r := devices.Load([]string{p.Path("cdi")}, trust.Owner{}); len(r.Problems()) > 0 {
					b.Fatal(r.Problems())
				}
			}
		})
	}
}
