package planner

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// A Spec is stale if a host file that a container needs of it is missing, or if it was written for another driver than
// the host runs. on-stale decides what follows.
func TestStale(t *testing.T) {
	stale := func(value string) func(*config.Config) {
		return func(c *config.Config) { c.CDI.OnStale = value }
	}
	newDriver := write("version", "590.48.01\n", 0o644)
	noLibrary := remove("lib/libcuda.so." + gpuhost.Driver)
	const (
		spec    = "HOST/cdi/nvidia.yaml: "
		updated = spec + "written for driver 580.65.06, the host runs 590.48.01"
		missing = spec + "1 of its 2 host files are missing, first: HOST/lib/libcuda.so.580.65.06"
		both    = updated + "; 1 of its 2 host files are missing"
		hooked  = "0 gets a run with NVIDIA_VISIBLE_DEVICES=0 NVIDIA_DRIVER_CAPABILITIES=compute,utility"
	)
	served := []string{
		asked + " nvidia: granted", "0 nvidia.cdi chosen", hookSkipped,
		"0 gets nvidia.com/gpu=0",
	}
	next := func(why string) []string {
		return []string{
			asked + " nvidia: granted", "0 nvidia.cdi failed: " + why, "0 nvidia.runtime-hook chosen", hooked,
			"W-FALLBACK " + `gpu-hook/gpus=driver=nvidia: nvidia.runtime-hook serves it, because nvidia.cdi: ` + why,
		}
	}
	stops := func(why string) []string {
		return []string{
			asked + " nvidia: unserved", "0 nvidia.cdi failed: " + why, "0 nvidia.runtime-hook skipped: no other driver is " +
				"tried",
			"E-STALE " + `gpu-hook/gpus=driver=nvidia: ` + why,
		}
	}
	// optional is a library that the administrator lets containers do without.
	optional := func(c *config.Config) { c.CDI.Optional = []config.Pattern{"mount:" + gpuhost.LibDir + "/libcuda.so.*"} }
	for _, test := range []scene{
		{name: "as it was written", host: withHook(), want: served},
		{name: "for another driver", host: steps(withHook(), newDriver), want: next(updated)},
		{name: "with a file missing", host: steps(withHook(), noLibrary), want: next(missing)},
		{
			name: "for another driver, with a file missing", host: steps(withHook(), newDriver, noLibrary),
			want: next(both),
		},
		{name: "the host's driver is not known", host: steps(withHook(), remove("version")), want: served},
		{
			name: "a missing node makes no Spec stale", host: steps(withHook(), remove("dev/nvidia0")),
			want: next("HOST/dev/nvidia0: missing on this host"),
		},
		{
			name: "on-stale is a warning, for another driver", host: steps(withHook(), newDriver), configure: stale("warn"),
			want: append(served[:len(served):len(served)], "W-STALE "+updated),
		},
		{
			name: "on-stale is a warning, and it cannot be used", host: steps(withHook(), noLibrary), configure: stale("warn"),
			want: next(missing),
		},
		{
			name: "on-stale is an error, for another driver", host: steps(withHook(), newDriver),
			configure: stale("error"), want: stops(updated),
		},
		{
			name: "on-stale is an error, with a file missing", host: steps(withHook(), noLibrary),
			configure: stale("error"), want: stops(missing),
		},
		{
			name: "with an optional file missing", host: steps(withHook(), noLibrary), configure: optional,
			want: append(served[:len(served):len(served)], "W-SKIPPED mount of HOST/lib/libcuda.so.580.65.06: it is "+
				"missing on this host; "+
				`it is left out, which "mount:/usr/lib/x86_64-linux-gnu/libcuda.so.*" of optional under [cdi] allows`),
		},
	} {
		test.gpus = "driver=nvidia"
		test.run(t)
	}
}

// A Spec with another device number than the host's is stale too.
func TestOtherNumbers(t *testing.T) {
	numbered := func(h *gpuhost.Host) error {
		text := strings.ReplaceAll(h.Spec(), "hostPath: "+h.Path("dev/nvidia0"), "type: c\n      major: 9\n      minor: "+
			"9\n      hostPath: "+h.Path("dev/nvidia0"))
		return h.Write("cdi/nvidia.yaml", text, 0o644)
	}
	p, h := scene{host: numbered, gpus: "driver=nvidia.cdi"}.plan(t)
	if !p.Failed() {
		t.Fatal("it does not fail")
	}
	want := h.Path("bin/nvidia-ctk") + " cdi generate --output=" + h.Path("cdi/nvidia.yaml")
	if p.Errors[0].Code() != fault.Major || p.Errors[0].Hint() != want {
		t.Errorf("%s %v, hint %s", p.Errors[0].Code(), p.Errors[0], p.Errors[0].Hint())
	}
}

// The hint says how the Spec is generated again.
func TestRegenerate(t *testing.T) {
	const generate = "HOST/bin/nvidia-ctk cdi generate --output=HOST/cdi/nvidia.yaml"
	updated := steps(remove("lib/libcuda.so."+gpuhost.Driver), write("lib/libcuda.so.590.48.01", "", 0o644))
	other := write("version", "590.48.01\n", 0o644)
	for _, test := range []struct {
		want string
		host func(*gpuhost.Host) error
	}{
		{
			"gpu-hook doctor # libcuda is of the driver's package: this says how it is installed",
			remove("lib/libcuda.so." + gpuhost.Driver),
		},
		{"systemctl reboot # then: " + generate, updated},
		{"systemctl reboot # then: " + generate, other},
		{generate, steps(other, write("lib/libcuda.so.590.48.01", "", 0o644))},
	} {
		want := test.want
		p, h := scene{host: test.host, gpus: "driver=nvidia.cdi"}.plan(t)
		if !p.Failed() {
			t.Fatal("it does not fail")
		}
		if got := strings.ReplaceAll(p.Errors[0].Hint(), h.Dir, "HOST"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// What of a Spec was not understood is noted, once, and it explains why a device is not there.
func TestSpecNotes(t *testing.T) {
	misspelt := func(h *gpuhost.Host) error {
		return h.Write("cdi/nvidia.yaml", strings.ReplaceAll(h.Spec(), "  mounts:", "  mount:"), 0o644)
	}
	p, h := scene{host: misspelt, gpus: `[{"Driver":"nvidia","Count":1},{"Driver":"nvidia","DeviceIDs":["1"]}]`}.plan(t)
	if p.Failed() || len(p.Warnings) != 1 || p.Warnings[0].Code() != "W-SPEC" ||
		!strings.Contains(p.Warnings[0].Error(), h.Path("cdi/nvidia.yaml")) {
		t.Errorf("%v %v", p.Errors, p.Warnings)
	}
	gone := steps(misspelt, remove("dev/nvidia0"))
	p, _ = scene{host: gone, gpus: `[{"Driver":"nvidia.cdi","Count":1},{"Driver":"nvidia.cdi","DeviceIDs":["0"]}]`}.plan(t)
	if !p.Failed() || len(p.Warnings) != 1 || !strings.HasSuffix(p.Errors[0].Error(), "("+p.Warnings[0].Error()+")") {
		t.Errorf("%v %v", p.Errors, p.Warnings)
	}
}
