package devices

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// amdSpec gives /dev/kfd to each device itself; migSpec has two parts of one GPU beside a whole one.
const (
	amdSpec = `{"cdiVersion":"0.6.0","kind":"amd.com/gpu","devices":[
{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/dri/renderD128"},{"path":"/dev/kfd"}]}},
{"name":"1","containerEdits":{"deviceNodes":[{"path":"/dev/dri/renderD129"},{"path":"/dev/kfd"}]}},
{"name":"all","containerEdits":{"deviceNodes":[
{"path":"/dev/dri/renderD128"},{"path":"/dev/dri/renderD129"},{"path":"/dev/kfd"}]}}]}`
	migSpec = `{"cdiVersion":"0.6.0","kind":"nvidia.com/gpu","devices":[
{"name":"0:0","containerEdits":{"deviceNodes":[{"path":"/dev/nvidia0"},{"path":"/dev/nvidia-caps/nvidia-cap1"}]}},
{"name":"0:1","containerEdits":{"deviceNodes":[{"path":"/dev/nvidia0"},{"path":"/dev/nvidia-caps/nvidia-cap2"}]}},
{"name":"1","containerEdits":{"deviceNodes":[{"path":"/dev/nvidia1"},{"path":"/dev/dri/renderD129"}]}},
{"name":"GPU-1","containerEdits":{"deviceNodes":[{"path":"/dev/nvidia1"},{"path":"/dev/dri/renderD129"}]}},
{"name":"all","containerEdits":{"deviceNodes":[{"path":"/dev/nvidia0"},{"path":"/dev/nvidia1"}]}}]}`
)

func TestCarried(t *testing.T) {
	r := Load([]string{specDirs(t, map[string]string{"a/amd.json": amdSpec, "a/nvidia.json": migSpec}) + "/a"}, us())
	for _, test := range []struct {
		kind  string
		nodes []string
		want  []string
	}{
		{"amd.com/gpu", []string{"/dev/kfd"}, nil},
		{"amd.com/gpu", []string{"/dev/dri/renderD129"}, []string{"amd.com/gpu=1"}},
		{
			"amd.com/gpu",
			[]string{"/dev/kfd", "/dev/dri/renderD128", "/dev/dri/renderD129"},
			[]string{"amd.com/gpu=0", "amd.com/gpu=1"},
		},
		{"nvidia.com/gpu", []string{"/dev/nvidia0"}, nil},
		{"nvidia.com/gpu", []string{"/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap2"}, []string{"nvidia.com/gpu=0:1"}},
		{"nvidia.com/gpu", []string{"/dev/nvidia1"}, []string{"nvidia.com/gpu=1"}},
	} {
		if got := r.Carried(test.kind, test.nodes); !slices.Equal(got, test.want) {
			t.Errorf("%s %v: %v", test.kind, test.nodes, got)
		}
	}
	for _, test := range []struct {
		names, carried []string
		want           bool
	}{
		{[]string{"nvidia.com/gpu=GPU-1"}, []string{"nvidia.com/gpu=1"}, true},
		{[]string{"nvidia.com/gpu=0:0"}, []string{"nvidia.com/gpu=0:1"}, false},
		{[]string{"nvidia.com/gpu=all"}, []string{"nvidia.com/gpu=1"}, false},
		{[]string{"nvidia.com/gpu=all"}, []string{"nvidia.com/gpu=0:0", "nvidia.com/gpu=1"}, true},
		{[]string{"nvidia.com/gpu=9"}, []string{"nvidia.com/gpu=1"}, false},
		{[]string{"amd.com/gpu=0", "amd.com/gpu=1"}, []string{"amd.com/gpu=0"}, false},
	} {
		if got := r.Covered(test.names, test.carried); got != test.want {
			t.Errorf("%v by %v: %v", test.names, test.carried, got)
		}
	}
}

// Of the mounts below /dev, only those that can be a device node count: not those that engines make in every container.
func TestNodesOf(t *testing.T) {
	container := &specs.Spec{
		Linux: &specs.Linux{Devices: []specs.LinuxDevice{{Path: "/dev/./nvidia0"}}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc"},
			{Destination: "/dev", Type: "tmpfs"},
			{Destination: "/dev/pts", Type: "devpts", Options: []string{"nosuid", "newinstance"}},
			{Destination: "/dev/shm", Type: "tmpfs", Options: []string{"nosuid"}},
			{Destination: "/dev/mqueue/", Type: "mqueue"},
			{Destination: "/dev/shm/", Type: "bind", Source: "/run/shm", Options: []string{"rbind"}},
			{Destination: "/dev/mqueue", Type: "bind", Source: "/dev/mqueue", Options: []string{"bind"}},
			{Destination: "/dev/scratch", Type: "tmpfs"},
			{Destination: "/dev/nvidia1", Type: "bind", Source: "/dev/nvidia1"},
			{Destination: "/dev//nvidia2", Source: "/dev/nvidia2", Options: []string{"bind"}},
			{Destination: "/dev/dri", Type: "none", Source: "/dev/dri", Options: []string{"rbind"}},
			{Destination: "/dev/nvidia3", Type: "tmpfs", Source: "/dev/nvidia3", Options: []string{"bind"}},
			{Destination: "/device", Type: "bind", Source: "/dev/nvidia4"},
		},
	}
	want := []string{"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2", "/dev/dri", "/dev/nvidia3"}
	if got := NodesOf(container); !slices.Equal(got, want) {
		t.Error(got)
	}
}
