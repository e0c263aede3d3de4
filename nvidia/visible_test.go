package nvidia

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/contract"
)

func TestParseVisible(t *testing.T) {
	ids := func(ids ...string) contract.Visible { return contract.Visible{IDs: ids} }
	nothing := func(why string) contract.Visible { return contract.Visible{Nothing: why} }
	for _, test := range []struct {
		in   string
		want contract.Visible
	}{
		{"0", ids("0")},
		{"1,0", ids("1", "0")},
		{"0,0,1,0", ids("0", "1")},
		{" 0 ,\t1,, ", ids("0", "1")},
		{"GPU-1,0:1,MIG-GPU-2/0/1,nvidia.com/gpu=0", ids("GPU-1", "0:1", "MIG-GPU-2/0/1", "nvidia.com/gpu=0")},
		{"all", ids("all")},
		{"0,all,1", ids("all")},
		{"all,none", ids("all")},
		{"none,all", contract.Visible{None: true}},
		{"none", contract.Visible{None: true}},
		{"0,none", contract.Visible{None: true}},
		{"void", nothing("void")},
		{"all, void", nothing("void")},
		{"none,void", nothing("void")},
		{"", nothing("empty")},
		{" , ", nothing("empty")},
		{"ALL,Void", ids("ALL", "Void")},
	} {
		t.Run(test.in, func(t *testing.T) {
			got, err := ParseVisible(test.in)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestVisibleLimits(t *testing.T) {
	many := make([]string, maxIDs)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	if got, err := VisibleOf(append(many, "0", " 1")); err != nil || len(got.IDs) != maxIDs {
		t.Errorf("%d ids, %v", len(got.IDs), err)
	}
	if _, err := VisibleOf(append(many, "x")); err == nil || err.Error() != "4097 devices are more than any host has "+
		"(4096)" {
		t.Errorf("too many: %v", err)
	}
	if got, err := ParseVisible("0" + strings.Repeat(",", maxValue-1)); err != nil || len(got.IDs) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseVisible("0" + strings.Repeat(",", maxValue)); err == nil || err.Error() != "it is longer than "+
		"65536 bytes" {
		t.Errorf("too long: %v", err)
	}
}

func TestIsMIGInstance(t *testing.T) {
	for id, want := range map[string]bool{
		"MIG-GPU-0a1B-2/1/0": true, "MIG-GPU-a/1": false, "MIG-GPU-a/1/0/0": false, "MIG-a/1/0": false, "GPU-a/1/0": false,
		"MIG-GPU-/1/0": false, "MIG-GPU-a//0": false, "MIG-GPU-a/x/0": false, "MIG-GPU-g/1/0": false,
		"MIG-GPU-a/1/0\n": false, "": false,
	} {
		if got := IsMIGInstance(id); got != want {
			t.Errorf("%q: got %v", id, got)
		}
	}
}

func TestParseChannels(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
		err  string
	}{
		{"3, 4,3", []string{"3", "4"}, ""},
		{"0,1048575", []string{"0", "1048575"}, ""},
		{"", nil, ""},
		{"all", nil, ""},
		{"none", nil, ""},
		{"1,void", nil, ""},
		{"1048576", nil, `IMEX channel "1048576" is not a number from 0 to 1048575`},
		{"1,x", nil, `IMEX channel "x" is not a number from 0 to 1048575`},
		{"-1", nil, `IMEX channel "-1" is not a number from 0 to 1048575`},
	} {
		t.Run(test.in, func(t *testing.T) {
			got, err := ParseChannels(strings.Split(test.in, ","))
			diff := cmp.Diff(test.want, got)
			if diff != "" || (err == nil) != (test.err == "") || (err != nil && err.Error() != test.err) {
				t.Error(err, diff)
			}
		})
	}
}

// What is supported is compute, display, utility and video.
func TestDriverCapabilitiesOf(t *testing.T) {
	all := []string{"compute", "display", "utility", "video"}
	for _, test := range []struct {
		name, value string
		set, legacy bool
		supported   []string
		want        []string
		err         string
	}{
		{"a list, sorted", "video,,display, video", true, false, nil, []string{"display", "video"}, ""},
		{"a legacy image's list", "video,display", true, true, nil, []string{"display", "video"}, ""},
		{"all", "all", true, false, nil, all, ""},
		{"all among others", "video,all", true, true, nil, all, ""},
		{"empty", "", true, false, nil, []string{"compute", "utility"}, ""},
		{"blank", " , ", true, true, nil, []string{"compute", "utility"}, ""},
		{"unset", "", false, false, nil, []string{"compute", "utility"}, ""},
		{"unset in a legacy image", "", false, true, nil, all, ""},
		{"unset, one supported", "", false, false, []string{"video", "compute"}, []string{"compute"}, ""},
		{
			"not supported", "compute,ngx", true, false, nil, nil,
			`driver capability "ngx" is not supported on this host; supported: video, compute, utility, display`,
		},
		{
			"not known", "compute,magic", true, false, nil, nil,
			`driver capability "magic" is not known; supported: video, compute, utility, display`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			supported := test.supported
			if supported == nil {
				supported = []string{"video", "compute", "utility", "display"}
			}
			got, err := DriverCapabilitiesOf(test.value, test.set, test.legacy, supported)
			diff := cmp.Diff(test.want, got)
			if diff != "" || (err == nil) != (test.err == "") || (err != nil && err.Error() != test.err) {
				t.Error(err, diff)
			}
		})
	}
}

func TestSelected(t *testing.T) {
	for _, test := range []struct {
		name     string
		in, want []string
	}{
		{"none", nil, nil},
		{"Docker's own", []string{"gpu", "nvidia"}, nil},
		{"in their order", []string{"utility", "gpu", "compute"}, []string{"utility", "compute"}},
		{"all of them", []string{"all", "gpu"}, []string{"all"}},
		{"unknown", []string{"Compute", "", "magic", "ngx"}, []string{"ngx"}},
		{"every one", Capabilities(), Capabilities()},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Selected(test.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
