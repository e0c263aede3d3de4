package devices

import (
	"slices"
	"testing"
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
