package request

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
)

// driver= chooses who serves the request.
func TestDriver(t *testing.T) {
	const source = "annotation:gpu-hook/gpus: "
	gathering{
		{"a vendor", annotated("gpu-hook/gpus", "driver=nvidia,count=1"), []string{source + "nvidia 0"}},
		{"another vendor", annotated("gpu-hook/gpus", "driver=intel,count=1"), []string{source + "intel 0"}},
		{
			"one of a vendor's drivers", annotated("gpu-hook/gpus", "driver=nvidia.cdi,count=1"), []string{
				source + "nvidia 0 by nvidia.cdi",
			},
		},
		{"its runtime hook", annotated("gpu-hook/gpus", "driver=nvidia.runtime-hook,count=all"), []string{
			source + "nvidia all by nvidia.runtime-hook",
		}},
		{"a driver that the vendor has not", annotated("gpu-hook/gpus", "driver=amd.runtime-hook"), []string{
			source + `nobody (E-REQUEST: driver "amd.runtime-hook" is not one of: nvidia, amd, intel, cdi)`,
		}},
		{"its own device by the qualified name", annotated("gpu-hook/gpus", "driver=amd,device=amd.com/gpu=0"), []string{
			source + "amd amd.com/gpu=0",
		}},
		{"its own device of another class", annotated("gpu-hook/gpus", "driver=nvidia,device=nvidia.com/gds=all"), []string{
			source + "nvidia nvidia.com/gds=all",
		}},
		{"another vendor's device", annotated("gpu-hook/gpus", "driver=amd,device=nvidia.com/gpu=0"), []string{
			source + `amd (E-REQUEST: "nvidia.com/gpu=0" is not a device of driver "amd")`,
		}},
		{"any vendor's CDI", annotated("gpu-hook/gpus", "driver=cdi,device=nvidia.com/gpu=0,acme.com/hsm=1"), []string{
			source + "nvidia nvidia.com/gpu=0 by nvidia.cdi", source + "acme.com acme.com/hsm=1 by cdi",
		}},
		{"any vendor's CDI, by a bare id", annotated("gpu-hook/gpus", "driver=cdi,device=0"), []string{
			source + `nobody by cdi (E-REQUEST: "0" has no kind: a device is asked for here by its qualified name ` +
				`(vendor.com/class=name))`,
		}},
		{"any vendor's CDI, by a count", annotated("gpu-hook/gpus", "driver=cdi,count=1"), []string{
			source + `nobody (E-REQUEST: driver "cdi" takes qualified device names, not a count)`,
		}},
		{"any vendor's CDI, with options", annotated("gpu-hook/gpus", "driver=cdi,device=a.com/b=0,options=x=y"), []string{
			source + `nobody (E-REQUEST: driver "cdi" takes no options)`,
		}},
	}.run(t)
}

// Ids without a kind go to the vendors that the request may go to, and qualified names to the vendor of their kind.
func TestSplit(t *testing.T) {
	const source = "annotation:gpu-hook/gpus: "
	device := func(ids string) asking { return annotated("gpu-hook/gpus", "device="+ids) }
	gathering{
		{
			"two vendors", device("amd.com/gpu=0,nvidia.com/gpu=1"), []string{
				source + "amd amd.com/gpu=0", source + "nvidia nvidia.com/gpu=1",
			},
		},
		{
			"bare ids are of the one vendor that is named beside them", device("1,amd.com/gpu=0"), []string{
				source + "amd 1 amd.com/gpu=0",
			},
		},
		{
			"bare ids beside two vendors are of whichever can serve them",
			device("2,amd.com/gpu=0,nvidia.com/gpu=1"),
			[]string{
				source + "nvidia|amd|intel 2", source + "amd amd.com/gpu=0", source + "nvidia nvidia.com/gpu=1",
			},
		},
		{"bare ids beside a vendor that is not configured", device("2,acme.com/hsm=0"), []string{
			source + "nvidia|amd|intel 2", source + "acme.com acme.com/hsm=0",
		}},
		{"bare ids, a vendor, and another that is not configured", device("acme.com/hsm=0,2,amd.com/gpu=1"), []string{
			source + "acme.com acme.com/hsm=0", source + "amd 2 amd.com/gpu=1",
		}},
		{"a kind of a configured vendor that is not its own is another vendor", device("amd.com/nic=0"), []string{
			source + "amd.com amd.com/nic=0",
		}},
		{"two kinds of one vendor that is not configured", device("acme.com/hsm=0,acme.com/nic=0"), []string{
			source + "acme.com acme.com/hsm=0 acme.com/nic=0",
		}},
		{"IMEX channels are a part of NVIDIA's contract", device("nvidia.com/imex-channel=3,nvidia.com/gpu=0"), []string{
			source + "nvidia part imex 3", source + "nvidia nvidia.com/gpu=0",
		}},
		{"no IMEX channel", device("nvidia.com/imex-channel=x"), []string{
			source + `nvidia part imex (E-REQUEST: IMEX channel "x" is not a number from 0 to 1048575)`,
		}},
	}.run(t)
}

// A request without a driver goes to the vendors that have all capabilities of one of its lists. With a driver they do
// not gate it: what means something to the driver stays, and the rest is left out.
func TestCapabilities(t *testing.T) {
	for _, test := range []struct {
		name, value string
		who         string // the vendors, or the mistake
		shown       string
		dropped     string
	}{
		{"none is a GPU", "1", "nvidia|amd|intel 0", "gpu", ""},
		{"a vendor's own", "1,capabilities=amd", "amd 0", "amd gpu", ""},
		{"parts of a driver", "1,capabilities=compute,utility", "nvidia 0", "compute utility gpu", ""},
		{
			"nobody's", "1,capabilities=tpu",
			"nobody (E-REQUEST: no vendor has the capabilities tpu and gpu)", "", "",
		},
		{
			"the first list that one vendor has whole", `[{"Count":1,"Capabilities":[["amd","compute"],["amd"]]}]`,
			"amd 0", "amd", "",
		},
		{"alternatives", `[{"Count":1,"Capabilities":[["intel"],["amd"]]}]`, "amd|intel 0", "amd", ""},
		{
			"no list", `[{"Count":1}]`,
			"nobody (E-REQUEST: no vendor has the capabilities (none asked for))", "", "",
		},
		{"no list, with a driver", `[{"Driver":"amd","Count":1}]`, "amd 0", "", ""},
		{"a driver that has them", "driver=nvidia,capabilities=compute", "nvidia 0", "compute gpu", ""},
		{"a driver that has a part of them", "driver=nvidia,capabilities=compute,tpu", "nvidia 0", "compute gpu", "tpu"},
		{
			"a driver that has none of them", `[{"Driver":"amd","Count":1,"Capabilities":[["compute"]]}]`,
			"amd 0", "", "compute",
		},
		{
			"a list that means something throughout, the second",
			`[{"Driver":"nvidia","Count":1,"Capabilities":[["tpu","compute"],["video","all"]]}]`,
			"nvidia 0", "video all", "",
		},
		{
			"a list that the driver has whole, the second",
			`[{"Driver":"nvidia","Count":1,"Capabilities":[["all"],["video"]]}]`,
			"nvidia 0", "video", "",
		},
		{
			"any vendor's CDI knows every vendor's",
			`[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=0"],"Capabilities":[["gpu","compute","tpu"]]}]`,
			"nvidia nvidia.com/gpu=0 by nvidia.cdi", "", "tpu",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := annotated("gpu-hook/gpus", test.value).gather()[0]
			if who := strings.TrimPrefix(line(r), "annotation:gpu-hook/gpus: "); who != test.who {
				t.Errorf("%s, want %s", who, test.who)
			}
			if shown, dropped := strings.Join(r.Capabilities, " "), strings.Join(r.Dropped(), " "); shown != test.shown ||
				dropped != test.dropped {
				t.Errorf("%q, without %q", shown, dropped)
			}
		})
	}
}

// Of a request that may go to several vendors each has its own choice.
func TestSelected(t *testing.T) {
	c := config.Defaults()
	r := annotated("gpu-hook/gpus", `[{"Count":1,"Capabilities":[["intel"],["amd"],["gpu","compute"]]}]`).gather()[0]
	for i, want := range map[int][]string{0: {"gpu", "compute"}, 1: {"amd"}, 2: {"intel"}} {
		if got := r.Selected(&c.Vendors[i]); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.Vendors[i].Name, got, want)
		}
	}
}
