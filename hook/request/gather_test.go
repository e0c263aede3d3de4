package request

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// everything is a container that asks by every source.
func everything(pairs ...string) asking {
	a := annotated(append(pairs, "gpu-hook/gpus", "1", "cdi.k8s.io/x", "nvidia.com/gpu=2")...)
	a.null, a.env = []string{"3"}, []string{"NVIDIA_VISIBLE_DEVICES=4"}
	return a
}

// The sources that count come first, the highest first; then those that do not count, with the key that says so.
func TestGatherBySource(t *testing.T) {
	const (
		annotation = "annotation:gpu-hook/gpus: nvidia|amd|intel 0"
		cdi        = "annotation:cdi.k8s.io/x: nvidia nvidia.com/gpu=2 by nvidia.cdi"
		mount      = "mount: nvidia 3"
		env        = "env:NVIDIA_VISIBLE_DEVICES: nvidia 4"
		own        = "io.kubernetes.cri-o.Annotations"
		listed     = `{"cdi.k8s.io/x":"nvidia.com/gpu=2"}`
	)
	closed := func(request, section, source string) string {
		return request + " (refused: " + section + ` sources does not list "` + source + `")`
	}
	sources := func(list ...string) func(*config.Config) {
		return func(c *config.Config) { c.Requests.Sources = list }
	}
	team := func(c *config.Config) { c.Engines["cri-o"].Namespaces = map[string][]string{"team-a": {"env"}} }
	gathering{
		{"by default", everything(), []string{annotation, cdi, mount, env}},
		{
			"in the configured order", everything().with(sources("env", "mount", "annotation", "cdi-annotation")), []string{
				env, mount, annotation, cdi,
			},
		},
		{"two are left out", everything().with(sources("mount", "cdi-annotation")), []string{
			mount, cdi, closed(annotation, "[requests]", "annotation"), closed(env, "[requests]", "env"),
		}},
		{"podman is any engine", everything().under("podman"), []string{annotation, cdi, mount, env}},
		{"buildah", everything().under("buildah"), []string{
			annotation, cdi, closed(mount, "[engines.buildah]", "mount"), closed(env, "[engines.buildah]", "env"),
		}},
		{"CRI-O", everything(own, listed).under("cri-o"), []string{
			mount, cdi + " engine (present: CRI-O applies it itself)",
			closed(annotation, "[engines.cri-o]", "annotation"), closed(env, "[engines.cri-o]", "env"),
		}},
		{
			"CRI-O, where the pod's namespace opens one",
			everything(own, listed, "io.kubernetes.pod.namespace", "team-a").under("cri-o").with(team),
			[]string{
				mount, cdi + " engine (present: CRI-O applies it itself)", env, closed(annotation, "[engines.cri-o]", "annotation"),
			},
		},
		{
			"CRI-O, in another namespace",
			everything(own, listed, "io.kubernetes.pod.namespace", "team-b").under("cri-o").with(team),
			[]string{
				mount, cdi + " engine (present: CRI-O applies it itself)",
				closed(annotation, "[engines.cri-o]", "annotation"), closed(env, "[engines.cri-o]", "env"),
			},
		},
		{
			"an engine in doubt has what all engines have",
			everything("io.container.manager", "cri-o").under("podman"),
			[]string{
				cdi + " (refused: the engine is in doubt, so it is not known whose annotation it is)",
				annotation +
					` (refused: the strictest policy, which holds where the engine is in doubt, does not list "annotation")`,
				mount + ` (refused: the strictest policy, which holds where the engine is in doubt, does not list "mount")`,
				env + ` (refused: the strictest policy, which holds where the engine is in doubt, does not list "env")`,
			},
		},
		{
			"a source that does not count is not read for mistakes",
			environment("NVIDIA_VISIBLE_DEVICES=?").with(sources("mount")),
			[]string{
				closed("env:NVIDIA_VISIBLE_DEVICES: nvidia", "[requests]", "env"),
			},
		},
		{
			"nothing by a source that does not count is not reported",
			environment("NVIDIA_VISIBLE_DEVICES=void").with(sources("mount")), nil,
		},
		{
			"what the engine serves from a source that does not count",
			annotated("cdi.k8s.io/x", "nvidia.com/gpu=2").under("containerd").with(func(c *config.Config) {
				c.Engines["containerd"].Sources = []string{"mount"}
			}),
			[]string{cdi + " engine (present: containerd applies it itself)"},
		},
	}.run(t)
}

// A pod's infra container runs no program of the user, and asks for nothing.
func TestGatherInfra(t *testing.T) {
	gathering{
		{"CRI-O's", everything("io.kubernetes.container.name", "POD").under("cri-o"), nil},
		{"containerd's", everything("io.kubernetes.cri.container-type", "sandbox").under("containerd"), nil},
		{
			"not podman's: the name proves nothing there",
			annotated("gpu-hook/gpus", "1", "io.kubernetes.container.name", "POD").under("podman"),
			[]string{
				"annotation:gpu-hook/gpus: nvidia|amd|intel 0",
			},
		},
	}.run(t)
}

func TestEngineOf(t *testing.T) {
	for name, want := range map[string]string{
		"podman": "podman", "cri-o": "cri-o", "crio": "cri-o", "containerd": "containerd", "buildah": "buildah",
		"docker": `engine "docker" is not one of: podman, cri-o, containerd, buildah`,
		"podmn":  `engine "podmn" is not known; did you mean podman?`,
		"":       `engine "" is not one of: podman, cri-o, containerd, buildah`,
	} {
		got, err := EngineOf(name)
		if err != nil {
			got += err.Error()
		}
		if got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
	if EngineName("cri-o") != "CRI-O" || EngineName("podman") != "podman" {
		t.Error("an engine is not spelt as its makers do")
	}
}

func TestDoubted(t *testing.T) {
	if f := Doubted(asking{engine: "podman"}.container()); f != nil {
		t.Error(f)
	}
	f := Doubted(annotated("io.container.manager", "cri-o").under("podman").container())
	want := "engine of the container: annotation io.container.manager says cri-o, and the container is podman's; the " +
		"strictest policy holds"
	if f == nil || f.Code() != fault.EngineNote || f.Error() != want {
		t.Errorf("%v", f)
	}
}

// It decides whether a container may start of which nothing but its annotations is known.
func TestAnnotationAsks(t *testing.T) {
	for keys, want := range map[string]string{
		"": "", "acme/x": "", "gpu-hooks/x": "", "gpu-hook": "", "x.cdi.k8s.io/x": "",
		"gpu-hook/gpus": "gpu-hook/gpus", "gpu-hook/misspelt": "gpu-hook/misspelt", "cdi.k8s.io/x": "cdi.k8s.io/x",
		"own/x": "own/x", "gpu-hook/gpus cdi.k8s.io/x acme/x": "cdi.k8s.io/x",
	} {
		annotations := map[string]string{}
		for key := range strings.FieldsSeq(keys) {
			annotations[key] = ""
		}
		if got := AnnotationAsks(annotations, []string{"cdi.k8s.io/", "own/"}); got != want {
			t.Errorf("%q: %q, want %q", keys, got, want)
		}
	}
}
