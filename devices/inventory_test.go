package devices

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nodes returns a Spec of devices with one node each, as "name=path". Two names with one path are one device.
func nodes(kind string, devices ...string) string {
	text := fmt.Sprintf("cdiVersion: \"0.5.0\"\nkind: %s\ndevices:\n", kind)
	for _, device := range devices {
		name, path, _ := strings.Cut(device, "=")
		text += fmt.Sprintf("- {name: %q, containerEdits: {deviceNodes: [{path: %s}]}}\n", name, path)
	}
	return text
}

func TestFirst(t *testing.T) {
	for _, test := range []struct {
		name                string
		devices             []string
		every, first, whole string // first: two of them
	}{
		{
			"indices, with other names",
			[]string{"GPU-b=/dev/0", "0=/dev/0", "GPU-a=/dev/1", "1=/dev/1", "all=/dev/0"},
			"0 1",
			"0 1", "all",
		},
		{
			"indices beside a name that comes first",
			[]string{"0-a=/dev/a", "1=/dev/1", "0=/dev/0"},
			"0 0-a 1", "0 1",
			"0 0-a 1",
		},
		{"indices with a gap", []string{"0=/dev/0", "2=/dev/2", "10=/dev/10"}, "0 2 10", "0 2", "0 2 10"},
		{
			"no indices",
			[]string{"gpu10=/dev/10", "gpu9=/dev/9", "gpu0=/dev/0"},
			"gpu0 gpu9 gpu10", "gpu0 gpu9",
			"gpu0 gpu9 gpu10",
		},
		{"two names of each", []string{"b=/dev/0", "a=/dev/0", "d=/dev/1", "c=/dev/1"}, "a c", "a c", "a c"},
		{"all is the only one", []string{"all=/dev/dxg"}, "all", "all", "all"},
		{"none is no device", []string{"none=/dev/0", "a=/dev/1"}, "a", "a", "a"},
		{"all and none", []string{"none=/dev/0", "all=/dev/0"}, "all", "all", "all"},
		{"none alone", []string{"none=/dev/0"}, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := specDirs(t, map[string]string{
				"a/x.yaml": nodes("acme.com/npu", test.devices...),
				"a/y.yaml": nodes("acme.com/other", "0=/dev/0", "all=/dev/1"),
			})
			r := Load([]string{filepath.Join(top, "a")}, us())
			short := func(names []string) string { return strings.ReplaceAll(strings.Join(names, " "), "acme.com/npu=", "") }
			got := []string{short(r.Every("acme.com/npu")), short(r.First("acme.com/npu", 2)), short(r.Whole("acme.com/npu"))}
			if diff := cmp.Diff([]string{test.every, test.first, test.whole}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Names are listed in the order of their numbers.
func TestOrder(t *testing.T) {
	top := specDirs(t, map[string]string{
		"a/x.yaml": nodes("acme.com/npu", "10=/dev/1", "2=/dev/1", "1=/dev/1"),
		"a/y.yaml": nodes("acme.com/fpga", "10=/dev/1", "9=/dev/2"),
		"a/z.yaml": nodes("acme.com/fpga", "9=/dev/2", "10=/dev/1"),
	})
	r := Load([]string{filepath.Join(top, "a")}, us())
	var got []string
	for _, d := range r.Devices() {
		got = append(got, d.Name+" "+strings.Join(d.Aliases, " "))
	}
	for _, c := range r.Conflicts() {
		got = append(got, c.Name)
	}
	want := []string{
		"acme.com/npu=1 acme.com/npu=2 acme.com/npu=10", "acme.com/npu=2 acme.com/npu=1 acme.com/npu=10",
		"acme.com/npu=10 acme.com/npu=1 acme.com/npu=2", "acme.com/fpga=9", "acme.com/fpga=10",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
