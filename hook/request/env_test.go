package request

import (
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
)

func environment(env ...string) asking { return asking{env: env} }

func TestEnvironment(t *testing.T) {
	const source = "env:NVIDIA_VISIBLE_DEVICES: "
	gathering{
		{"unset", environment("PATH=/bin"), nil},
		{"an index", environment("NVIDIA_VISIBLE_DEVICES=0"), []string{source + "nvidia 0"}},
		{"UUIDs and MIG devices", environment("NVIDIA_VISIBLE_DEVICES=GPU-1,0:1,MIG-2,MIG-GPU-3/1/0"), []string{
			source + "nvidia GPU-1 0:1 MIG-2 MIG-GPU-3/1/0",
		}},
		{"all is a wish", environment("NVIDIA_VISIBLE_DEVICES=all"), []string{source + "nvidia all wish"}},
		{"all beside an id is all", environment("NVIDIA_VISIBLE_DEVICES=0,all"), []string{source + "nvidia all wish"}},
		{
			"none is the files, as a wish", environment("NVIDIA_VISIBLE_DEVICES=none"), []string{
				source + "nvidia files wish",
			},
		},
		{
			"void", environment("NVIDIA_VISIBLE_DEVICES=void"), []string{
				source + "nvidia void (empty: it asks for nothing: void)",
			},
		},
		{"empty", environment("NVIDIA_VISIBLE_DEVICES="), []string{source + "nvidia (empty: it asks for nothing: empty)"}},
		{"no id", environment("NVIDIA_VISIBLE_DEVICES=a b"), []string{
			source + `nvidia (E-REQUEST: "a b" is not a device id: it may have letters, digits and . : _ - alone)`,
		}},
		{"see the mounts", environment("NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices"), nil},
		{
			"the last entry counts, as for runtimes",
			environment("NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=1"),
			[]string{
				source + "nvidia 1",
			},
		},
		{"AMD's grammar", environment("AMD_VISIBLE_DEVICES=0-2"), []string{"env:AMD_VISIBLE_DEVICES: amd 0 1 2"}},
		{"AMD's none is nothing", environment("AMD_VISIBLE_DEVICES=none"), []string{
			"env:AMD_VISIBLE_DEVICES: amd (empty: it asks for nothing: none)",
		}},
		{"AMD's ALL", environment("AMD_VISIBLE_DEVICES=ALL"), []string{"env:AMD_VISIBLE_DEVICES: amd all wish"}},
		{"no range of AMD's", environment("AMD_VISIBLE_DEVICES=2-1"), []string{
			`env:AMD_VISIBLE_DEVICES: amd (E-REQUEST: range "2-1" runs backwards)`,
		}},
		{"both vendors", environment("AMD_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=1"), []string{
			source + "nvidia 1", "env:AMD_VISIBLE_DEVICES: amd 0",
		}},
		{"a vendor without a variable", environment("INTEL_VISIBLE_DEVICES=0"), nil},
		{"an entry without a name is not the variable of a vendor without one", environment("=0"), nil},
	}.run(t)
}

// The variable asks for devices of its own vendor, and for kinds that the administrator has listed. Otherwise an image
// would get any device of the host.
func TestForeignDevices(t *testing.T) {
	const (
		source  = "env:NVIDIA_VISIBLE_DEVICES: "
		refused = " (refused: it is of another vendor than the variable, and env-kinds of [[vendor]] nvidia does not " +
			"list its kind)"
	)
	kinds := func(kinds ...string) func(*config.Config) {
		return func(c *config.Config) { c.Vendors[0].EnvKinds = kinds }
	}
	hsm := environment("NVIDIA_VISIBLE_DEVICES=acme.com/hsm=0")
	gathering{
		{
			"its own by the qualified name", environment("NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=0"), []string{
				source + "nvidia nvidia.com/gpu=0",
			},
		},
		{
			"another class of its own", environment("NVIDIA_VISIBLE_DEVICES=nvidia.com/gds=all"), []string{
				source + "nvidia.com nvidia.com/gds=all",
			},
		},
		{
			"another configured vendor's", environment("NVIDIA_VISIBLE_DEVICES=amd.com/gpu=0"), []string{
				source + "amd amd.com/gpu=0" + refused,
			},
		},
		{"nobody's", hsm, []string{source + "acme.com acme.com/hsm=0" + refused}},
		{"beside its own", environment("NVIDIA_VISIBLE_DEVICES=0,acme.com/hsm=0"), []string{
			source + "nvidia 0", source + "acme.com acme.com/hsm=0" + refused,
		}},
		{"a listed kind", hsm.with(kinds("acme.com/hsm")), []string{source + "acme.com acme.com/hsm=0"}},
		{"another kind is listed", hsm.with(kinds("acme.com/nic")), []string{source + "acme.com acme.com/hsm=0" + refused}},
		{"every kind of the vendor is listed", hsm.with(kinds("acme.com/*")), []string{source + "acme.com acme.com/hsm=0"}},
		{
			"every kind of another vendor is listed", hsm.with(kinds("acme.org/*")), []string{
				source + "acme.com acme.com/hsm=0" + refused,
			},
		},
	}.run(t)
}

// env-all says what a bare "all" is.
func TestEnvAll(t *testing.T) {
	all := func(value string) func(*config.Config) {
		return func(c *config.Config) { c.Requests.EnvAll = value }
	}
	const source = "env:NVIDIA_VISIBLE_DEVICES: nvidia "
	bare := environment("NVIDIA_VISIBLE_DEVICES=all")
	legacy := environment("CUDA_VERSION=11.6")
	gathering{
		{"weak", bare.with(all("weak")), []string{source + "all wish"}},
		{"accept", bare.with(all("accept")), []string{source + "all"}},
		{"ignore", bare.with(all("ignore")), []string{source + `all (refused: [requests] env-all is "ignore")`}},
		{
			"ignore concerns a bare all alone", environment("NVIDIA_VISIBLE_DEVICES=0").with(all("ignore")), []string{
				source + "0",
			},
		},
		{"a qualified all is named", environment("NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=all").with(all("ignore")), []string{
			source + "nvidia.com/gpu=all",
		}},
		{"a legacy image, weak", legacy, []string{"env:CUDA_VERSION: nvidia all wish"}},
		{"a legacy image, accept", legacy.with(all("accept")), []string{"env:CUDA_VERSION: nvidia all"}},
		{"a legacy image, ignore", legacy.with(all("ignore")), []string{
			`env:CUDA_VERSION: nvidia all (refused: [requests] env-all is "ignore")`,
		}},
	}.run(t)
}

// An image that sets CUDA_VERSION, and neither NVIDIA_REQUIRE_CUDA nor NVIDIA_VISIBLE_DEVICES, asks for all.
func TestLegacyImages(t *testing.T) {
	gathering{
		{
			"of the time before the variable", environment("CUDA_VERSION=11.6"), []string{
				"env:CUDA_VERSION: nvidia all wish",
			},
		},
		{"one that says nothing", environment("CUDA_VERSION="), nil},
		{"one that states what it requires", environment("CUDA_VERSION=11.6", "NVIDIA_REQUIRE_CUDA=cuda>=11.6"), nil},
		{"one with the variable", environment("CUDA_VERSION=11.6", "NVIDIA_VISIBLE_DEVICES=0"), []string{
			"env:NVIDIA_VISIBLE_DEVICES: nvidia 0",
		}},
		{"one with the variable, empty", environment("CUDA_VERSION=11.6", "NVIDIA_VISIBLE_DEVICES="), []string{
			"env:NVIDIA_VISIBLE_DEVICES: nvidia (empty: it asks for nothing: empty)",
		}},
		{"another vendor's variable", environment("CUDA_VERSION=11.6", "AMD_VISIBLE_DEVICES=0"), []string{
			"env:CUDA_VERSION: nvidia all wish", "env:AMD_VISIBLE_DEVICES: amd 0",
		}},
	}.run(t)
}

// preferred-env are variables that stand in the place of the first vendor's, if one of them is set.
func TestPreferredEnv(t *testing.T) {
	preferred := func(c *config.Config) { c.Requests.PreferredEnv = []string{"DOCKER_RESOURCE_A", "DOCKER_RESOURCE_B"} }
	const own = "env:NVIDIA_VISIBLE_DEVICES: nvidia "
	gathering{
		{"none is set", environment("NVIDIA_VISIBLE_DEVICES=1").with(preferred), []string{own + "1"}},
		{"one is set", environment("DOCKER_RESOURCE_B=0").with(preferred), []string{"env:DOCKER_RESOURCE_B: nvidia 0"}},
		{"both are one list", environment("DOCKER_RESOURCE_B=1", "DOCKER_RESOURCE_A=0").with(preferred), []string{
			"env:DOCKER_RESOURCE_A+DOCKER_RESOURCE_B: nvidia 0 1",
		}},
		{
			"beside the vendor's own",
			environment("DOCKER_RESOURCE_A=0", "NVIDIA_VISIBLE_DEVICES=1").with(preferred),
			[]string{
				"env:DOCKER_RESOURCE_A: nvidia 0", own + "1 replaced",
			},
		},
		{
			"empty, it is set all the same",
			environment("DOCKER_RESOURCE_A=", "NVIDIA_VISIBLE_DEVICES=1").with(preferred),
			[]string{
				"env:DOCKER_RESOURCE_A: nvidia (empty: it asks for nothing: empty)", own + "1 replaced",
			},
		},
		{"not for the second vendor", environment("DOCKER_RESOURCE_A=0", "AMD_VISIBLE_DEVICES=1").with(preferred), []string{
			"env:DOCKER_RESOURCE_A: nvidia 0", "env:AMD_VISIBLE_DEVICES: amd 1",
		}},
		{"not configured", environment("DOCKER_RESOURCE_A=0"), nil},
	}.run(t)
}

func TestIMEXChannels(t *testing.T) {
	const source = "env:NVIDIA_IMEX_CHANNELS: nvidia part imex "
	gathering{
		{"channels", environment("NVIDIA_IMEX_CHANNELS=0,2"), []string{source + "0 2"}},
		{"beside devices", environment("NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_IMEX_CHANNELS=0"), []string{
			"env:NVIDIA_VISIBLE_DEVICES: nvidia all wish", source + "0",
		}},
		{"empty", environment("NVIDIA_IMEX_CHANNELS="), []string{source + "(empty: it asks for nothing: no IMEX channel)"}},
		{"all is none, as with NVIDIA's tools", environment("NVIDIA_IMEX_CHANNELS=all"), []string{
			source + "(empty: it asks for nothing: no IMEX channel)",
		}},
		{"no number", environment("NVIDIA_IMEX_CHANNELS=x"), []string{
			source + `(E-REQUEST: IMEX channel "x" is not a number from 0 to 1048575)`,
		}},
	}.run(t)
	r := environment("NVIDIA_IMEX_CHANNELS=x").gather()[0]
	if want := "ask for IMEX channels by their numbers, for example 0,1"; r.Err.Hint() != want {
		t.Errorf("hint %q", r.Err.Hint())
	}
	channel := environment("NVIDIA_IMEX_CHANNELS=0").gather()[0]
	if names := channel.Names(channel.Vendors[0]); len(names) != 1 || names[0].String() != "nvidia.com/imex-channel=0" {
		t.Errorf("names %v", names)
	}
}

// accept-env-unprivileged = false: the environment counts for privileged containers alone.
func TestUnprivileged(t *testing.T) {
	strict := func(c *config.Config) { c.Requests.AcceptEnvUnprivileged = false }
	privileged := func(a asking) asking {
		a.privileged = true
		return a
	}
	const (
		source = "env:NVIDIA_VISIBLE_DEVICES: nvidia "
		why    = "[requests] accept-env-unprivileged is false, and the container is not privileged"
	)
	zero := environment("NVIDIA_VISIBLE_DEVICES=0").with(strict)
	gathering{
		{"privileged", privileged(zero), []string{source + "0"}},
		{"not privileged", zero, []string{source + "0 (refused: " + why + ")"}},
		{
			"a wish", environment("NVIDIA_VISIBLE_DEVICES=all").with(strict), []string{
				source + "all wish (refused: " + why + ")",
			},
		},
		{"a channel", environment("NVIDIA_IMEX_CHANNELS=0").with(strict), []string{
			"env:NVIDIA_IMEX_CHANNELS: nvidia part imex 0 (refused: " + why + ")",
		}},
		{"an explicit nothing does not count either", environment("NVIDIA_VISIBLE_DEVICES=void").with(strict), nil},
		{"what makes no sense does not count either", environment("NVIDIA_VISIBLE_DEVICES=?").with(strict), []string{
			source + "(refused: " + why + ")",
		}},
		{"another reason stays", environment("NVIDIA_VISIBLE_DEVICES=acme.com/hsm=0").with(strict), []string{
			"env:NVIDIA_VISIBLE_DEVICES: acme.com acme.com/hsm=0 (refused: it is of another vendor than the variable, " +
				"and env-kinds of [[vendor]] nvidia does not list its kind)",
		}},
		{"other sources are not concerned", asking{null: []string{"0"}, configure: strict}, []string{"mount: nvidia 0"}},
	}.run(t)
	for name, test := range map[string]struct {
		asking
		want string
	}{
		"open":           {asking{}, ""},
		"not privileged": {asking{configure: strict}, why},
		"privileged":     {asking{configure: strict, privileged: true}, ""},
		"not for CRI-O":  {asking{engine: "cri-o", privileged: true}, `[engines.cri-o] sources does not list "env"`},
		"not for anything": {asking{configure: func(c *config.Config) { c.Requests.Sources = nil }}, `[requests] ` +
			`sources does not list "env"`},
	} {
		if got := EnvClosed(test.config(), test.container()); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
