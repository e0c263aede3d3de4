package precedence

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// with is a container to which the engine gives these nodes.
func with(nodes ...string) *state.Container {
	c := engineless()
	c.Spec.Linux = &specs.Linux{}
	for _, node := range nodes {
		c.Spec.Linux.Devices = append(c.Spec.Linux.Devices, specs.LinuxDevice{Path: node})
	}
	return c
}

// registry has two GPUs of each of NVIDIA's and AMD's. Those of AMD share /dev/kfd.
func registry(t *testing.T) *devices.Registry {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	device := func(name string, nodes ...string) string {
		list := ""
		for _, node := range nodes {
			list += "{path: " + node + "},"
		}
		return fmt.Sprintf("- {name: %q, containerEdits: {deviceNodes: [%s]}}\n", name, list)
	}
	head := func(kind string) string { return "cdiVersion: \"0.5.0\"\nkind: " + kind + "\ndevices:\n" }
	for name, text := range map[string]string{
		"nvidia.yaml": head("nvidia.com/gpu") + device("0", "/dev/nvidia0") + device("GPU-0", "/dev/nvidia0") +
			device("1", "/dev/nvidia1") + device("GPU-1", "/dev/nvidia1") + device("all", "/dev/nvidia0", "/dev/nvidia1"),
		"amd.yaml": head("amd.com/gpu") + device("0", "/dev/kfd", "/dev/dri/renderD128") +
			device("1", "/dev/kfd", "/dev/dri/renderD129"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return devices.Open([]string{dir}, trust.Owner{UID: uint32(os.Getuid())})
}

// What the engine was asked for takes precedence over the environment and over every wish. A request for no more than
// that stays, for the rest of the device.
func TestEngineDevices(t *testing.T) {
	const stays, zero = "wins", "the engine was asked for /dev/nvidia0, and stands higher"
	loses := func(why string) []string {
		return []string{"overridden: " + why, "W-OVERRIDDEN " + envText + ": " + why}
	}
	amd := func(ids ...string) *request.Request { return askOf(env(), vendors("amd"), ids...) }
	count := func(n int) *request.Request {
		r := ask(env(), "0", "1")
		r.Asked.Count = n
		return r
	}
	mounted := engineless()
	mounted.Spec.Mounts = []specs.Mount{{Source: "/dev/nvidia0", Destination: "/dev/nvidia0"}}
	strict := func(c *config.Config) { c.Requests.OnConflict = config.Error }
	for _, test := range []struct {
		name      string
		container *state.Container
		request   *request.Request
		configure func(*config.Config)
		want      []string
	}{
		{"none of the engine's", engineless(), ask(env(), "1"), nil, []string{stays}},
		{
			"no GPU of the engine's", with("/dev/fuse", "/dev/nvidiactl", "/dev/nvidia-uvm"), ask(env(), "1"), nil, []string{
				stays,
			},
		},
		{"the same", with("/dev/nvidia0"), ask(env(), "0"), nil, []string{stays}},
		{"the same, by another name", with("/dev/nvidia0"), ask(env(), "GPU-0"), nil, []string{stays}},
		{"the same, in a user namespace", mounted, ask(env(), "0"), nil, []string{stays}},
		{"another", with("/dev/nvidia0"), ask(env(), "1"), nil, loses(zero)},
		{"another, by another name", with("/dev/nvidia0"), ask(env(), "GPU-1"), nil, loses(zero)},
		{"another, in a user namespace", mounted, ask(env(), "1"), nil, loses(zero)},
		{"more", with("/dev/nvidia0"), ask(env(), "0", "1"), nil, loses(zero)},
		{"fewer", with("/dev/nvidia0", "/dev/nvidia1"), ask(env(), "1"), nil, []string{stays}},
		{"all, of one", with("/dev/nvidia0"), ask(env(), "all"), nil, loses(zero)},
		{"all, of all", with("/dev/nvidia0", "/dev/nvidia1"), ask(env(), "all"), nil, []string{stays}},
		{"a count", with("/dev/nvidia0", "/dev/nvidia1"), count(2), nil, []string{stays}},
		{"more than there are", with("/dev/nvidia0", "/dev/nvidia1"), count(3), nil, loses("the engine was asked for " +
			"/dev/nvidia0, /dev/nvidia1, and stands higher")},
		{"a wish", with("/dev/nvidia0"), wish("all"), nil, []string{"overridden: " + zero}},
		{"a wish of no more", with("/dev/nvidia0", "/dev/nvidia1"), wish("all"), nil, []string{stays}},
		{"an annotation", with("/dev/nvidia0"), ask(annotation(), "1"), nil, []string{stays}},
		{"a mount", with("/dev/nvidia0"), ask(mount(), "1"), nil, []string{stays}},
		{"the files", with("/dev/nvidia0"), files(env()), nil, []string{stays}},
		{"a channel", with("/dev/nvidia0"), channel(env(), "1"), nil, []string{stays}},
		{"another vendor's", with("/dev/nvidia0"), amd("1"), nil, []string{stays}},
		{"what two devices share is none", with("/dev/kfd"), amd("1"), nil, []string{stays}},
		{"a device by the node that is its own", with("/dev/kfd", "/dev/dri/renderD128"), amd("0"), nil, []string{stays}},
		{
			"another device, by the node that is its own", with("/dev/dri/renderD128"), amd("1"), nil,
			loses("the engine was asked for /dev/dri/renderD128, and stands higher"),
		},
		{
			"on-conflict", with("/dev/nvidia0"), ask(env(), "1"), strict, []string{
				"refused: " + zero, "E-CONFLICT " + envText + ": " + zero,
			},
		},
		{
			"on-conflict does not stop for a wish", with("/dev/nvidia0"), wish("all"), strict, []string{
				"overridden: " + zero,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := config.Defaults()
			if test.configure != nil {
				test.configure(c)
			}
			specs := func() *devices.Registry { return registry(t) }
			left, warnings, err := EngineDevicesOf(c, test.container, specs).Leave(requests{test.request})
			got := decided(requests{test.request}, left, warnings, err)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Without a Spec the names of the vendor's nodes tell.
func TestEngineDevicesWithoutSpecs(t *testing.T) {
	if _, err := os.Stat("/dev/nvidia0"); err == nil {
		require.Missing(t, "this test needs a host without /dev/nvidia0")
	}
	c := config.Defaults()
	for _, test := range []struct {
		id   string
		want bool // whether it stays
	}{
		{"0", true},
		{"1", false},
		{"GPU-1", true}, // which does not tell
		{"all", true},   // of a host without GPUs
	} {
		empty := func() *devices.Registry { return devices.Open([]string{t.TempDir()}, trust.Root()) }
		left, _, err := EngineDevicesOf(c, with("/dev/nvidia0"), empty).Leave(requests{ask(env(), test.id)})
		if err != nil || (len(left) == 1) != test.want {
			t.Errorf("%s: %v %v", test.id, left, err)
		}
	}
}

// Specs are read only if they are needed.
func TestEngineDevicesReadNoSpecs(t *testing.T) {
	c := config.Defaults()
	never := func() *devices.Registry {
		t.Error("Specs were read")
		return registry(t)
	}
	for _, test := range []struct {
		container *state.Container
		request   *request.Request
	}{
		{engineless(), ask(env(), "0")},
		{with("/dev/nvidia0"), ask(annotation(), "1")},
		{with("/dev/nvidia0"), files(env())},
		{with("/dev/nvidia0"), askOf(env(), vendors("nvidia", "amd"), "1")},
	} {
		left, warnings, err := EngineDevicesOf(c, test.container, never).Leave(requests{test.request})
		if len(left) != 1 || len(warnings) > 0 || err != nil {
			t.Errorf("%s: %v %v", test.request, warnings, err)
		}
	}
	// The rest stays if one request loses.
	specs := func() *devices.Registry { return registry(t) }
	r := requests{ask(env(), "1"), ask(annotation(), "1")}
	left, warnings, err := EngineDevicesOf(c, with("/dev/nvidia0"), specs).Leave(r)
	if len(left) != 1 || left[0] != r[1] || len(warnings) != 1 || warnings[0].Code() != fault.Overridden || err != nil {
		t.Errorf("%v %v %v", left, warnings, err)
	}
}
