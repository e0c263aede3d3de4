package rules

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
)

func TestRules(t *testing.T) {
	node := func(kind string, minor int64, permissions string, status devices.Status) *devices.DeviceNode {
		return &devices.DeviceNode{Type: kind, Major: 195, Minor: minor, Permissions: permissions, Status: status}
	}
	got := Of([]*devices.DeviceNode{
		node("c", 0, "rw", devices.Applied), node("c", 0, "rw", devices.Present), node("c", 0, "rwm", devices.Applied),
		node("b", 0, "rw", devices.Applied), node("p", 0, "rw", devices.Applied), node("", 0, "rw", devices.Applied),
		node("c", 1, "", devices.Applied), node("c", 2, "r", devices.Failed), node("c", 3, "r", devices.Apply),
	})
	want := []string{"c 195:0 rw", "c 195:0 rwm", "b 195:0 rw", "c 195:3 r"}
	var text []string
	for _, r := range got {
		text = append(text, r.String())
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
}

func TestMissingRules(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	node := []*devices.DeviceNode{{Type: "c", Major: 195, Minor: 1, Permissions: "rw", Status: devices.Present}}
	const needs = "[c 195:1 rw]"
	deny := specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"}
	for _, test := range []struct {
		name  string
		given []specs.LinuxDeviceCgroup
		want  string
	}{
		{"none given", nil, needs},
		{"all denied", []specs.LinuxDeviceCgroup{deny}, needs},
		{"given", []specs.LinuxDeviceCgroup{deny, {Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rwm"}}, "[]"},
		{"given to all minors", []specs.LinuxDeviceCgroup{deny, {Allow: true, Type: "c", Major: n(195), Access: "rw"}}, "[]"},
		{
			"given to all by -1",
			[]specs.LinuxDeviceCgroup{deny, {Allow: true, Type: "a", Major: n(-1), Minor: n(-1), Access: "rwm"}},
			"[]",
		},
		{
			"given and taken back",
			[]specs.LinuxDeviceCgroup{
				{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rwm"},
				{Type: "c", Major: n(195), Minor: n(1), Access: "w"},
			},
			needs,
		},
		{
			"given and all denied",
			[]specs.LinuxDeviceCgroup{
				{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rwm"},
				{Allow: false},
			},
			needs,
		},
		{
			"given, another access denied",
			[]specs.LinuxDeviceCgroup{
				{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rw"},
				{Type: "c", Major: n(195), Minor: n(1), Access: "m"},
			},
			"[]",
		},
		{
			"given in part",
			[]specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "r"}},
			needs,
		},
		{
			"given to a block device",
			[]specs.LinuxDeviceCgroup{{Allow: true, Type: "b", Major: n(195), Minor: n(1), Access: "rwm"}},
			needs,
		},
		{
			"given to another minor",
			[]specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(195), Minor: n(2), Access: "rwm"}},
			needs,
		},
		{
			"given to another major",
			[]specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(1), Minor: n(1), Access: "rwm"}},
			needs,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{Devices: test.given}}}
			if got := fmt.Sprint(Missing(spec, node)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got := fmt.Sprint(Missing(&specs.Spec{}, node)); got != needs {
		t.Errorf("without resources: %s", got)
	}
}
