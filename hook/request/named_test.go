package request

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// specsOf reads one Spec of a kind that defines devices; "a=b" is a device a that is the device b under another name.
func specsOf(t *testing.T, kind string, names ...string) *devices.Registry {
	t.Helper()
	text := "cdiVersion: \"0.5.0\"\nkind: " + kind + "\ndevices:\n"
	for _, name := range names {
		name, node, found := strings.Cut(name, "=")
		if !found {
			node = name
		}
		text += fmt.Sprintf("- {name: %q, containerEdits: {deviceNodes: [{path: /dev/x%s}]}}\n", name, node)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "spec.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return devices.Open([]string{dir}, trust.Owner{UID: uint32(os.Getuid())})
}

// What a count and "all" mean is decided by the devices that Specs define.
func TestNamed(t *testing.T) {
	const gpu = "nvidia.com/gpu"
	for name, test := range map[string]struct {
		value string
		kind  string
		specs []string
		want  string
	}{
		"a count, by indices":                 {"2", gpu, []string{"1", "0", "2", "all"}, "0 1"},
		"a count, by names in order":          {"2", gpu, []string{"gpu10", "gpu2", "all"}, "gpu2 gpu10"},
		"one device of two names counts once": {"2", gpu, []string{"0", "GPU-a=0", "GPU-b=1", "1"}, "0 1"},
		"a count of all that there are":       {"3", gpu, []string{"a", "b", "c"}, "a b c"},
		"too many": {
			"3", gpu, []string{
				"0", "1", "all",
			}, "E-REQUEST: nvidia.com/gpu: asked for 3, this host has 2 (0, 1)",
		},
		"too many, with two names for one": {
			"2", gpu, []string{
				"0", "GPU-a=0",
			}, "E-REQUEST: nvidia.com/gpu: asked for 2, this host has 1 (0)",
		},
		"a count where nothing is defined": {"2", "acme.com/hsm", []string{"0"}, "0 1"},
		"all, where it is defined":         {"all", gpu, []string{"0", "1", "all"}, "all"},
		"all, where it is not defined":     {"all", gpu, []string{"1", "0"}, "0 1"},
		"all, where nothing is defined":    {"all", "acme.com/hsm", []string{"0"}, "all"},
		"devices that are not defined":     {"device=7,GPU-x", gpu, []string{"0"}, "7 GPU-x"},
	} {
		t.Run(name, func(t *testing.T) {
			r := annotated("gpu-hook/gpus", test.value).gather()[0]
			v := config.Defaults().Vendor("nvidia")
			names, err := r.Named(specsOf(t, test.kind, test.specs...), v)
			var want []string
			for id := range strings.FieldsSeq(test.want) {
				want = append(want, gpu+"="+id)
			}
			switch {
			case err != nil:
				if got := string(fault.From(err).Code()) + ": " + err.Error(); got != test.want {
					t.Errorf("%s, want %s", got, test.want)
				}
			case !slices.Equal(names, want):
				t.Errorf("%q, want %q", names, want)
			}
		})
	}
}

// A vendor that is not configured has qualified names alone, and "all" of a kind is every device of it.
func TestNamedWithoutVendor(t *testing.T) {
	r := annotated("cdi.k8s.io/x", "acme.com/hsm=all,acme.com/nic=0").gather()[0]
	names, err := r.Named(specsOf(t, "acme.com/hsm", "a", "b"), nil)
	if want := []string{"acme.com/hsm=a", "acme.com/hsm=b", "acme.com/nic=0"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%q %v", names, err)
	}
}
