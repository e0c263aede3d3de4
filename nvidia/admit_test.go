package nvidia

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// The host's driver is 535.104.05, with CUDA 12.2.
func TestAdmit(t *testing.T) {
	unmet := "NVIDIA_REQUIRE_CUDA=cuda>=13: the host has driver 535.104.05 with CUDA 12.2"
	for _, test := range []struct {
		name         string
		env          []string
		privileged   bool
		closed       bool // environment does not count
		configure    func(*Contract)
		demands      [][]string // capabilities
		capabilities [][]string
		said         []string // warnings, and the error
	}{
		{"nothing special", nil, false, false, nil, [][]string{nil}, [][]string{{"compute", "utility"}}, nil},
		{
			"a request's own parts of the driver",
			[]string{"NVIDIA_DRIVER_CAPABILITIES=video"},
			false, false,
			nil,
			[][]string{{"gpu", "compute"}, {"gpu"}},
			[][]string{{"compute"}, {"video"}},
			nil,
		},
		{"all of them", nil, false, false, nil, [][]string{{"all"}}, [][]string{Capabilities()}, nil},
		{
			"a legacy image",
			[]string{"CUDA_VERSION=11.6"},
			false, false, nil,
			[][]string{nil},
			[][]string{Capabilities()},
			nil,
		},
		{"no demands", []string{"NVIDIA_DRIVER_CAPABILITIES=magic"}, false, false, nil, nil, nil, nil},
		{
			"a part that is not supported",
			[]string{"NVIDIA_DRIVER_CAPABILITIES=video"},
			false, false,
			func(n *Contract) { n.Supported = []string{"compute"} },
			[][]string{nil},
			nil,
			[]string{
				`E-POLICY NVIDIA_DRIVER_CAPABILITIES=video: driver capability "video" is not supported on this host; ` +
					"supported: compute",
			},
		},
		{
			"a requested part that is not supported", nil, false, false,
			func(n *Contract) { n.Supported = []string{"compute"} },
			[][]string{{"video"}},
			nil,
			[]string{
				`E-POLICY the request: driver capability "video" is not supported on this host; ` +
					"supported: compute",
			},
		},
		{
			"a part that nobody knows",
			[]string{"NVIDIA_DRIVER_CAPABILITIES=magic"},
			false, false, nil,
			[][]string{nil},
			nil,
			[]string{
				`E-REQUEST NVIDIA_DRIVER_CAPABILITIES=magic: driver capability "magic" is not known; ` +
					"supported: compat32, compute, display, graphics, ngx, utility, video",
			},
		},
		{
			"MIG devices, privileged",
			[]string{"NVIDIA_MIG_CONFIG_DEVICES=all"},
			true, false, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			nil,
		},
		{
			"MIG devices, not privileged",
			[]string{"NVIDIA_MIG_CONFIG_DEVICES=all"},
			false, false, nil,
			[][]string{nil},
			nil,
			[]string{
				`E-POLICY NVIDIA_MIG_CONFIG_DEVICES=all: only a privileged container ` +
					"(CAP_SYS_ADMIN) may configure or watch MIG devices",
			},
		},
		{
			"MIG devices to watch, not privileged",
			[]string{"NVIDIA_MIG_MONITOR_DEVICES=0"},
			false, false, nil,
			[][]string{nil},
			nil,
			[]string{
				`E-POLICY NVIDIA_MIG_MONITOR_DEVICES=0: only a privileged container ` +
					"(CAP_SYS_ADMIN) may configure or watch MIG devices",
			},
		},
		{
			"MIG devices, where environment does not count",
			[]string{"NVIDIA_MIG_CONFIG_DEVICES=all"},
			false,
			true, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			[]string{
				`W-REFUSED NVIDIA_MIG_CONFIG_DEVICES=all: environment does not count for this container`,
			},
		},
		{
			"no MIG devices",
			[]string{"NVIDIA_MIG_CONFIG_DEVICES="},
			false, false, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			nil,
		},
		{
			"requirements that are met",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=12.2"},
			false, false, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			nil,
		},
		{
			"requirements that are not met",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=13"},
			false, false, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			[]string{"E-REQUIRE " + unmet},
		},
		{
			"requirements that are not met, as a warning",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=13"},
			false,
			false, func(n *Contract) { n.Requirements = "warn" },
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			[]string{"W-REQUIRE " + unmet},
		},
		{
			"requirements that are ignored",
			[]string{"NVIDIA_REQUIRE_CUDA=nonsense"},
			false, false,
			func(n *Contract) { n.Requirements = "ignore" },
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			nil,
		},
		{
			"requirements that the image turns off",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=13", "NVIDIA_DISABLE_REQUIRE=1"},
			false, false, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			nil,
		},
		{
			"requirements that make no sense",
			[]string{"NVIDIA_REQUIRE_CUDA=nonsense"},
			false, false, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			[]string{
				`E-REQUIRE image: NVIDIA_REQUIRE_CUDA: clause "nonsense" has no operator`,
			},
		},
		{
			"requirements that make no sense, as a warning",
			[]string{"NVIDIA_REQUIRE_CUDA=nonsense"},
			false,
			false, func(n *Contract) { n.Requirements = "warn" },
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			[]string{
				`W-REQUIRE image: NVIDIA_REQUIRE_CUDA: clause "nonsense" has no operator`,
			},
		},
		{
			"requirements that only the GPU could tell",
			[]string{"NVIDIA_REQUIRE_GPU=brand=tesla"},
			false,
			false, nil,
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			[]string{
				`W-REQUIRE NVIDIA_REQUIRE_GPU=brand=tesla: whether the host meets brand=tesla is not known here ` +
					`(driver 535.104.05, CUDA 12.2)`,
			},
		},
		{
			"requirements of a host whose driver is not known",
			[]string{"NVIDIA_REQUIRE_CUDA=cuda>=13"},
			false,
			false, func(n *Contract) { n.DriverVersionFile = "/nowhere" },
			[][]string{nil},
			[][]string{{"compute", "utility"}},
			[]string{
				`W-REQUIRE NVIDIA_REQUIRE_CUDA=cuda>=13: whether the host meets cuda>=13 is not known here ` +
					`(driver not known, CUDA not known)`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := contractOf(t, Toolkit{})
			if test.configure != nil {
				test.configure(&n)
			}
			c := image(test.env...)
			if test.privileged {
				privileged(c)
			}
			var demands []contract.Demand
			for _, d := range test.demands {
				demands = append(demands, contract.Demand{What: "the request", Capabilities: d})
			}
			a, err := n.Admit(contract.Container{Container: c, EnvCounts: !test.closed}, demands)
			var said []string
			for _, f := range a.Warnings {
				said = append(said, string(f.Code())+" "+f.Error())
			}
			if f := fault.From(err); f != nil {
				said = append(said, string(f.Code())+" "+f.Error())
				if f.Hint() == "" {
					t.Error("there is no hint")
				}
			}
			if diff := cmp.Diff(test.said, said, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.capabilities, a.Capabilities, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// CDI has no name for the right to configure or watch MIG devices.
func TestBeyondCDI(t *testing.T) {
	for name, test := range map[string]struct {
		container *state.Container
		counts    bool
		want      string
	}{
		"no such request":            {image("NVIDIA_VISIBLE_DEVICES=all"), true, ""},
		"to configure":               {image("NVIDIA_MIG_CONFIG_DEVICES=all"), true, "NVIDIA_MIG_CONFIG_DEVICES"},
		"to watch":                   {image("NVIDIA_MIG_MONITOR_DEVICES=all"), true, "NVIDIA_MIG_MONITOR_DEVICES"},
		"environment does not count": {image("NVIDIA_MIG_CONFIG_DEVICES=all"), false, ""},
	} {
		err := Contract{}.BeyondCDI(contract.Container{Container: test.container, EnvCounts: test.counts})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!fault.Is(err, fault.Name) || fault.From(err).What() != test.want):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The image's compatibility libraries may help where the driver is too old. They are looked up in the image's own root.
func TestCompatibility(t *testing.T) {
	const libs = "; its own libraries for CUDA "
	const none = ""
	file := func(name string) func(string) error {
		return func(root string) error {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			return os.WriteFile(path, nil, 0o600)
		}
	}
	link := func(target, name, with string) func(string) error {
		return func(root string) error {
			if err := file(with)(root); err != nil {
				return err
			}
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			return os.Symlink(target, path)
		}
	}
	const compat = "usr/local/cuda/compat/"
	for _, test := range []struct {
		name, require string
		image         func(root string) error // nil for no root
		want          string
	}{
		{"no root", "cuda>=13", nil, none},
		{"no folder", "cuda>=13", file("etc/x"), none},
		{"no library of a driver", "cuda>=13", file(compat + "libcuda.so.1"), none},
		{"a library without a whole version", "cuda>=13", file(compat + "libcuda.so.580"), none},
		{
			"a newer driver's", "cuda>=13", file(compat + "libcuda.so.580.65.06"),
			libs + "13.0 help on a data centre's GPU",
		},
		{
			"an older driver's", "cuda>=13", file(compat + "libcuda.so.550.1"),
			libs + "12.4 do not help",
		},
		{
			"of which it is not known", "cuda>=14", file(compat + "libcuda.so.700.1"),
			libs + "13.1 or newer may help on a data centre's GPU",
		},
		{
			"the driver itself stays old", "driver>=580", file(compat + "libcuda.so.580.65.06"),
			libs + "13.0 do not help",
		},
		{
			"by a link in the image", "cuda>=13",
			link("/usr/local/cuda-13", "usr/local/cuda", "usr/local/cuda-13/compat/libcuda.so.580.65.06"),
			libs + "13.0 help on a data centre's GPU",
		},
		{
			"a link out of the image leads nowhere", "cuda>=13",
			link("../../../../outside", "usr/local/cuda", "../outside/compat/libcuda.so.580.65.06"), none,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			host, err := ParseDriver("535.104.05")
			if err != nil {
				t.Fatal(err)
			}
			c := view(image("NVIDIA_REQUIRE_CUDA=" + test.require))
			if test.image != nil {
				c.Root = filepath.Join(t.TempDir(), "rootfs")
				if err := test.image(c.Root); err != nil {
					t.Fatal(err)
				}
			}
			requirements, err := Requirements(c.Container)
			if err != nil {
				t.Fatal(err)
			}
			if got := compatibility(c, requirements[0], host); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
