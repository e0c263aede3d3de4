package devices

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"tags.cncf.io/container-device-interface/pkg/cdi"
)

func TestParseName(t *testing.T) {
	const (
		noName = " is not a CDI device name (vendor.com/class=name)"
		noID   = " is not a device id: it may have letters, digits and . : _ - alone"
	)
	for _, test := range []struct {
		id, want, err string
	}{
		{"0", "nvidia.com/gpu=0", ""},
		{"all", "nvidia.com/gpu=all", ""},
		{"0:1", "nvidia.com/gpu=0:1", ""},
		{"GPU-11112222-3333-4444-5555-666677778888", "nvidia.com/gpu=GPU-11112222-3333-4444-5555-666677778888", ""},
		{"acme.com/npu=a_1.b", "acme.com/npu=a_1.b", ""},
		{"a/b=c", "a/b=c", ""}, // the CDI library up to v1.1.0 panics here
		{"", "", `""` + noID},
		{" 0", "", `" 0"` + noID},
		{"0\n", "", `"0\n"` + noID},
		{"-0", "", `"-0"` + noID},
		{"..", "", `".."` + noID},
		{"a=b", "", `"a=b"` + noName},
		{"0/1", "", `"0/1"` + noName},
		{"MIG-GPU-1/0/0", "", `"MIG-GPU-1/0/0"` + noName},
		{"nvidia.com/gpu=", "", `"nvidia.com/gpu="` + noName},
		{"nvidia.com/=0", "", `"nvidia.com/=0"` + noName},
		{"/gpu=0", "", `"/gpu=0"` + noName},
		{"nvidia.com/gpu=0=1", "", `"nvidia.com/gpu=0=1"` + noName},
		{"../gpu=0", "", `"../gpu=0"` + noName},
	} {
		t.Run(test.id, func(t *testing.T) {
			got, err := ParseName(test.id, "nvidia.com/gpu")
			switch {
			case test.err != "":
				if err == nil || err.Error() != test.err || got != (Name{}) {
					t.Errorf("got %v, %v; want %s", got, err, test.err)
				}
			case err != nil || got.String() != test.want:
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if got := (Name{"acme.com", "npu", "1"}).Kind(); got != "acme.com/npu" {
		t.Errorf("kind %q", got)
	}
}

func TestFromAnnotations(t *testing.T) {
	prefixes := []string{cdi.AnnotationPrefix, "nvidia." + cdi.AnnotationPrefix}
	gpu := func(device string) Name { return Name{"nvidia.com", "gpu", device} }
	type result struct {
		Key   string
		Names []Name
		Err   string
	}
	for _, test := range []struct {
		name string
		in   map[string]string
		want []result
	}{
		{
			"a vendor's prefix",
			map[string]string{
				"nvidia.cdi.k8s.io/a": "nvidia.com/gpu=1", "amd.cdi.k8s.io/a": "nvidia.com/gpu=2",
				"cdi.k8s.io/a": "nvidia.com/gpu=0",
			},
			[]result{{"cdi.k8s.io/a", []Name{gpu("0")}, ""}, {"nvidia.cdi.k8s.io/a", []Name{gpu("1")}, ""}},
		},
		{
			"none",
			map[string]string{"a": "nvidia.com/gpu=0", "xcdi.k8s.io/a": "nvidia.com/gpu=0", "cdi.k8s.io": "nvidia.com/gpu=0"},
			nil,
		},
		{
			"sorted by key, names as they stand",
			map[string]string{
				"cdi.k8s.io/b": "nvidia.com/gpu=1,nvidia.com/gpu=0,acme.com/npu=x", "cdi.k8s.io/a": "nvidia.com/gpu=2",
				"cdi.k8s.io/": "nvidia.com/gpu=3",
			},
			[]result{
				{"cdi.k8s.io/", []Name{gpu("3")}, ""},
				{"cdi.k8s.io/a", []Name{gpu("2")}, ""},
				{"cdi.k8s.io/b", []Name{gpu("1"), gpu("0"), {"acme.com", "npu", "x"}}, ""},
			},
		},
		{
			"one wrong name spoils its annotation alone",
			map[string]string{"cdi.k8s.io/a": "nvidia.com/gpu=0,1", "cdi.k8s.io/b": "nvidia.com/gpu=1"},
			[]result{
				{"cdi.k8s.io/a", nil, `"1" is not a CDI device name (vendor.com/class=name)`},
				{"cdi.k8s.io/b", []Name{gpu("1")}, ""},
			},
		},
		{
			"empty",
			map[string]string{"cdi.k8s.io/a": ""},
			[]result{{"cdi.k8s.io/a", nil, `"" is not a CDI device name (vendor.com/class=name)`}},
		},
		{
			"blanks",
			map[string]string{"cdi.k8s.io/a": "nvidia.com/gpu=0, nvidia.com/gpu=1"},
			[]result{{"cdi.k8s.io/a", nil, `" nvidia.com/gpu=1" is not a CDI device name (vendor.com/class=name)`}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []result
			for _, a := range FromAnnotations(test.in, prefixes) {
				r := result{Key: a.Key, Names: a.Names}
				if a.Err != nil {
					r.Err = a.Err.Error()
				}
				if a.Value != test.in[a.Key] {
					t.Errorf("%s has value %q", a.Key, a.Value)
				}
				got = append(got, r)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
