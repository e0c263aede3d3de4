package request

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
)

// anyVendor is where a request goes that names no driver and no capability but "gpu".
const anyVendor = "annotation:gpu-hook/gpus: nvidia|amd|intel "

func TestAnnotation(t *testing.T) {
	gathering{
		{"none", asking{}, nil},
		{"a count", annotated("gpu-hook/gpus", "2"), []string{anyVendor + "0 1"}},
		{"all", annotated("gpu-hook/gpus", "all"), []string{anyVendor + "all"}},
		{"a negative count is all", annotated("gpu-hook/gpus", "-1"), []string{anyVendor + "all"}},
		{"nothing", annotated("gpu-hook/gpus", "0"), []string{anyVendor + "(empty: it asks for nothing: a count of 0)"}},
		{"a device", annotated("gpu-hook/gpus", "device=GPU-3b1f"), []string{anyVendor + "GPU-3b1f"}},
		{"devices without quotes", annotated("gpu-hook/gpus", "device=0,1"), []string{anyVendor + "0 1"}},
		{"devices with quotes", annotated("gpu-hook/gpus", `"device=0,1"`), []string{anyVendor + "0 1"}},
		{
			"a driver alone is one device", annotated("gpu-hook/gpus", "driver=amd"), []string{
				"annotation:gpu-hook/gpus: amd 0",
			},
		},
		{
			"JSON",
			annotated("gpu-hook/gpus", `[{"Driver":"amd","Count":1},{"Driver":"nvidia","DeviceIDs":["GPU-1"]}]`),
			[]string{
				"annotation:gpu-hook/gpus: amd 0", "annotation:gpu-hook/gpus: nvidia GPU-1",
			},
		},
		{"empty", annotated("gpu-hook/gpus", ""), []string{"annotation:gpu-hook/gpus: nobody (E-REQUEST: it is empty)"}},
		{"no value of Docker's", annotated("gpu-hook/gpus", "some"), []string{
			`annotation:gpu-hook/gpus: nobody (E-REQUEST: count "some" is neither "all" nor a whole number)`,
		}},
		{"a count and devices", annotated("gpu-hook/gpus", "count=1,device=0"), []string{
			"annotation:gpu-hook/gpus: nobody (E-REQUEST: it has both a count and device ids)",
		}},
		{"a word for a whole list", annotated("gpu-hook/gpus", "device=none"), []string{
			`annotation:gpu-hook/gpus: nvidia|amd|intel (E-REQUEST: "none" is no device: for nothing ask for a count of 0)`,
		}},
		{"another word for one, beside a device", annotated("gpu-hook/gpus", "driver=amd,device=0,void"), []string{
			`annotation:gpu-hook/gpus: amd (E-REQUEST: "void" is no device: for nothing ask for a count of 0)`,
		}},
		{"an id with a blank", annotated("gpu-hook/gpus", "device=a b"), []string{
			`annotation:gpu-hook/gpus: nvidia|amd|intel (E-REQUEST: "a b" is not a device id: it may have letters, ` +
				`digits and . : _ - alone)`,
		}},
		{"a path", annotated("gpu-hook/gpus", "device=../x"), []string{
			`annotation:gpu-hook/gpus: nvidia|amd|intel (E-REQUEST: "../x" is not a CDI device name (vendor.com/class=name))`,
		}},
		{"a MIG device in NVIDIA's form", annotated("gpu-hook/gpus", "device=MIG-GPU-a/1/0"), []string{
			anyVendor + "MIG-GPU-a/1/0",
		}},
		{"the same device twice", annotated("gpu-hook/gpus", "device=0,0"), []string{anyVendor + "0"}},
		{"devices of one vendor", annotated("gpu-hook/gpus", "device=amd.com/gpu=0,amd.com/gpu=1"), []string{
			"annotation:gpu-hook/gpus: amd amd.com/gpu=0 amd.com/gpu=1",
		}},
	}.run(t)
}

// The annotation for one container of a pod is for this container alone.
func TestForOneContainer(t *testing.T) {
	pod := func(engine, name string, pairs ...string) asking {
		a := annotated(append(pairs, "io.kubernetes.container.name", name)...).under(engine)
		return a.with(func(c *config.Config) { c.Engines[engine] = &config.Engine{Sources: config.Sources()} })
	}
	gathering{
		{"meant", pod("cri-o", "main", "gpu-hook/gpus.main", "1"), []string{
			"annotation:gpu-hook/gpus.main: nvidia|amd|intel 0",
		}},
		{"meant, beside the one for all", pod("cri-o", "main", "gpu-hook/gpus.main", "1", "gpu-hook/gpus", "2"), []string{
			anyVendor + "0 1", "annotation:gpu-hook/gpus.main: nvidia|amd|intel 0",
		}},
		{"another is meant", pod("cri-o", "main", "gpu-hook/gpus.side", "1"), nil},
		{"another is meant, of a longer name", pod("cri-o", "main", "gpu-hook/gpus.main-2", "1"), nil},
		{"another is meant, with nonsense", pod("cri-o", "main", "gpu-hook/gpus.side", "some"), nil},
		{"a name with a dot", pod("cri-o", "a.b", "gpu-hook/gpus.a.b", "1"), []string{
			"annotation:gpu-hook/gpus.a.b: nvidia|amd|intel 0",
		}},
		{"the container's name is not known", annotated("gpu-hook/gpus.main", "1"), []string{
			"annotation:gpu-hook/gpus.main: nobody (refused: this container has no name (annotation " +
				"io.kubernetes.container.name), so it is not known whether it is meant)",
		}},
	}.run(t)
	for engine, want := range map[string]string{
		"": "outside of pods use the annotation gpu-hook/gpus",
		"podman": "podman tells a container's name in a pod only when it starts, and only beside a host name that is " +
			"the pod's name: else use the annotation gpu-hook/gpus",
	} {
		if r := annotated("gpu-hook/gpus.main", "1").under(engine).gather()[0]; r.Hint != want {
			t.Errorf("%q: hint %q", engine, r.Hint)
		}
	}
}

// explain's flag stands in the place of the annotation, which is read as well.
func TestFlag(t *testing.T) {
	a := annotated("gpu-hook/gpus", "2")
	a.flag = "all"
	gathering{
		{"alone", asking{flag: "1"}, []string{"flag: nvidia|amd|intel 0"}},
		{"beside the annotation", a, []string{"flag: nvidia|amd|intel all", anyVendor + "0 1"}},
		{"nonsense", asking{flag: "x"}, []string{
			`flag: nobody (E-REQUEST: count "x" is neither "all" nor a whole number)`,
		}},
	}.run(t)
}

// Any other key in gpu-hook's domain is taken for a misspelt request.
func TestMisspelt(t *testing.T) {
	wrong := func(key string) []string {
		return []string{"annotation:" + key + ": nobody (E-REQUEST: gpu-hook knows no annotation of this key)"}
	}
	gathering{
		{"another word", annotated("gpu-hook/gpu", "1"), wrong("gpu-hook/gpu")},
		{"no word", annotated("gpu-hook/", "1"), wrong("gpu-hook/")},
		{"upper case", annotated("gpu-hook/GPUs", "1"), wrong("gpu-hook/GPUs")},
		{"more behind it", annotated("gpu-hook/gpus-main", "1"), wrong("gpu-hook/gpus-main")},
		{"of earlier versions", annotated("gpu-hook/plan", "x"), nil},
		{"another domain", annotated("gpu-pool/gpus", "1"), nil},
		{"nearly the domain", annotated("gpu-hooks/gpus", "1"), []string{"annotation:gpu-hooks/gpus: nobody wish " +
			"(refused: gpu-hook does not read this key, which is nearly gpu-hook/gpus)"}},
		{"no domain", annotated("gpus", "1"), nil},
	}.run(t)
	a := annotated("gpu-hook/gpus.", "1", "io.kubernetes.container.name", "main")
	if got := lines(a.gather()); len(got) == 0 || got[0] != wrong("gpu-hook/gpus.")[0] {
		t.Errorf("a name of no letters: %q", got)
	}
}

// podman 3 and 4 split the flag --annotation at commas, and other engines leave quotes in the key. Half of a request is
// never served.
func TestSplitAnnotations(t *testing.T) {
	beside := func(key, pair string) string {
		who := "nobody"
		if strings.HasPrefix(key, "cdi.k8s.io/") {
			who = "nobody by cdi"
		}
		return fmt.Sprintf("annotation:%s: %s (E-REQUEST: an annotation %q is beside it, as if one was "+
			"split at its comma)", key, who, pair)
	}
	open := func(c *config.Config) {
		for _, engine := range c.Engines {
			engine.Sources, engine.Own = config.Sources(), nil
		}
	}
	const own = "io.kubernetes.cri-o.Annotations"
	gathering{
		{
			"a count torn off", annotated("gpu-hook/gpus", "driver=amd", "count", "2"), []string{
				beside("gpu-hook/gpus", "count=2"),
			},
		},
		{
			"a driver torn off", annotated("gpu-hook/gpus", "2", "driver", "amd"), []string{
				beside("gpu-hook/gpus", "driver=amd"),
			},
		},
		{
			"devices torn off", annotated("gpu-hook/gpus", "driver=amd", "device", "0"), []string{
				beside("gpu-hook/gpus", "device=0"),
			},
		},
		{
			"capabilities torn off", annotated("gpu-hook/gpus", "1", "capabilities", "x"), []string{
				beside("gpu-hook/gpus", "capabilities=x"),
			},
		},
		{
			"options torn off", annotated("gpu-hook/gpus", "1", "options", "a=b"), []string{
				beside("gpu-hook/gpus", "options=a=b"),
			},
		},
		{
			"with podman", annotated("gpu-hook/gpus", "1", "count", "2").under("podman"), []string{
				beside("gpu-hook/gpus", "count=2"),
			},
		},
		{
			"CRI-O splits nothing", annotated("gpu-hook/gpus", "1", "count", "2").under("cri-o").with(open), []string{
				anyVendor + "0",
			},
		},
		{
			"containerd splits nothing",
			annotated("gpu-hook/gpus", "1", "count", "2").under("containerd").with(open),
			[]string{
				anyVendor + "0",
			},
		},
		{"no piece of it", annotated("gpu-hook/gpus", "1", "counts", "2"), []string{anyVendor + "0"}},
		{"a CDI name torn off", annotated("cdi.k8s.io/x", "nvidia.com/gpu=0", "nvidia.com/gpu", "1"), []string{
			beside("cdi.k8s.io/x", "nvidia.com/gpu=1"),
		}},
		{"one of another kind", annotated("cdi.k8s.io/x", "acme.com/hsm=0", "acme.com/hsm", "1"), []string{
			beside("cdi.k8s.io/x", "acme.com/hsm=1"),
		}},
		{"one of a configured vendor", annotated("cdi.k8s.io/x", "acme.com/hsm=0", "amd.com/gpu", "1"), []string{
			beside("cdi.k8s.io/x", "amd.com/gpu=1"),
		}},
		{"CRI-O splits no CDI names", annotated("cdi.k8s.io/x", "nvidia.com/gpu=0", "nvidia.com/gpu", "1",
			own, `{"cdi.k8s.io/x":"nvidia.com/gpu=0"}`).under("cri-o").with(open), []string{
			"annotation:cdi.k8s.io/x: nvidia nvidia.com/gpu=0 by nvidia.cdi",
		}},
		{"quotes in the key", annotated(`"gpu-hook/gpus`, `device=0,1"`), []string{
			`annotation:"gpu-hook/gpus: nobody (E-REQUEST: its key begins with a quote)`,
		}},
		{"quotes in a CDI key", annotated(`"cdi.k8s.io/x`, `nvidia.com/gpu=0"`), []string{
			`annotation:"cdi.k8s.io/x: nobody (E-REQUEST: its key begins with a quote)`,
		}},
		{"quotes in another's key", annotated(`"acme/x`, `1"`), nil},
	}.run(t)
	r := annotated("gpu-hook/gpus", "driver=amd", "count", "2").gather()[0]
	want := `quote the whole: --annotation '"gpu-hook/gpus=driver=amd,count=2"'; another's annotation must go`
	if r.Err.Hint() != want {
		t.Errorf("hint %q", r.Err.Hint())
	}
}

// What one container may say is bounded.
func TestBounds(t *testing.T) {
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat("0,", n), ",") }
	list := func(counts ...int) string {
		var out []string
		for _, n := range counts {
			out = append(out, fmt.Sprintf(`{"Driver":"amd","Count":%d}`, n))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	const long = "it is longer than 65536 bytes"
	for name, test := range map[string]struct {
		asking
		err string // of the first request, "" for none
	}{
		"an annotation":          {annotated("gpu-hook/gpus", "device="+strings.Repeat("a", 65529)), ""},
		"an annotation too long": {annotated("gpu-hook/gpus", "device="+strings.Repeat("a", 65530)), long},
		"a count":                {annotated("gpu-hook/gpus", "4096"), ""},
		"a count too many": {annotated("gpu-hook/gpus", "4097"), "4097 devices are more than any host " +
			"has (4096)"},
		"devices": {annotated("gpu-hook/gpus", "device="+many(4096)), ""},
		"devices too many": {annotated("gpu-hook/gpus", "device="+many(4097)), "4097 devices are more " +
			"than any host has (4096)"},
		"a list": {annotated("gpu-hook/gpus", list(4095, 1)), ""},
		"a list of too many": {annotated("gpu-hook/gpus", list(4096, 1)), "4097 devices are more than any " +
			"host has (4096)"},
		"all of a list are no number": {annotated("gpu-hook/gpus", list(4096, -1)), ""},
		"a list of too many, with all": {
			annotated("gpu-hook/gpus", list(4096, 1, -1)), "4097 devices are more than any host has (4096)",
		},
		"a CDI annotation too long": {annotated("cdi.k8s.io/x", strings.Repeat("a", 65537)), long},
		"a CDI annotation that is no list": {
			annotated("cdi.k8s.io/x", strings.Repeat("a", 65536)),
			`"` + strings.Repeat("a", 65536) + `" is not a CDI device name (vendor.com/class=name)`,
		},
		"a variable": {
			asking{env: []string{
				"NVIDIA_VISIBLE_DEVICES=" + strings.Repeat(",", 65535) + "0",
			}}, "",
		},
		"a variable too long": {
			asking{env: []string{
				"NVIDIA_VISIBLE_DEVICES=" + strings.Repeat(",", 65536) + "0",
			}}, long,
		},
		"channels": {
			asking{env: []string{
				"NVIDIA_IMEX_CHANNELS=" + strings.Repeat(" ", 65535) + "0",
			}}, "",
		},
		"channels too long": {
			asking{env: []string{
				"NVIDIA_IMEX_CHANNELS=" + strings.Repeat(" ", 65536) + "0",
			}}, long,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, r := "", test.gather()[0]
			if r.Err != nil {
				got = r.Err.Unwrap().Error()
			}
			if got != test.err {
				t.Errorf("%.200q, want %.200q", got, test.err)
			}
		})
	}
	for n, want := range map[int]string{
		64: "annotation:cdi.k8s.io/00: nvidia nvidia.com/gpu=0 by nvidia.cdi",
		65: "annotation:cdi.k8s.io/*: nobody (E-REQUEST: more than 64 are too many)",
	} {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf("cdi.k8s.io/%02d", i), "nvidia.com/gpu=0")
		}
		if got := lines(annotated(pairs...).gather()); got[0] != want || n == 65 && len(got) != 1 {
			t.Errorf("%d: %q", n, got[0])
		}
	}
}
