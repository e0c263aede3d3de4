package nvidia

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// contractOf is NVIDIA's contract with this toolkit, on a host whose driver is 535.104.05 (CUDA 12.2).
func contractOf(t *testing.T, toolkit Toolkit) Contract {
	t.Helper()
	file := filepath.Join(t.TempDir(), "version")
	if err := os.WriteFile(file, []byte("535.104.05\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Contract{
		Compatible: Compatible{None: contract.None{Dialect: Dialect{}}, Toolkit: toolkit, Variable: VisibleDevices},
		Supported:  Capabilities(), Requirements: RequirementsEnforce, DriverVersionFile: file, ConfigFile: "/etc/c.toml",
	}
}

// view is a container as the contract sees it.
func view(c *state.Container) contract.Container {
	return contract.Container{Container: c, EnvCounts: true}
}

func privileged(c *state.Container) *state.Container {
	c.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_ADMIN"}}
	return c
}

func TestContractsRequests(t *testing.T) {
	var n Contract
	for variable, want := range map[string]bool{
		"NVIDIA_VISIBLE_DEVICES": true, "NVIDIA_DRIVER_CAPABILITIES": true, "NVIDIA_IMEX_CHANNELS": true,
		"NVIDIA_MIG_CONFIG_DEVICES": true, "NVIDIA_MIG_MONITOR_DEVICES": true, "NVIDIA_DISABLE_REQUIRE": true,
		"CUDA_VERSION": true, "NVIDIA_REQUIRE_CUDA": true, "NVIDIA_REQUIRE_": true, "NVIDIA_REQUIRE": false,
		"AMD_VISIBLE_DEVICES": false, "PATH": false, "": false,
	} {
		if got := n.Asks(variable); got != want {
			t.Errorf("%s has a say: %v", variable, got)
		}
	}
	for value, want := range map[string]bool{
		"/var/run/nvidia-container-devices": true, "/var/run/nvidia-container-devices/": false, "all": false, "": false,
	} {
		if got := n.SeeMounts(value); got != want {
			t.Errorf("%q says to see the mounts: %v", value, got)
		}
	}
	if !n.ByMounts() || !n.IsID("MIG-GPU-a/1/0") || n.IsID("GPU-a") {
		t.Error("mounts ask for NVIDIA's devices, and MIG devices have ids that CDI has no name for")
	}
	parts := n.Parts()
	if len(parts) != 1 || parts[0].Kind != "nvidia.com/imex-channel" || parts[0].Variable != "NVIDIA_IMEX_CHANNELS" {
		t.Errorf("%+v", parts)
	}
}

func TestUnset(t *testing.T) {
	for _, test := range []struct {
		name     string
		env      []string
		variable string
		value    string
	}{
		{"another image", nil, "", ""},
		{"a legacy image", []string{"CUDA_VERSION=11.6"}, "CUDA_VERSION", "11.6"},
		{"one that states what it requires", []string{"CUDA_VERSION=11.6", "NVIDIA_REQUIRE_CUDA=cuda>=11"}, "", ""},
	} {
		if variable, value := (Contract{}).Unset(image(test.env...)); variable != test.variable || value != test.value {
			t.Errorf("%s: %s %q", test.name, variable, value)
		}
	}
}

// No other value than "enabled" counts.
func TestFeatures(t *testing.T) {
	kinds := func(env ...string) (out []string) {
		for _, f := range (Contract{}).Features(image(env...)) {
			out = append(out, f.Variable+"="+f.Value+" "+f.Kind)
		}
		return out
	}
	all := kinds("NVIDIA_NVSWITCH=enabled", "NVIDIA_GDRCOPY=enabled", "NVIDIA_MOFED=enabled", "NVIDIA_GDS=enabled")
	if diff := cmp.Diff([]string{
		"NVIDIA_GDS=enabled nvidia.com/gds", "NVIDIA_MOFED=enabled nvidia.com/mofed",
		"NVIDIA_GDRCOPY=enabled nvidia.com/gdrcopy", "NVIDIA_NVSWITCH=enabled nvidia.com/nvswitch",
	}, all); diff != "" {
		t.Error(diff)
	}
	if got := kinds("NVIDIA_GDS=1", "NVIDIA_MOFED=Enabled", "NVIDIA_GDRCOPY=", "NVIDIA_X=enabled"); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// NVIDIA's own hook is found among the hooks that run before the container's program, by either of its names.
func TestOther(t *testing.T) {
	n := contractOf(t, Toolkit{Config: "/nowhere/config.toml"})
	hooks := func(path string) []specs.Hook { return []specs.Hook{{Path: "/bin/other"}, {Path: path}} }
	const hook, old = "/usr/bin/nvidia-container-runtime-hook", "/opt/nvidia-container-toolkit"
	for _, test := range []struct {
		name  string
		hooks *specs.Hooks
		want  string
	}{
		{"no hooks", nil, ""},
		{"another hook", &specs.Hooks{CreateRuntime: hooks("/usr/bin/nvidia-ctk")}, ""},
		{
			"prestart", &specs.Hooks{Prestart: hooks(hook)}, //nolint:staticcheck // as NVIDIA's tools write it
			hook + " prestart",
		},
		{"createRuntime", &specs.Hooks{CreateRuntime: hooks(hook)}, hook + " createRuntime"},
		{"its old name", &specs.Hooks{CreateRuntime: hooks(old)}, old + " createRuntime"},
		{"another stage", &specs.Hooks{Poststop: hooks(hook)}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := image("NVIDIA_VISIBLE_DEVICES=0,1", "NVIDIA_DRIVER_CAPABILITIES=video, compute")
			c.Spec.Hooks = test.hooks
			o := n.Other(c)
			if (o == nil) != (test.want == "") {
				t.Fatalf("%+v", o)
			}
			if o == nil {
				return
			}
			want := &contract.Other{
				Serves: contract.Visible{IDs: []string{"0", "1"}}, Variable: "NVIDIA_VISIBLE_DEVICES", Value: "0,1",
				Selected: []string{"video", "compute"}, Off: "NVIDIA_VISIBLE_DEVICES=void",
			}
			want.Path, want.Stage, _ = strings.Cut(test.want, " ")
			if diff := cmp.Diff(want, o); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What NVIDIA's hook serves of its own accord is decided by its own rules and configuration.
func TestServes(t *testing.T) {
	const (
		mounts = "accept-nvidia-visible-devices-as-volume-mounts = true\n"
		closed = "accept-nvidia-visible-devices-envvar-when-unprivileged = false\n"
		swarm  = "swarm-resource = 'DOCKER_RESOURCE_A, DOCKER_RESOURCE_B'\n"
	)
	ids := func(ids ...string) contract.Visible { return contract.Visible{IDs: ids} }
	for _, test := range []struct {
		name       string
		config     string
		env        []string
		mount      bool
		privileged bool
		want       contract.Visible
		variable   string
		value      string
	}{
		{"the variable", "", []string{"NVIDIA_VISIBLE_DEVICES=0"}, false, false, ids("0"), "NVIDIA_VISIBLE_DEVICES", "0"},
		{"nothing", "", nil, false, false, contract.Visible{Nothing: "empty"}, "", ""},
		{
			"void", "",
			[]string{"NVIDIA_VISIBLE_DEVICES=void"},
			false, false,
			contract.Visible{Nothing: "void"},
			"NVIDIA_VISIBLE_DEVICES", "void",
		},
		{"a legacy image", "", []string{"CUDA_VERSION=11"}, false, false, ids("all"), "CUDA_VERSION", "11"},
		{
			"mounts that do not count", "",
			[]string{"NVIDIA_VISIBLE_DEVICES=0"},
			true, false, ids("0"),
			"NVIDIA_VISIBLE_DEVICES", "0",
		},
		{"mounts that count", mounts, []string{"NVIDIA_VISIBLE_DEVICES=0"}, true, false, ids("GPU-1"), "", "GPU-1"},
		{
			"mounts that would count", mounts,
			[]string{"NVIDIA_VISIBLE_DEVICES=0"},
			false, false, ids("0"),
			"NVIDIA_VISIBLE_DEVICES", "0",
		},
		{
			"the environment is closed", closed,
			[]string{"NVIDIA_VISIBLE_DEVICES=0"},
			false, false,
			contract.Visible{Nothing: "closed"},
			"", "",
		},
		{
			"the environment is closed, to others", closed,
			[]string{"NVIDIA_VISIBLE_DEVICES=0"},
			false, true,
			ids("0"), "NVIDIA_VISIBLE_DEVICES", "0",
		},
		{
			"a resource", swarm,
			[]string{"NVIDIA_VISIBLE_DEVICES=0", "DOCKER_RESOURCE_B=1"},
			false, false,
			ids("1"), "DOCKER_RESOURCE_B", "1",
		},
		{
			"two resources", swarm,
			[]string{"DOCKER_RESOURCE_B=1", "DOCKER_RESOURCE_A=2"},
			false, false,
			ids("2", "1"), "DOCKER_RESOURCE_A+DOCKER_RESOURCE_B", "2,1",
		},
		{
			"no resource is set", swarm,
			[]string{"NVIDIA_VISIBLE_DEVICES=0"},
			false, false, ids("0"),
			"NVIDIA_VISIBLE_DEVICES", "0",
		},
		{
			"a configuration that cannot be read stands for the defaults", "x",
			[]string{"NVIDIA_VISIBLE_DEVICES=0"},
			true, false, ids("0"), "NVIDIA_VISIBLE_DEVICES", "0",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			toolkit, _ := installed(t, test.config)
			c := image(test.env...)
			if test.mount {
				c.Spec.Mounts = []specs.Mount{{Source: "/dev/null", Destination: "/var/run/nvidia-container-devices/GPU-1"}}
			}
			if test.privileged {
				privileged(c)
			}
			got, variable, value := toolkit.Serves(c)
			if diff := cmp.Diff(test.want, got); diff != "" || variable != test.variable || value != test.value {
				t.Errorf("%s %q %s", variable, value, diff)
			}
		})
	}
}

// A Spec was written for another driver if none of those that it names is loaded.
func TestDriversOfASpec(t *testing.T) {
	n := contractOf(t, Toolkit{})
	unknown := n
	unknown.DriverVersionFile = "/nowhere"
	for _, test := range []struct {
		name                string
		contract            Contract
		files, arguments    []string
		written, loadedThen string
	}{
		{"it names none", n, []string{"/lib/libfoo.so.1"}, nil, "", ""},
		{"the one that is loaded", n, []string{"/lib/libcuda.so.535.104.05"}, nil, "", ""},
		{"another", n, []string{"/lib/libcuda.so.580.65.06"}, nil, "580.65.06", "535.104.05"},
		{"another, by a hook's argument", n, nil, []string{"--host-driver-version=580.65.06"}, "580.65.06", "535.104.05"},
		{"two, one of which is loaded", n, []string{"/a/libcuda.so.580.65.06", "/b/libcuda.so.535.104.05"}, nil, "", ""},
		{
			"two others", n,
			[]string{"/a/libcuda.so.580.65.06", "/b/libcuda.so.570.1"},
			nil,
			"580.65.06 and 570.1", "535.104.05",
		},
		{"what is loaded is not known", unknown, []string{"/lib/libcuda.so.580.65.06"}, nil, "", ""},
	} {
		written, loaded := test.contract.Drivers(test.files, test.arguments)
		if written != test.written || loaded != test.loadedThen {
			t.Errorf("%s: written for %q, loaded %q", test.name, written, loaded)
		}
	}
	const generate = "nvidia-ctk cdi generate --output=/a.yaml"
	if got := n.Regenerate("nvidia.com/gpu", "/a.yaml"); !strings.HasSuffix(got, generate) {
		t.Error(got)
	}
	const several = "generate /a.yaml and /b.yaml again with the tool that wrote it"
	if got := n.Regenerate("nvidia.com/gpu", "/a.yaml", "/b.yaml"); got != several {
		t.Error(got)
	}
}

// An index tells the node of a device, a UUID does not.
func TestNodeOf(t *testing.T) {
	for id, want := range map[string]string{
		"0": "/dev/nvidia0", "10": "/dev/nvidia10", "GPU-1": "", "0:1": "", "ctl": "", "": "", "all": "",
	} {
		if got := (Contract{}).NodeOf(id); got != want {
			t.Errorf("%q: %q", id, got)
		}
	}
	for node, want := range map[string]bool{
		"/dev/nvidia0": true, "/dev/nvidia12": true, "/dev/nvidia": false, "/dev/nvidiactl": false, "/dev/nvidia0x": false,
		"/dev/nvidia-uvm": false, "/x/nvidia0": false, "/dev/nvidia-caps/nvidia-cap1": false,
	} {
		if got := (Contract{}).IsDevice(node); got != want {
			t.Errorf("%s: %v", node, got)
		}
	}
	for _, node := range (Contract{}).HostNodes() {
		if _, err := os.Stat(node); err != nil || !strings.HasPrefix(node, "/dev/nvidia") {
			t.Errorf("%s: %v", node, err)
		}
	}
}

func TestCheckID(t *testing.T) {
	if err := (Contract{}).CheckID("", "channel-x"); err != nil {
		t.Errorf("a device is taken for a channel: %v", err)
	}
	err := Contract{}.CheckID("imex", "1048575")
	want := "IMEX channel 1048575: /dev/nvidia-caps-imex-channels/channel1048575 is missing on this host"
	if !fault.Is(err, fault.Node) || err.Error() != want {
		t.Error(err)
	}
}

// config.json has what the hook would put there if it has the nodes of all devices, and a library of the driver.
func TestGiven(t *testing.T) {
	spec := func(library string, nodes ...string) *specs.Spec {
		s := &specs.Spec{Linux: &specs.Linux{}}
		if library != "" {
			s.Mounts = []specs.Mount{{Destination: "/etc/x"}, {Destination: library}}
		}
		for _, node := range nodes {
			s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: node})
		}
		return s
	}
	const cuda, ml = "/usr/lib/libcuda.so.1", "/usr/lib/libnvidia-ml.so.580.65.06"
	for name, test := range map[string]struct {
		spec *specs.Spec
		ids  []string
		want bool
	}{
		"node and library":            {spec(cuda, "/dev/nvidia0"), []string{"0"}, true},
		"node and the other library":  {spec(ml, "/dev/nvidia0"), []string{"0"}, true},
		"more nodes":                  {spec(cuda, "/dev/nvidia1", "/dev//nvidia0"), []string{"0"}, true},
		"both nodes":                  {spec(cuda, "/dev/nvidia1", "/dev/nvidia0"), []string{"0", "1"}, true},
		"one of two nodes":            {spec(cuda, "/dev/nvidia0"), []string{"0", "1"}, false},
		"another node":                {spec(cuda, "/dev/nvidia1"), []string{"0"}, false},
		"a node alone proves nothing": {spec("", "/dev/nvidia0"), []string{"0"}, false},
		"another library":             {spec("/usr/lib/libcudart.so.1", "/dev/nvidia0"), []string{"0"}, false},
		"a UUID does not tell":        {spec(cuda, "/dev/nvidia0"), []string{"GPU-0"}, false},
		"all does not tell":           {spec(cuda, "/dev/nvidia0"), []string{"all"}, false},
		"the files alone":             {spec(cuda, "/dev/nvidia0"), nil, false},
		"a spec that is not of Linux": {&specs.Spec{}, []string{"0"}, false},
	} {
		if got := (Contract{}).Given(test.spec, test.ids); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// One run of the hook serves everything that is asked of the vendor, in the hook's own terms.
func TestRun(t *testing.T) {
	toolkit, _ := installed(t, withCLI)
	n := contractOf(t, toolkit)
	video := []contract.Demand{
		{What: "a", Capabilities: []string{"gpu", "video"}}, {What: "b", Capabilities: []string{
			"compute", "video",
		}},
	}
	mig := privileged(image("NVIDIA_MIG_CONFIG_DEVICES=all", "NVIDIA_MIG_MONITOR_DEVICES=0"))
	for _, test := range []struct {
		name         string
		requirements string
		order        contract.Order
		want         []string
		program      int // how many of these variables programs in the container look at
	}{
		{
			"devices", "enforce",
			contract.Order{Container: view(image()), IDs: []string{"0", "GPU-1"}, Demands: []contract.Demand{{}}},
			[]string{
				"NVIDIA_VISIBLE_DEVICES=0,GPU-1", "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
			},
			2,
		},
		{"the files alone", "enforce", contract.Order{Container: view(image()), Demands: []contract.Demand{{}}}, []string{
			"NVIDIA_VISIBLE_DEVICES=none", "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
		}, 2},
		{
			"parts of the driver, of all requests together", "enforce",
			contract.Order{Container: view(image()), IDs: []string{"0"}, Demands: video},
			[]string{
				"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute,video",
			},
			2,
		},
		{"channels", "enforce", contract.Order{
			Container: view(image()), IDs: []string{"0"}, Demands: []contract.Demand{{}}, Parts: map[string][]string{
				"imex": {"1", "3"},
			},
		}, []string{
			"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_IMEX_CHANNELS=1,3",
		}, 2},
		{
			"MIG devices to configure", "enforce",
			contract.Order{Container: view(mig), IDs: []string{"0"}, Demands: []contract.Demand{{}}},
			[]string{
				"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
				"NVIDIA_MIG_CONFIG_DEVICES=all", "NVIDIA_MIG_MONITOR_DEVICES=0",
			},
			2,
		},
		{"MIG devices, where environment does not count", "enforce", contract.Order{
			Container: contract.Container{Container: mig}, IDs: []string{"0"}, Demands: []contract.Demand{{}},
		}, []string{"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}, 2},
		{
			"requirements that stop nothing", "warn",
			contract.Order{Container: view(image()), IDs: []string{"0"}, Demands: []contract.Demand{{}}},
			[]string{
				"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_DISABLE_REQUIRE=1",
			},
			2,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := n
			n.Requirements = test.requirements
			d, err := n.Run(test.order)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, d.Env); diff != "" || !slices.Equal(d.Program, test.want[:test.program]) {
				t.Error(d.Program, diff)
			}
		})
	}
}

// To the hook an empty list of parts of the driver means its own defaults: such a run serves something else.
func TestRunWithoutCapabilities(t *testing.T) {
	toolkit, _ := installed(t, withCLI)
	n := contractOf(t, toolkit)
	n.Supported = []string{"video"}
	for name, demands := range map[string][]contract.Demand{
		"none is left": {{}}, "one is not supported": {{What: "a", Capabilities: []string{"compute"}}},
	} {
		d, err := n.Run(contract.Order{Container: view(image()), IDs: []string{"0"}, Demands: demands})
		if d != nil || !fault.Is(err, fault.Policy) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// NVIDIA's own configuration may let the environment of privileged containers count alone.
func TestRunFromEnvironment(t *testing.T) {
	toolkit, _ := installed(t, "accept-nvidia-visible-devices-envvar-when-unprivileged = false\n"+withCLI)
	n := contractOf(t, toolkit)
	for _, test := range []struct {
		name      string
		container *state.Container
		fromEnv   bool
		want      bool // whether it runs
	}{
		{"another source", image(), false, true},
		{"environment", image(), true, false},
		{"environment of a privileged container", privileged(image()), true, true},
	} {
		d, err := n.Run(contract.Order{
			Container: view(test.container), IDs: []string{"0"}, Demands: []contract.Demand{{}}, FromEnv: test.fromEnv,
		})
		if (d != nil) != test.want || (err == nil) != test.want || err != nil && !fault.Is(err, fault.Policy) {
			t.Errorf("%s: %+v, %v", test.name, d, err)
		}
	}
}

// Mounts of /dev/null alone ask, by whole elements of their paths.
func TestBelowMountRoot(t *testing.T) {
	c := image()
	for _, pair := range [][2]string{
		{"/dev/null", "/var/run/nvidia-container-devices/0"},
		{"/dev//null", "/var/run/nvidia-container-devices//cdi/a.com/b/c/"},
		{"/dev/zero", "/var/run/nvidia-container-devices/1"},
		{"/dev/null", "/var/run/nvidia-container-devices"},
		{"/dev/null", "/var/run/nvidia-container-devices-2/2"},
		{"/dev/null", "/var/run/nvidia-container-devices/../3"},
	} {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Source: pair[0], Destination: pair[1]})
	}
	if diff := cmp.Diff([]string{"0", "cdi/a.com/b/c"}, BelowMountRoot(c)); diff != "" {
		t.Error(diff)
	}
}

// Another vendor's hook, run as NVIDIA's is, has its own variable alone.
func TestCompatible(t *testing.T) {
	toolkit, top := installed(t, "")
	toolkit.Config = ""
	c := Compatible{None: contract.None{Dialect: Dialect{}}, Toolkit: toolkit, Variable: "ACME"}
	if err := c.Found(); err != nil {
		t.Error(err)
	}
	d, err := c.Run(contract.Order{
		Container: view(image("NVIDIA_MIG_CONFIG_DEVICES=all")), IDs: []string{"1"},
		Demands: []contract.Demand{{Capabilities: []string{"video"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"nvidia-container-runtime-hook", "prestart"}
	if !slices.Equal(d.Env, []string{"ACME=1"}) || !slices.Equal(d.Args, args) {
		t.Errorf("%+v", d)
	}
	if err := os.Remove(filepath.Join(top, "nvidia-container-runtime-hook")); err != nil {
		t.Fatal(err)
	}
	if err := c.Found(); !fault.Is(err, fault.Delegate) {
		t.Errorf("without the hook: %v", err)
	}
}
