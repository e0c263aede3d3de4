package request

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/config"
)

// Each mount asks for one device by the place that it is on.
func TestMounts(t *testing.T) {
	mounts := func(below ...string) asking { return asking{null: below} }
	gathering{
		{"an id", mounts("GPU-1"), []string{"mount: nvidia GPU-1"}},
		{"ids", mounts("1", "0"), []string{"mount: nvidia 1 0"}},
		{"all", mounts("all"), []string{"mount: nvidia all"}},
		{"a MIG device in NVIDIA's form", mounts("MIG-GPU-a/1/0"), []string{"mount: nvidia MIG-GPU-a/1/0"}},
		{"a CDI device", mounts("cdi/acme.com/hsm/0"), []string{"mount: acme.com acme.com/hsm=0"}},
		{
			"a CDI device, with the name behind a sign", mounts("cdi/nvidia.com/gpu=0"), []string{
				"mount: nvidia nvidia.com/gpu=0",
			},
		},
		{
			"an id and another vendor's CDI device", mounts("0", "cdi/amd.com/gpu/1"), []string{
				"mount: nvidia 0", "mount: amd amd.com/gpu=1",
			},
		},
		{"no CDI device", mounts("cdi/acme.com"), []string{
			"mount: nobody (E-REQUEST: a CDI device is asked for by a mount on cdi/VENDOR/CLASS/NAME or " +
				"cdi/VENDOR/CLASS=NAME below /var/run/nvidia-container-devices)",
		}},
		{"no CDI device, for two elements without a sign", mounts("cdi/acme.com/hsm"), []string{
			"mount: nobody (E-REQUEST: a CDI device is asked for by a mount on cdi/VENDOR/CLASS/NAME or " +
				"cdi/VENDOR/CLASS=NAME below /var/run/nvidia-container-devices)",
		}},
		{"an IMEX channel", mounts("imex/3"), []string{"mount: nvidia part imex 3"}},
		{"channels and a GPU", mounts("imex/3", "0", "imex/1"), []string{"mount: nvidia 0", "mount: nvidia part imex 3 1"}},
		{"no channel", mounts("imex/3/4"), []string{
			"mount: nobody (E-REQUEST: an IMEX channel is asked for by a mount on imex/CHANNEL below " +
				"/var/run/nvidia-container-devices)",
		}},
		{"a channel that is no number", mounts("imex/x"), []string{
			`mount: nvidia part imex (E-REQUEST: IMEX channel "x" is not a number from 0 to 1048575)`,
		}},
		{"nothing, as Specs have it", mounts("void"), []string{"mount: nvidia void (empty: it asks for nothing: void)"}},
		{"the files alone", mounts("none"), []string{"mount: nvidia files wish"}},
		{"no id", mounts("a b"), []string{
			`mount: nvidia (E-REQUEST: "a b" is not a device id: it may have letters, digits and . : _ - alone)`,
		}},
		{
			"no vendor whose devices mounts ask for", asking{null: []string{"0", "imex/1"}, configure: func(c *config.Config) {
				c.Vendors = c.Vendors[1:]
			}}, []string{
				`mount: nobody (E-REQUEST: "0" has no kind: a device is asked for here by its qualified name ` +
					`(vendor.com/class=name))`,
			},
		},
	}.run(t)
}

// A mount of anything else, or anywhere else, asks for nothing.
func TestOtherMounts(t *testing.T) {
	for _, m := range []specs.Mount{
		{Source: "/dev/zero", Destination: "/var/run/nvidia-container-devices/0"},
		{Source: "/dev/null", Destination: "/var/run/nvidia-container-devices"},
		{Source: "/dev/null", Destination: "/var/run/nvidia-container-devices2/0"},
		{Source: "/dev/null", Destination: "/run/nvidia-container-devices/0"},
		{Source: "/dev/null", Destination: "/var/run/nvidia-container-devices/../0"},
	} {
		c := asking{}.container()
		c.Spec.Mounts = []specs.Mount{m}
		if got := lines(Gather(config.Defaults(), c, nil)); len(got) > 0 {
			t.Errorf("%s on %s: %q", m.Source, m.Destination, got)
		}
	}
}

// The value of a mount's request is every place, sorted, so that it does not depend on the order of the mounts.
func TestMountsValue(t *testing.T) {
	for _, below := range [][]string{{"b", "a", "imex/1", "a"}, {"imex/1", "a", "a", "b"}} {
		for _, r := range (asking{null: below}).gather() {
			if r.Value != "a,b,imex/1" {
				t.Errorf("%q: %q", below, r.Value)
			}
		}
	}
}
