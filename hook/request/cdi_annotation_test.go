package request

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
)

func TestCDIAnnotation(t *testing.T) {
	plugin := func(c *config.Config) {
		c.CDI.AnnotationPrefixes = []string{"cdi.k8s.io/", "nvidia.cdi.k8s.io/"}
	}
	gathering{
		{"one device", annotated("cdi.k8s.io/x", "nvidia.com/gpu=0"), []string{
			"annotation:cdi.k8s.io/x: nvidia nvidia.com/gpu=0 by nvidia.cdi",
		}},
		{
			"devices of several vendors",
			annotated("cdi.k8s.io/x", "nvidia.com/gpu=0,acme.com/hsm=1,amd.com/gpu=all"),
			[]string{
				"annotation:cdi.k8s.io/x: nvidia nvidia.com/gpu=0 by nvidia.cdi",
				"annotation:cdi.k8s.io/x: acme.com acme.com/hsm=1 by cdi",
				"annotation:cdi.k8s.io/x: amd amd.com/gpu=all by amd.cdi",
			},
		},
		{"an IMEX channel", annotated("cdi.k8s.io/x", "nvidia.com/imex-channel=0"), []string{
			"annotation:cdi.k8s.io/x: nvidia part imex 0 by nvidia.cdi",
		}},
		{
			"two annotations, in the order of their keys",
			annotated("cdi.k8s.io/b", "a.com/b=1", "cdi.k8s.io/a", "a.com/b=0"),
			[]string{
				"annotation:cdi.k8s.io/a: a.com a.com/b=0 by cdi", "annotation:cdi.k8s.io/b: a.com a.com/b=1 by cdi",
			},
		},
		{"a bare id", annotated("cdi.k8s.io/x", "0"), []string{
			`annotation:cdi.k8s.io/x: nobody by cdi (E-REQUEST: "0" is not a CDI device name (vendor.com/class=name))`,
		}},
		{"a blank behind the comma", annotated("cdi.k8s.io/x", "a.com/b=0, a.com/b=1"), []string{
			`annotation:cdi.k8s.io/x: nobody by cdi (E-REQUEST: " a.com/b=1" is not a CDI device name ` +
				`(vendor.com/class=name))`,
		}},
		{"empty", annotated("cdi.k8s.io/x", ""), []string{
			`annotation:cdi.k8s.io/x: nobody by cdi (E-REQUEST: "" is not a CDI device name (vendor.com/class=name))`,
		}},
		{"a prefix that is not configured", annotated("nvidia.cdi.k8s.io/x", "a.com/b=0"), nil},
		{"a device plugin's prefix", annotated("nvidia.cdi.k8s.io/x", "a.com/b=0").with(plugin), []string{
			"annotation:nvidia.cdi.k8s.io/x: a.com a.com/b=0 by cdi",
		}},
	}.run(t)
}

// Under CRI-O only the container's own annotations count, which a device plugin sets: those of the pod are strangers'.
// What an engine applies by itself is reported as present, and nobody takes it away.
func TestWhoseCDIAnnotation(t *testing.T) {
	const (
		x       = "cdi.k8s.io/x"
		value   = "nvidia.com/gpu=0"
		request = "annotation:cdi.k8s.io/x: nvidia nvidia.com/gpu=0 by nvidia.cdi"
		own     = "io.kubernetes.cri-o.Annotations"
		listed  = `{"cdi.k8s.io/x":"nvidia.com/gpu=0"}`
		pods    = " (refused: it is the pod's annotation, not the container's own)"
	)
	older := func(c *config.Config) { c.Engines["cri-o"].Own = nil } // CRI-O before 1.24
	newer := func(c *config.Config) { c.Engines["containerd"].Own = nil }
	prefix := func(c *config.Config) { c.CDI.AnnotationPrefixes = []string{"acme.com/"} }
	gathering{
		{"the container's own", annotated(x, value, own, listed).under("cri-o"), []string{
			request + " engine (present: CRI-O applies it itself)",
		}},
		{
			"the container's own, of an engine that knows no CDI",
			annotated(x, value, own, listed).under("cri-o").with(older),
			[]string{
				request,
			},
		},
		{"the pod's", annotated(x, value, own, "{}").under("cri-o"), []string{request + pods}},
		{
			"the pod's, of an engine that knows no CDI", annotated(x, value, own, "{}").under("cri-o").with(older), []string{
				request + pods,
			},
		},
		{
			"the container's own has another value",
			annotated(x, value, own, `{"cdi.k8s.io/x":"nvidia.com/gpu=1"}`).under("cri-o"),
			[]string{
				request + pods,
			},
		},
		{"the pod's, and no list", annotated(x, value).under("cri-o"), []string{request + pods}},
		{
			"a plugin's own prefix is not the engine's",
			annotated("acme.com/x", value, own, `{"acme.com/x":"nvidia.com/gpu=0"}`).under("cri-o").with(prefix),
			[]string{
				"annotation:acme.com/x: nvidia nvidia.com/gpu=0 by nvidia.cdi",
			},
		},
		{"containerd applies the pod's too", annotated(x, value).under("containerd"), []string{
			request + " engine (present: containerd applies it itself)",
		}},
		{"containerd, told to leave it", annotated(x, value).under("containerd").with(newer), []string{
			request + " (refused: containerd does not tell a container's own annotations from its pod's)",
		}},
		{"podman has no pod's", annotated(x, value).under("podman"), []string{request}},
		{
			"the engine is in doubt",
			annotated(x, value, "io.container.manager", "cri-o", own, listed).under("podman"),
			[]string{
				request + " (refused: the engine is in doubt, so it is not known whose annotation it is)",
			},
		},
		{
			"CRI-O in doubt applies nothing that is known of",
			annotated(x, value, "io.container.manager", "libpod", own, listed).under("cri-o"),
			[]string{
				request + " (refused: the engine is in doubt, so it is not known whose annotation it is)",
			},
		},
		{
			"containerd in doubt applies nothing that is known of",
			annotated(x, value, "io.container.manager", "libpod").under("containerd"),
			[]string{
				request + " (refused: the engine is in doubt, so it is not known whose annotation it is)",
			},
		},
		{
			"nonsense is for the engine to judge",
			annotated(x, "0, nvidia.com/gpu=1,?", own, `{"cdi.k8s.io/x":"0, nvidia.com/gpu=1,?"}`).under("cri-o"),
			[]string{
				"annotation:cdi.k8s.io/x: nvidia nvidia.com/gpu=1 by nvidia.cdi engine (present: CRI-O applies it itself)",
			},
		},
		{"nothing but nonsense", annotated(x, "?", own, `{"cdi.k8s.io/x":"?"}`).under("cri-o"), []string{
			"annotation:cdi.k8s.io/x: nobody by cdi engine (present: CRI-O applies it itself)",
		}},
		{"a channel that is none", annotated(x, "nvidia.com/imex-channel=x").under("containerd"), []string{
			"annotation:cdi.k8s.io/x: nvidia part imex by nvidia.cdi engine (present: containerd applies it itself)",
		}},
	}.run(t)
	refused := annotated(x, value, own, "{}").under("cri-o").gather()[0]
	want := "a device plugin sets it on the container; a pod's author asks by what the administrator lets count"
	if refused.Hint != want {
		t.Errorf("hint %q", refused.Hint)
	}
	var list []string
	for i := range 5000 {
		list = append(list, fmt.Sprintf("a.com/b=%d", i))
	}
	many := annotated(x, strings.Join(list, ",")).under("containerd").gather()
	if len(many) != 1 || !many[0].Engine || len(many[0].IDs) != 4096 {
		t.Errorf("a long list of the engine's: %d requests", len(many))
	}
}
