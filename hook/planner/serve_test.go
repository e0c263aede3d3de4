package planner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// A vendor's drivers are tried in their order. The first whose plan holds, for everything that is asked of the vendor,
// serves.
func TestDrivers(t *testing.T) {
	fallback := func(c *config.Config) { c.Drivers.OnFallback = config.Error }
	const two = `[{"Driver":"nvidia","Count":1},{"Driver":"nvidia","DeviceIDs":["GPU-x"]}]`
	const unknown = "nvidia.com/gpu=GPU-x: no device of that name; nvidia.com/gpu has: 0, 1, all"
	const twoDrivers = `[{"Driver":"nvidia.cdi","Count":1},{"Driver":"nvidia.runtime-hook","DeviceIDs":["1"]}]`
	const twoText = `gpu-hook/gpus='[{"Driver":"nvidia.cdi","Count":1},` +
		`{"Driver":"nvidia.runtime-hook","DeviceIDs":["1"]}]'`
	const noSpecForNone = "nvidia.com/gpu=none: no CDI Spec defines kind nvidia.com/gpu (looked in HOST/cdi: 0 files)"
	const noDevice = `nvidia.com/gpu=none: "none" is no device, and would empty the whole list of ` +
		"nvidia-container-runtime-hook"
	const unreadable = "CDI Spec rejected: "
	for _, test := range []scene{
		{name: "nobody asks", want: nil},
		{name: "the first", host: withHook(), gpus: "driver=nvidia", want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
			"0 gets nvidia.com/gpu=0",
		}},
		{
			name: "the next, if the first is not there", host: steps(withHook(), withoutSpec()),
			gpus: "driver=nvidia",
			want: []string{
				asked + " nvidia: granted", "0 nvidia.cdi failed: " + noSpec, "0 nvidia.runtime-hook chosen",
				"0 gets a run with NVIDIA_VISIBLE_DEVICES=0 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
				"W-FALLBACK " + `gpu-hook/gpus=driver=nvidia: nvidia.runtime-hook serves it, because nvidia.cdi: ` + noSpec,
			},
		},
		{name: "the one that is named", host: withHook(), gpus: "driver=nvidia.runtime-hook,device=1", want: []string{
			asked + " nvidia: granted", "0 nvidia.runtime-hook chosen",
			"0 gets a run with NVIDIA_VISIBLE_DEVICES=1 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
		}},
		{
			name: "the one that is named, and no other", host: withHook(),
			gpus: "driver=nvidia.cdi,device=GPU-x",
			want: []string{
				asked + " nvidia: unserved", "0 nvidia.cdi failed: " + unknown,
				"E-NAME " + `gpu-hook/gpus=driver=nvidia.cdi,device=GPU-x: ` + unknown,
			},
		},
		{name: "none", host: withoutSpec(), gpus: "driver=nvidia", want: []string{
			asked + " nvidia: unserved", "0 nvidia.cdi failed: " + noSpec, "0 " + noHookFailed,
			"E-NOSPEC " + `gpu-hook/gpus=driver=nvidia: ` + noSpec,
		}},
		{name: "a mistake stops the search", host: withHook(), gpus: "driver=nvidia,count=3", want: []string{
			asked + " nvidia: unserved",
			"0 nvidia.cdi failed: nvidia.com/gpu: asked for 3, this host has 2 (0, 1)",
			"0 nvidia.runtime-hook skipped: no other driver is tried",
			"E-REQUEST " + `gpu-hook/gpus=driver=nvidia,count=3: nvidia.com/gpu: asked ` +
				`for 3, ` +
				"this host has 2 (0, 1)",
		}},
		{name: "everything that is asked of the vendor, or the next", host: withHook(), gpus: two, want: []string{
			asked + " nvidia: granted", asked + " nvidia: granted",
			"0 nvidia.cdi skipped: it cannot serve another request of this vendor", "1 nvidia.cdi failed: " + unknown,
			"0 nvidia.runtime-hook chosen", "1 nvidia.runtime-hook chosen",
			"0 gets a run with NVIDIA_VISIBLE_DEVICES=0,GPU-x NVIDIA_DRIVER_CAPABILITIES=compute,utility",
			"1 gets a run with NVIDIA_VISIBLE_DEVICES=0,GPU-x NVIDIA_DRIVER_CAPABILITIES=compute,utility",
			"W-FALLBACK " + `gpu-hook/gpus='[{"Driver":"nvidia","Count":1},{"Driver":"nvidia","DeviceIDs":["GPU-x"]}]': ` +
				"nvidia.runtime-hook serves it, because nvidia.cdi: " + unknown,
		}},
		{
			name: "broken, and policy stops the search", host: steps(withHook(), broken()), configure: fallback,
			gpus: "driver=nvidia",
			want: []string{
				asked + " nvidia: unserved", "0 nvidia.cdi failed: " + unreadable + yamlError,
				"0 nvidia.runtime-hook skipped: no other driver is tried",
				"E-PARSE " + `gpu-hook/gpus=driver=nvidia: ` + unreadable + yamlError,
			},
		},
		{name: "broken, and the next serves", host: steps(withHook(), broken()), gpus: "driver=nvidia", want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi failed: " + unreadable + yamlError, "0 nvidia.runtime-hook chosen",
			"0 gets a run with NVIDIA_VISIBLE_DEVICES=0 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
			"W-FALLBACK " + `gpu-hook/gpus=driver=nvidia: nvidia.runtime-hook serves it, because nvidia.cdi: ` +
				`` + unreadable + yamlError,
			"W-SPEC CDI Spec left out: " + yamlError,
		}},
		{
			name: "each reason is there once", host: withoutSpec(),
			gpus: `[{"Driver":"nvidia.runtime-hook","Count":1},{"Driver":"nvidia.runtime-hook","DeviceIDs":["1"]}]`,
			want: []string{
				asked + " nvidia: unserved", asked + " nvidia: unserved", "0 " + noHookFailed, "1 " + noHookFailed,
				`E-DELEGATE gpu-hook/gpus='[{"Driver":"nvidia.runtime-hook","Count":1},{"Driver":"nvidia.runtime-hook",` +
					`"DeviceIDs":["1"]}]': ` + noHook,
			},
		},
		{
			name: "what stopped the search explains more than what is not there", host: steps(withHook(), withoutSpec()),
			gpus: "driver=nvidia,device=nvidia.com/gpu=none",
			want: []string{
				asked + " nvidia: unserved", "0 nvidia.cdi failed: " + noSpecForNone, "0 nvidia.runtime-hook failed: " + noDevice,
				"E-REQUEST " + `gpu-hook/gpus=driver=nvidia,device=nvidia.com/gpu=none: ` + noDevice,
			},
		},
		{name: "two requests for two drivers", host: withHook(), gpus: twoDrivers, want: []string{
			asked + " nvidia: ", asked + " nvidia: refused, it is for driver \"nvidia.runtime-hook\", and " + twoText +
				" for driver \"nvidia.cdi\": one vendor has one driver in one container",
			"E-CONFLICT " + twoText + ": it is for driver \"nvidia.runtime-hook\", and " + twoText +
				" for driver \"nvidia.cdi\": one vendor has one driver in one container",
		}},
		{
			name: "the error is about the request that cannot be served", gpus: "driver=nvidia.cdi",
			env: []string{"NVIDIA_IMEX_CHANNELS=0"},
			want: []string{
				asked + " nvidia: unserved", "env:NVIDIA_IMEX_CHANNELS nvidia: unserved",
				"0 nvidia.cdi skipped: it cannot serve another request of this vendor", "1 nvidia.cdi failed: " + noChannel,
				`E-NOSPEC NVIDIA_IMEX_CHANNELS=0: ` + noChannel,
			},
		},
		{
			name: "a vendor without drivers", configure: func(c *config.Config) { c.Vendors[0].Drivers = nil },
			gpus: "driver=nvidia",
			want: []string{
				asked + " nvidia: unserved", "E-CONFIG " + `gpu-hook/gpus=driver=nvidia: the vendor ` +
					`has no drivers`,
			},
		},
	} {
		test.run(t)
	}
}

const (
	noHookFailed = "nvidia.runtime-hook failed: HOST/bin/nvidia-container-runtime-hook: it is not installed"
	yamlError    = "HOST/cdi/nvidia.yaml: yaml: line 2: found a tab character that violates indentation"
)

// A failed attempt leaves nothing behind but its reason.
func TestFailedAttemptsLeaveNothing(t *testing.T) {
	two := `[{"Driver":"nvidia","Count":1},{"Driver":"nvidia","DeviceIDs":["GPU-x"]}]`
	for name, s := range map[string]scene{
		"another driver serves": {host: withHook(), gpus: two},
		"no driver serves":      {gpus: two},
	} {
		p, _ := s.plan(t)
		for e := range p.Edits().All() {
			t.Errorf("%s: %s is left", name, e.Label())
		}
		if len(p.CDIDevices) > 0 {
			t.Errorf("%s: %q", name, p.CDIDevices)
		}
	}
}

// A request that names no driver goes to the first vendor whose drivers can serve it. One vendor's tools on the host do
// not hide another's devices, and no warning is for a vendor that nobody named and that has nothing on the host.
func TestChooseVendor(t *testing.T) {
	only := func(s ...string) func(c *config.Config) {
		return func(c *config.Config) { c.Vendors[0].Drivers = s }
	}
	const noAMD = "amd.com/gpu=0: no CDI Spec defines kind amd.com/gpu (looked in HOST/cdi: 0 files)"
	const noIntel = "intel.com/gpu=0: no CDI Spec defines kind intel.com/gpu (looked in HOST/cdi: 0 files)"
	for _, test := range []scene{
		{name: "the first", host: withAMD(), gpus: "1", want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
			"0 gets nvidia.com/gpu=0",
		}},
		{
			name: "the next, without a warning", host: steps(withoutSpec(), withAMD()), gpus: "1",
			configure: only("nvidia.cdi"),
			want: []string{
				asked + " amd: granted",
				"0 nvidia.cdi failed: nvidia.com/gpu=0: no CDI Spec defines kind nvidia.com/gpu; they define: amd.com/gpu",
				"0 amd.cdi chosen", "0 gets amd.com/gpu=amd0",
			},
		},
		{
			name: "the next, with a warning where the first is broken", host: steps(broken(), withAMD()),
			gpus: "1", configure: only("nvidia.cdi"),
			want: []string{
				asked + " amd: granted",
				"0 nvidia.cdi failed: CDI Spec rejected: " + yamlError,
				"0 amd.cdi chosen", "0 gets amd.com/gpu=amd0",
				"W-FALLBACK " + `gpu-hook/gpus=1: amd serves it, because nvidia.cdi: CDI Spec rejected: ` +
					yamlError,
				"W-SPEC CDI Spec left out: " + yamlError,
			},
		},
		{name: "a mistake stops the search", host: withAMD(), gpus: "3", configure: only("nvidia.cdi"), want: []string{
			asked + " nvidia: unserved",
			"0 nvidia.cdi failed: nvidia.com/gpu: asked for 3, this host has 2 (0, 1)",
			"E-REQUEST " + `gpu-hook/gpus=3: nvidia.com/gpu: asked for 3, this host has 2 ` +
				"(0, 1)",
		}},
		{name: "nobody has anything", host: withoutSpec(), gpus: "1", want: []string{
			asked + " nvidia: unserved", "0 nvidia.cdi failed: " + noSpec, "0 " + noHookFailed, "0 amd.cdi failed: " + noAMD,
			"0 intel.cdi failed: " + noIntel,
			"E-NOSPEC " + `gpu-hook/gpus=1: ` + noSpec,
		}},
		{
			name: "what is there explains more than what is not", host: steps(withoutSpec(), withAMD()),
			gpus: "device=amd7",
			configure: func(c *config.Config) {
				c.Vendors[0].Drivers, c.Vendors = []string{"nvidia.cdi"}, c.Vendors[:2]
			},
			want: []string{
				asked + " nvidia: unserved",
				"0 nvidia.cdi failed: nvidia.com/gpu=amd7: no CDI Spec defines kind nvidia.com/gpu; they define: amd.com/gpu",
				"0 amd.cdi failed: amd.com/gpu=amd7: no device of that name; amd.com/gpu has: amd0",
				"E-NAME " + `gpu-hook/gpus=device=amd7: amd.com/gpu=amd7: no device of that name; amd.com/gpu has: amd0`,
			},
		},
	} {
		test.run(t)
	}
	p, _ := scene{
		host: steps(withoutSpec(), withAMD()), gpus: `[{"Count":1,"Capabilities":[["nvidia"],["amd"]]}]`,
	}.plan(t)
	if diff := cmp.Diff([]string{"amd"}, p.Requests[0].Capabilities); diff != "" {
		t.Error("the capabilities are not those by which the request chose AMD:", diff)
	}
}

// Each vendor has one group of requests and one driver; all of them are served, or none is.
func TestSeveralVendors(t *testing.T) {
	const both = `[{"Driver":"amd","Count":1},{"Driver":"nvidia","Count":1}]`
	const text = `gpu-hook/gpus='[{"Driver":"amd","Count":1},{"Driver":"nvidia","Count":1}]'`
	for _, test := range []scene{
		{name: "both", host: withAMD(), gpus: both, want: []string{
			asked + " amd: granted", asked + " nvidia: granted", "0 amd.cdi chosen", "1 nvidia.cdi chosen",
			"1 nvidia.runtime-hook skipped: nvidia.cdi serves the request", "0 gets amd.com/gpu=amd0", "1 gets nvidia.com/gpu=0",
		}},
		{name: "one cannot be served", gpus: both, want: []string{
			asked + " amd: unserved", asked + " nvidia: ",
			"0 amd.cdi failed: amd.com/gpu=0: no CDI Spec defines kind amd.com/gpu; they define: nvidia.com/gpu",
			"E-NOSPEC " + text + ": amd.com/gpu=0: no CDI Spec defines kind amd.com/gpu; " +
				"they define: nvidia.com/gpu",
		}},
		{
			name: "a vendor that is not configured",
			host: spec("acme.com/hsm", "h", "deviceNodes: [{path: /dev/null}]"), gpus: "device=acme.com/hsm=h",
			want: []string{
				asked + " acme.com: granted", "0 cdi chosen", "0 gets acme.com/hsm=h",
			},
		},
	} {
		test.run(t)
	}
}

// A wish that cannot be granted comes to nothing with a warning, and what was asked for is served without it.
func TestGrantWishes(t *testing.T) {
	imex := func() func(c *config.Config) {
		return func(c *config.Config) { c.Vendors[0].Drivers = []string{"nvidia.cdi"} }
	}
	channels := spec("nvidia.com/imex-channel", `"0"`, "deviceNodes: [{path: /dev/null}]")
	const noGPU = "nvidia.com/gpu=all: no CDI Spec defines kind nvidia.com/gpu (looked in HOST/cdi: 0 files)"
	const noGPUOfOne = "nvidia.com/gpu=all: no CDI Spec defines kind nvidia.com/gpu; they define: nvidia.com/imex-channel"
	for _, test := range []scene{
		{name: "a wish", env: []string{"NVIDIA_VISIBLE_DEVICES=all"}, want: []string{
			visible + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
			"0 gets nvidia.com/gpu=all",
		}},
		{
			name: "a wish that nothing can serve", host: withoutSpec(),
			env: []string{"NVIDIA_VISIBLE_DEVICES=all"},
			want: []string{
				visible + " nvidia: unserved", "0 nvidia.cdi failed: " + noGPU, "0 " + noHookFailed,
				"W-WEAK " + `NVIDIA_VISIBLE_DEVICES=all: the container starts without: ` + noGPU,
			},
		},
		{
			name: "a wish of an image that requires more than the host has",
			env:  []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_REQUIRE_CUDA=cuda>=99"},
			want: []string{
				visible + " nvidia: unserved",
				"W-WEAK " + `NVIDIA_VISIBLE_DEVICES=all: the container starts without: NVIDIA_REQUIRE_CUDA=cuda>=99: the host ` +
					`has driver 580.65.06 with CUDA 13.0`,
			},
		},
		{
			name: "what an image requires concerns nobody where nothing can serve", host: withoutSpec(),
			env: []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_REQUIRE_CUDA=cuda>=99"},
			want: []string{
				visible + " nvidia: unserved", "0 nvidia.cdi failed: " + noGPU, "0 " + noHookFailed,
				"W-WEAK " + `NVIDIA_VISIBLE_DEVICES=all: the container starts without: ` + noGPU,
			},
		},
		{
			name: "a request of such an image",
			env:  []string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_REQUIRE_CUDA=cuda>=99"},
			want: []string{
				visible + " nvidia: ",
				`E-REQUIRE NVIDIA_REQUIRE_CUDA=cuda>=99: the host has driver 580.65.06 ` +
					`with CUDA 13.0`,
			},
		},
		{
			name: "a wish beside what was asked for", host: steps(withoutSpec(), channels), configure: imex(),
			env: []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_IMEX_CHANNELS=0"},
			want: []string{
				visible + " nvidia: unserved", "env:NVIDIA_IMEX_CHANNELS nvidia: granted",
				"1 nvidia.cdi skipped: it cannot serve another request of this vendor", "0 nvidia.cdi failed: " + noGPUOfOne,
				"1 nvidia.cdi chosen", "1 gets nvidia.com/imex-channel=0",
				"W-WEAK " + `NVIDIA_VISIBLE_DEVICES=all: the container starts without: ` + noGPUOfOne,
			},
		},
		{
			name: "what was asked for beside a wish", configure: imex(),
			env: []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_IMEX_CHANNELS=0"},
			want: []string{
				visible + " nvidia: unserved", "env:NVIDIA_IMEX_CHANNELS nvidia: unserved",
				"1 nvidia.cdi failed: " + noChannel, "0 nvidia.cdi skipped: it cannot serve another request of this vendor",
				"1 nvidia.cdi failed: " + noChannel,
				"W-WEAK " + `NVIDIA_VISIBLE_DEVICES=all: the container starts without: NVIDIA_IMEX_CHANNELS=0: ` + noChannel,
				`E-NOSPEC NVIDIA_IMEX_CHANNELS=0: ` + noChannel,
			},
		},
	} {
		test.run(t)
	}
}

const noChannel = "nvidia.com/imex-channel=0: no CDI Spec defines kind nvidia.com/imex-channel; they define: " +
	"nvidia.com/gpu"

// What was asked for is one part of the plan, and each wish is another, so that it can come to nothing by itself.
func TestParts(t *testing.T) {
	p, _ := scene{
		host: steps(withAMD(), spec("nvidia.com/gds", "all", "deviceNodes: [{path: /dev/zero}]")), gpus: "driver=amd",
		env: []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_GDS=enabled"},
	}.plan(t)
	type part struct {
		requests []int
		beside   bool
		nodes    int
	}
	var got []part
	for _, w := range append([]plan.Part{p.Asked}, p.Wishes...) {
		got = append(got, part{w.Requests, w.Beside, len(w.Edits.DeviceNodes)})
	}
	want := []part{{[]int{0}, false, 1}, {[]int{1}, false, 3}, {[]int{2}, true, 1}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(part{})); diff != "" {
		t.Error(diff)
	}
}

// What an image requests beside devices is served by CDI, if a device is granted, or left out with a warning.
func TestFeatures(t *testing.T) {
	gds := spec("nvidia.com/gds", "all", "deviceNodes: [{path: /dev/zero}]")
	env := func(more ...string) []string { return append([]string{"NVIDIA_GDS=enabled"}, more...) }
	granted := []string{
		asked + " nvidia: granted", "env:NVIDIA_GDS nvidia: granted", "0 nvidia.cdi chosen",
		hookSkipped, "1 nvidia.cdi chosen",
		"0 gets nvidia.com/gpu=0", "1 gets nvidia.com/gds=all",
	}
	const noGDS = "nvidia.com/gds=all: no CDI Spec defines kind nvidia.com/gds; they define: nvidia.com/gpu"
	for _, test := range []scene{
		{name: "beside a GPU", host: gds, gpus: "driver=nvidia", env: env(), want: granted},
		{name: "beside another vendor's GPU", host: steps(gds, withAMD()), gpus: "driver=amd", env: env(), want: []string{
			asked + " amd: granted", "0 amd.cdi chosen", "0 gets amd.com/gpu=amd0",
		}},
		{name: "alone", host: gds, env: env(), want: nil},
		{name: "beside the driver's files", host: gds, env: env("NVIDIA_VISIBLE_DEVICES=none"), want: []string{
			visible + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped, "0 gets",
		}},
		{name: "that no Spec defines", gpus: "driver=nvidia", env: env(), want: []string{
			asked + " nvidia: granted", "env:NVIDIA_GDS nvidia: unserved", "0 nvidia.cdi chosen",
			hookSkipped, "1 nvidia.cdi failed: " + noGDS, "0 gets nvidia.com/gpu=0",
			`W-WEAK NVIDIA_GDS=enabled: the container starts without: ` + noGDS,
		}},
		{name: "with another value", host: gds, gpus: "driver=nvidia", env: []string{"NVIDIA_GDS=true"}, want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
			"0 gets nvidia.com/gpu=0",
		}},
		{
			name: "beside an IMEX channel", env: env("NVIDIA_IMEX_CHANNELS=0"),
			host: steps(gds, spec("nvidia.com/imex-channel", `"0"`, "deviceNodes: [{path: /dev/null}]")),
			want: []string{
				"env:NVIDIA_IMEX_CHANNELS nvidia: granted", "0 nvidia.cdi chosen", hookSkipped, "0 gets nvidia.com/imex-channel=0",
			},
		},
		{
			name: "where environment does not count", host: gds, gpus: "driver=nvidia", env: env(),
			configure: func(c *config.Config) {
				c.Requests.Sources = []string{"annotation"}
			},
			want: []string{
				asked + " nvidia: granted", `env:NVIDIA_GDS nvidia: refused, [requests] sources does not list ` +
					`"env"`, "0 nvidia.cdi chosen",
				hookSkipped, "0 gets nvidia.com/gpu=0",
				`W-REFUSED NVIDIA_GDS=enabled: [requests] sources does not list "env"`,
			},
		},
		{
			name: "where CDI is not among the vendor's drivers", host: steps(gds, withHook()),
			gpus: "driver=nvidia", env: env(),
			configure: func(c *config.Config) {
				c.Vendors[0].Drivers = []string{"nvidia.runtime-hook"}
			},
			want: []string{
				asked + " nvidia: granted", "env:NVIDIA_GDS nvidia: unserved", "0 nvidia.runtime-hook chosen",
				"0 gets a run with NVIDIA_VISIBLE_DEVICES=0 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
				`W-WEAK NVIDIA_GDS=enabled: the container starts without: nvidia.cdi ` +
					"is not among the drivers of vendor nvidia",
			},
		},
	} {
		test.run(t)
	}
}

// The vendor's preconditions come before any driver is tried.
func TestAdmit(t *testing.T) {
	for _, test := range []scene{
		{
			name: "a capability that the host does not support", gpus: "driver=nvidia",
			env: []string{"NVIDIA_DRIVER_CAPABILITIES=video"},
			configure: func(c *config.Config) {
				c.NVIDIA.SupportedCapabilities = []string{"compute", "utility"}
			},
			want: []string{
				asked + " nvidia: ",
				`E-POLICY NVIDIA_DRIVER_CAPABILITIES=video: driver capability "video" is not supported on this host; ` +
					`supported: compute, utility`,
			},
		},
		{
			name: "a channel concerns no part of the driver",
			host: spec("nvidia.com/imex-channel", `"0"`, "deviceNodes: [{path: /dev/null}]"),
			env:  []string{"NVIDIA_IMEX_CHANNELS=0", "NVIDIA_DRIVER_CAPABILITIES=magic"},
			want: []string{
				"env:NVIDIA_IMEX_CHANNELS nvidia: granted", "0 nvidia.cdi chosen", "0 nvidia.runtime-hook skipped: nvidia.cdi " +
					"serves the request",
				"0 gets nvidia.com/imex-channel=0",
			},
		},
		{
			name: "what only the GPU could tell", gpus: "driver=nvidia.cdi",
			env: []string{"NVIDIA_REQUIRE_X=brand=tesla"},
			want: []string{
				asked + " nvidia: granted", "0 nvidia.cdi chosen", "0 gets nvidia.com/gpu=0",
				`W-REQUIRE NVIDIA_REQUIRE_X=brand=tesla: whether the host meets brand=tesla is not known here (driver ` +
					`580.65.06, CUDA 13.0)`,
			},
		},
		{
			name: "what CDI has no name for", host: withHook(), gpus: "driver=nvidia",
			env: []string{"NVIDIA_MIG_CONFIG_DEVICES=all"},
			container: func(c *state.Container) {
				c.Spec.Process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"}
			},
			want: []string{
				asked + " nvidia: granted",
				"0 nvidia.cdi failed: NVIDIA_MIG_CONFIG_DEVICES: CDI has no name for the right to configure or watch MIG devices",
				"0 nvidia.runtime-hook chosen",
				"0 gets a run with NVIDIA_VISIBLE_DEVICES=0 NVIDIA_DRIVER_CAPABILITIES=compute,utility " +
					"NVIDIA_MIG_CONFIG_DEVICES=all",
				"W-FALLBACK " + `gpu-hook/gpus=driver=nvidia: nvidia.runtime-hook serves it, because nvidia.cdi: ` +
					`NVIDIA_MIG_CONFIG_DEVICES: CDI has no ` +
					"name for the right to configure or watch MIG devices",
			},
		},
	} {
		test.run(t)
	}
	p, _ := scene{gpus: "driver=nvidia,capabilities=video"}.plan(t)
	if diff := cmp.Diff([]string{"video"}, p.Requests[0].Capabilities); diff != "" {
		t.Error("the request does not tell the parts of the driver that it came to:", diff)
	}
	p, _ = scene{
		host: spec("nvidia.com/imex-channel", `"0"`, "deviceNodes: [{path: /dev/null}]"), gpus: "driver=nvidia",
		env: []string{"NVIDIA_IMEX_CHANNELS=0"},
	}.plan(t)
	if len(p.Requests) != 2 || len(p.Requests[0].Capabilities) != 2 || len(p.Requests[1].Capabilities) > 0 {
		t.Errorf("a channel comes to parts of the driver: %+v", p.Requests)
	}
}

// Two names of one device are one device, which is given once. What the engine has put into config.json stays.
func TestDuplicates(t *testing.T) {
	const gpu0 = "nvidia.com/gpu=GPU-00000000-1111-2222-3333-444455556666"
	ids := func(second string) string {
		return `[{"Driver":"nvidia","DeviceIDs":["0"]},{"Driver":"nvidia","DeviceIDs":["` + second + `"]}]`
	}
	served := []string{
		asked + " nvidia: granted", asked + " nvidia: granted", "0 nvidia.cdi chosen", "1 nvidia.cdi chosen",
		hookSkipped, "1 nvidia.runtime-hook skipped: nvidia.cdi " +
			"serves the request",
		"0 gets nvidia.com/gpu=0",
	}
	// present is a container to which the engine has given the first GPU.
	present := func(h string) func(*state.Container) {
		return func(c *state.Container) {
			c.Spec.Linux = &specs.Linux{Devices: []specs.LinuxDevice{{Path: h, Type: "c", Major: 1, Minor: 11}}}
		}
	}
	for _, test := range []scene{
		{name: "the same name", gpus: ids("0"), want: append(served[:len(served):len(served)], "1 gets nvidia.com/gpu=0",
			"W-DUP nvidia.com/gpu=0: it is asked for twice, and given once")},
		{
			name: "another name", gpus: ids("GPU-00000000-1111-2222-3333-444455556666"),
			want: append(served[:len(served):len(served)], "1 gets "+gpu0,
				"W-DUP "+gpu0+": it is another name of nvidia.com/gpu=0; the device is given once"),
		},
		{
			name: "another device", gpus: ids("1"),
			want: append(served[:len(served):len(served)], "1 gets nvidia.com/gpu=1"),
		},
		{name: "what the engine has given", gpus: "driver=nvidia", container: present("/dev/nvidia0"), want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
			"0 gets nvidia.com/gpu=0",
			"W-DUP config.json: it carries 1 of the edits already: the engine or another hook has put them there, and they " +
				"are not made again",
		}},
		{name: "what an engine that applies CDI has given", gpus: "driver=nvidia", configure: func(c *config.Config) {
			c.Engines["cri-o"].Sources = config.Sources()
		}, container: func(c *state.Container) {
			present("/dev/nvidia0")(c)
			c.Identify("cri-o", nil)
		}, want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
			"0 gets nvidia.com/gpu=0",
		}},
		{
			name: "what the engine has given, for a wish", env: []string{"NVIDIA_VISIBLE_DEVICES=all"},
			container: func(c *state.Container) {
				present("/dev/nvidia0")(c)
				second := specs.LinuxDevice{Path: "/dev/nvidia1", Type: "c", Major: 1, Minor: 11}
				c.Spec.Linux.Devices = append(c.Spec.Linux.Devices, second)
			},
			want: []string{
				visible + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
				"0 gets nvidia.com/gpu=all",
			},
		},
	} {
		test.run(t)
	}
	// The engine has applied Specs that gpu-hook does not see: NVIDIA's hook would put everything there again.
	andLibrary := func(c *state.Container) {
		present("/dev/nvidia0")(c)
		c.Spec.Mounts = []specs.Mount{{Destination: "/usr/lib/libcuda.so.580.65.06"}}
	}
	scene{
		name: "what the engine has given, without a Spec",
		host: steps(withoutSpec(), withHook()), gpus: "driver=nvidia", container: andLibrary, want: []string{
			asked + " nvidia: granted", "0 nvidia.cdi failed: " + noSpec, "0 nvidia.runtime-hook chosen", "0 gets",
			"W-FALLBACK " + `gpu-hook/gpus=driver=nvidia: nvidia.runtime-hook serves it, because nvidia.cdi: ` + noSpec,
			"W-DUP " + `gpu-hook/gpus=driver=nvidia: config.json has the nodes of its devices and the driver's libraries ` +
				`already: ` +
				"the engine has put them there, and they are left as they are",
		},
	}.run(t)
	p, _ := scene{gpus: ids("GPU-00000000-1111-2222-3333-444455556666")}.plan(t)
	if diff := cmp.Diff([]string{"nvidia.com/gpu=0"}, p.CDIDevices); diff != "" {
		t.Error(diff)
	}
}

// What the engine was asked for takes precedence over the environment.
func TestEnginesDevices(t *testing.T) {
	first := func(c *state.Container) {
		c.Spec.Linux = &specs.Linux{Devices: []specs.LinuxDevice{{Path: "/dev/nvidia0", Type: "c", Major: 1, Minor: 11}}}
	}
	for _, test := range []scene{
		{name: "another device", env: []string{"NVIDIA_VISIBLE_DEVICES=1"}, container: first, want: []string{
			visible + " nvidia: overridden, the engine was asked for /dev/nvidia0, and stands higher",
			"W-OVERRIDDEN " + `NVIDIA_VISIBLE_DEVICES=1: the engine was asked for /dev/nvidia0, and stands higher`,
		}},
		{
			name: "another device, and policy", env: []string{"NVIDIA_VISIBLE_DEVICES=1"}, container: first,
			configure: func(c *config.Config) {
				c.Requests.OnConflict = config.Error
			},
			want: []string{
				visible + " nvidia: refused, the engine was asked for /dev/nvidia0, and stands higher",
				"E-CONFLICT " + `NVIDIA_VISIBLE_DEVICES=1: the engine was asked for /dev/nvidia0, and stands higher`,
			},
		},
	} {
		test.run(t)
	}
}

// What NVIDIA's hook knows is devices of NVIDIA's alone, and no word for a whole list.
func TestOwnIDs(t *testing.T) {
	onlyHook := func(c *config.Config) { c.Vendors[0].Drivers = []string{"nvidia.runtime-hook"} }
	const unprivileged = "HOST/nvidia.toml: accept-nvidia-visible-devices-envvar-when-unprivileged is false, " +
		"and this container is not privileged"
	closed := func(h *gpuhost.Host) error {
		text := "accept-nvidia-visible-devices-envvar-when-unprivileged = false\n[nvidia-container-cli]\npath = %q\n"
		return h.Write("nvidia.toml", fmt.Sprintf(text, h.Path("bin/nvidia-container-cli")), 0o644)
	}
	for _, test := range []scene{
		{
			name: "another kind", host: withHook(), gpus: "driver=nvidia.runtime-hook,device=nvidia.com/gds=all",
			want: []string{
				asked + " nvidia: unserved",
				"0 nvidia.runtime-hook failed: nvidia.com/gds=all: nvidia-container-runtime-hook knows devices of kind " +
					"nvidia.com/gpu alone",
				"E-DELEGATE " + `gpu-hook/gpus=driver=nvidia.runtime-hook,device=nvidia.com/gds=all: ` +
					"nvidia.com/gds=all: nvidia-container-runtime-hook knows devices of kind nvidia.com/gpu alone",
			},
		},
		{
			name: "a qualified name of its own", host: withHook(),
			gpus: "driver=nvidia.runtime-hook,device=nvidia.com/gpu=1",
			want: []string{
				asked + " nvidia: granted", "0 nvidia.runtime-hook chosen",
				"0 gets a run with NVIDIA_VISIBLE_DEVICES=1 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
			},
		},
		{
			name: "a word for a whole list", host: withHook(),
			gpus: "driver=nvidia.runtime-hook,device=nvidia.com/gpu=none",
			want: []string{
				asked + " nvidia: unserved",
				`0 nvidia.runtime-hook failed: nvidia.com/gpu=none: "none" is no device, and would empty the whole list of ` +
					`nvidia-container-runtime-hook`,
				"E-REQUEST " + `gpu-hook/gpus=driver=nvidia.runtime-hook,device=nvidia.com/gpu=none: ` +
					`nvidia.com/gpu=none: "none" is no device, and would empty the whole list of nvidia-container-runtime-hook`,
			},
		},
		{
			name: "a channel that the host does not have", host: withHook(),
			env: []string{"NVIDIA_IMEX_CHANNELS=1048575"},
			configure: func(c *config.Config) {
				c.Vendors[0].Drivers = []string{"nvidia.runtime-hook"}
			},
			want: []string{
				"env:NVIDIA_IMEX_CHANNELS nvidia: unserved",
				"0 nvidia.runtime-hook failed: IMEX channel 1048575: /dev/nvidia-caps-imex-channels/channel1048575 is missing " +
					"on this host",
				`E-NODE NVIDIA_IMEX_CHANNELS=1048575: IMEX channel 1048575: ` +
					"/dev/nvidia-caps-imex-channels/channel1048575 is missing on this host",
			},
		},
		{
			name:      "without the hook, its lack is the reason and not what it would be asked for",
			gpus:      "driver=nvidia.runtime-hook,device=1",
			configure: func(c *config.Config) { c.NVIDIA.SupportedCapabilities = []string{"video"} },
			want: []string{
				asked + " nvidia: unserved", "0 " + noHookFailed,
				"E-DELEGATE " + `gpu-hook/gpus=driver=nvidia.runtime-hook,device=1: ` + noHook,
			},
		},
		{
			name: "environment that NVIDIA's own configuration does not let count",
			host: steps(withHook(), closed), configure: onlyHook, env: []string{"NVIDIA_VISIBLE_DEVICES=0"},
			want: []string{
				visible + " nvidia: unserved",
				"0 nvidia.runtime-hook failed: " + unprivileged,
				"E-POLICY " + `NVIDIA_VISIBLE_DEVICES=0: ` + unprivileged,
			},
		},
		{
			name: "another source is not concerned", host: steps(withHook(), closed), configure: onlyHook, gpus: "driver=nvidia",
			want: []string{
				asked + " nvidia: granted", "0 nvidia.runtime-hook chosen",
				"0 gets a run with NVIDIA_VISIBLE_DEVICES=0 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
			},
		},
		{
			name: "a device that is asked for twice", host: withHook(),
			gpus: `[{"Driver":"nvidia.runtime-hook","Count":1},{"Driver":"nvidia.runtime-hook","DeviceIDs":["0","1"]}]`,
			want: []string{
				asked + " nvidia: granted", asked + " nvidia: granted",
				"0 nvidia.runtime-hook chosen", "1 nvidia.runtime-hook chosen",
				"0 gets a run with NVIDIA_VISIBLE_DEVICES=0,1 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
				"1 gets a run with NVIDIA_VISIBLE_DEVICES=0,1 NVIDIA_DRIVER_CAPABILITIES=compute,utility",
			},
		},
		{name: "without the hook, its lack is the reason", gpus: "driver=nvidia.runtime-hook,device=1", want: []string{
			asked + " nvidia: unserved", "0 " + noHookFailed,
			"E-DELEGATE " + `gpu-hook/gpus=driver=nvidia.runtime-hook,device=1: ` + noHook,
		}},
	} {
		test.run(t)
	}
}

// Without a device the driver's files are given.
func TestFiles(t *testing.T) {
	p, _ := scene{env: []string{"NVIDIA_VISIBLE_DEVICES=none"}}.plan(t)
	if e := p.Edits(); len(e.DeviceNodes) > 0 || len(e.Mounts) != 2 || len(p.CDIDevices) > 0 {
		t.Errorf("%d nodes, %d mounts", len(e.DeviceNodes), len(e.Mounts))
	}
}

// A reason is one line in the attempt that it explains.
func TestReasonsAreLines(t *testing.T) {
	broken := write("cdi/nvidia.yaml", "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices: 1\n", 0o644)
	p, _ := scene{host: broken, gpus: "driver=nvidia.cdi"}.plan(t)
	if len(p.Attempts) != 1 || !strings.Contains(p.Errors[0].Error(), "\n") {
		t.Fatalf("%v, %+v", p.Errors, p.Attempts)
	}
	for _, reason := range []string{p.Attempts[0].Reason, p.Requests[0].Reason} {
		if reason == "" || strings.Contains(reason, "\n") {
			t.Errorf("%q", reason)
		}
	}
}

// AMD's dialect knows why no Spec can define a device by its unique id.
func TestUnknownNames(t *testing.T) {
	p, _ := scene{host: withAMD(), gpus: "driver=amd,device=0xEF2C1799A1F3E2ED"}.plan(t)
	if !p.Failed() || p.Errors[0].Code() != "E-NAME" {
		t.Fatalf("%v", p.Errors)
	}
	q, _ := scene{host: withAMD(), gpus: "driver=amd,device=amd7"}.plan(t)
	if p.Errors[0].Hint() == q.Errors[0].Hint() {
		t.Errorf("one hint for both: %s", p.Errors[0].Hint())
	}
}

func TestDropped(t *testing.T) {
	scene{name: "a capability that the driver does not have", gpus: "driver=nvidia,capabilities=tpu", want: []string{
		asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
		"0 gets nvidia.com/gpu=0",
		"W-SKIPPED " + `gpu-hook/gpus=driver=nvidia,capabilities=tpu: driver "nvidia" has no capability tpu, which is ` +
			`left out`,
	}}.run(t)
}
