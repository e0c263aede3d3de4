package state

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const id = "0a5b1c2d3e4f0a5b1c2d3e4f0a5b1c2d3e4f0a5b1c2d3e4f0a5b1c2d3e4f0a5b"

// annotationContainerType is CRI-O's word for a pod's infra container, "sandbox", and for the others.
const annotationContainerType = "io.kubernetes.cri-o.ContainerType"

// conmon is the caller of a hook under podman.
func conmon(id, name string) *Caller {
	return callerWith(
		[]string{"/usr/bin/runc", "create", "--bundle", "/b", id},
		[]string{"/usr/bin/conmon", "-c", id, "-n", name, "--exit-command", "/usr/bin/podman", "--exit-command-arg", "-n"},
	)
}

func callerWith(runtime, launcher []string) *Caller {
	return &Caller{func() commandLines { return commandLines{runtime, launcher} }}
}

func TestIdentify(t *testing.T) {
	cri := map[string]string{annotationCRIType: "container", annotationCRIName: "a", annotationCRINamespace: "team"}
	for _, test := range []struct {
		name, told, cgroup string
		id, bundle         string
		annotations        map[string]string
		caller             *Caller
		engine, doubt      string
	}{
		{name: "bare", cgroup: "/x/" + id, id: id},
		{name: "bare without control group", id: id},
		{name: "podman", cgroup: "/libpod_parent/libpod-" + id, id: id, engine: Podman},
		{name: "podman, id not known", cgroup: "/libpod_parent/libpod-" + id, engine: Podman},
		{name: "podman, payload", cgroup: "/user.slice/libpod-payload-" + id, id: id, engine: Podman},
		{name: "podman with systemd", cgroup: "machine.slice:libpod:" + id, id: id, engine: Podman},
		{name: "another's id", cgroup: "/libpod_parent/libpod-abc", id: id},
		{name: "a form without an id", cgroup: "/libpod_parent/libpod-", engine: ""},
		{name: "podman's pod", cgroup: "machine.slice:libpod:" + id, id: id, engine: Podman, annotations: map[string]string{
			annotationManager: "libpod", annotationContainerType: "container", "io.kubernetes.cri-o.SandboxID": "x",
			"io.kubernetes.cri-o.Created": "x", "io.kubernetes.cri-o.TTY": "false", "io.kubernetes.cri-o.userns-mode": "auto",
		}},
		{
			name: "a manager that says nothing", cgroup: "/p/libpod-" + id, id: id,
			annotations: map[string]string{annotationManager: ""}, engine: Podman,
		},
		{
			name: "podman without control group", id: id, caller: conmon(id, "a"),
			annotations: map[string]string{annotationManager: "libpod"}, engine: Podman,
		},
		{name: "another's conmon", id: id, caller: conmon("abc", "a")},
		{
			name: "another's conmon, and this one's runtime", id: id,
			caller: callerWith([]string{"runc", id}, []string{"conmon", "-c", "abc", "--exit-command", "/usr/bin/podman"}),
		},
		{
			name: "a program that is not conmon", id: id,
			caller: callerWith([]string{"runc", id}, []string{"x", "-c", id, "--exit-command", "/usr/bin/podman"}),
		},
		{
			name: "conmon of another engine", id: id,
			caller: callerWith([]string{"runc", id}, []string{"conmon", "-c", id, "--exit-command", "/usr/bin/crio"}),
		},
		{
			name: "cri-o", cgroup: "kubepods.slice:crio:" + id, id: id, engine: CRIO,
			annotations: map[string]string{annotationManager: "cri-o", annotationOwn: "{}"},
		},
		{name: "cri-o on cgroupfs", cgroup: "/kubepods/crio-" + id, id: id, engine: CRIO},
		{name: "containerd", cgroup: "/k8s.io/" + id, id: id, engine: Containerd, annotations: cri},
		{
			name: "containerd with systemd", cgroup: "kubepods.slice:cri-containerd:" + id, id: id, engine: Containerd,
			annotations: cri,
		},
		{name: "buildah", id: "buildah-buildah12", bundle: "/var/tmp/buildah12", engine: Buildah},
		{name: "buildah by name alone", id: "buildah-buildah12", bundle: "/var/tmp/x"},
		{
			name: "told alone", told: CRIO, cgroup: "/x", id: id, engine: CRIO,
			annotations: map[string]string{annotationManager: "cri-o"},
		},
		{
			name: "told of podman, which builds", told: Podman, id: "buildah-buildah12", bundle: "/var/tmp/buildah12",
			engine: Buildah,
		},

		{
			name: "told against the form", told: CRIO, cgroup: "machine.slice:libpod:" + id, id: id, engine: Podman,
			doubt: "the hook's definition is for cri-o, and the container is podman's",
		},
		{
			name: "told against a build", told: CRIO, id: "buildah-buildah12", bundle: "/var/tmp/buildah12",
			engine: Buildah, doubt: "the hook's definition is for cri-o, and the container is buildah's",
		},
		{
			name: "told against conmon", told: CRIO, id: id, caller: conmon(id, "a"), engine: Podman,
			doubt: "the hook's definition is for cri-o, and the container is podman's",
		},
		{
			name: "another manager", cgroup: "/p/libpod-" + id, id: id,
			annotations: map[string]string{annotationManager: "x"}, engine: Podman,
			doubt: "annotation io.container.manager says an unknown engine, and the container is podman's",
		},
		{
			name: "an image that says cri-o", cgroup: "/p/libpod-" + id, id: id,
			annotations: map[string]string{annotationManager: "cri-o"}, engine: Podman,
			doubt: "annotation io.container.manager says cri-o, and the container is podman's",
		},
		{
			name: "an image with keys of cri-o", cgroup: "/p/libpod-" + id, id: id,
			annotations: map[string]string{annotationManager: "libpod", annotationOwn: "{}"}, engine: Podman,
			doubt: "annotation io.kubernetes.cri-o.Annotations says cri-o, and the container is podman's",
		},
		{
			name: "an image that says infra", cgroup: "/p/libpod-" + id, id: id, engine: Podman,
			annotations: map[string]string{annotationContainerType: "sandbox", annotationCRIType: "sandbox"},
		},
		{
			name: "keys of containerd", cgroup: "/p/libpod-" + id, id: id,
			annotations: map[string]string{annotationCRINamespace: "n"}, engine: Podman,
			doubt: "annotation io.kubernetes.cri.sandbox-namespace says containerd, and the container is podman's",
		},
		{
			name: "cri-o's container that says libpod", cgroup: "/p/crio-" + id, id: id,
			annotations: map[string]string{annotationManager: "libpod"}, engine: CRIO,
			doubt: "annotation io.container.manager says podman, and the container is cri-o's",
		},
		{
			name: "a claim alone", id: id, annotations: map[string]string{annotationManager: "libpod"},
			doubt: "annotation io.container.manager says podman, and nothing proves it",
		},
		{
			name: "keys of containerd without a control group", id: id, annotations: cri,
			doubt: "annotation io.kubernetes.cri.container-name says containerd, and nothing proves it",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &Container{State: State{State: specs.State{ID: test.id, Bundle: test.bundle}}, Spec: &specs.Spec{
				Annotations: test.annotations, Linux: &specs.Linux{CgroupsPath: test.cgroup},
			}}
			c.Identify(test.told, test.caller)
			doubt := ""
			if c.Doubt() != nil {
				doubt = c.Doubt().Error()
			}
			if c.Engine() != test.engine || doubt != test.doubt {
				t.Errorf("engine %q, doubt %q", c.Engine(), doubt)
			}
		})
	}
}

// What annotations claim counts only where nothing proves an engine, and only if they name one that is known.
func TestClaimed(t *testing.T) {
	for _, test := range []struct {
		name, cgroup string
		annotations  map[string]string
		want         string
	}{
		{"nothing", "", nil, ""},
		{"a claim", "", annotationsOf(annotationManager, "libpod"), Podman},
		{"a claim without proof in the control group", "/x/" + id, annotationsOf(annotationManager, "cri-o"), CRIO},
		{"a claim against the form", "/p/libpod-" + id, annotationsOf(annotationManager, "cri-o"), ""},
		{"a claim like the form", "/p/libpod-" + id, annotationsOf(annotationManager, "libpod"), ""},
		{"an unknown engine", "", annotationsOf(annotationManager, "x"), ""},
		{"anybody's annotation", "", annotationsOf("x", "libpod"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &Container{State: State{State: specs.State{ID: id}}, Spec: &specs.Spec{
				Annotations: test.annotations, Linux: &specs.Linux{CgroupsPath: test.cgroup},
			}}
			if got := c.Claimed(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// withForm is a container of the engine, proven by its form.
func withForm(engine string, annotations map[string]string) *Container {
	paths := map[string]string{Podman: "/p/libpod-" + id, CRIO: "/p/crio-" + id, Containerd: "/p/" + id}
	if engine == Containerd {
		annotations = maps.Clone(annotations)
		annotations[annotationCRIType] = "container"
	}
	return &Container{
		State: State{State: specs.State{ID: id}},
		Spec:  &specs.Spec{Annotations: annotations, Linux: &specs.Linux{CgroupsPath: paths[engine]}},
	}
}

func TestOwnAnnotations(t *testing.T) {
	type annotations = map[string]string
	for _, test := range []struct {
		name, engine string
		in, own      annotations
	}{
		{"bare", "", annotations{"a": "1"}, annotations{"a": "1"}},
		{"podman", Podman, annotations{"a": "1"}, annotations{"a": "1"}},
		{
			"cri-o", CRIO,
			annotations{annotationManager: "cri-o", "a": "pod's", annotationOwn: `{"b":"2"}`},
			annotations{"b": "2"},
		},
		{"cri-o, no list", CRIO, annotations{"a": "pod's"}, nil},
		{"cri-o, malformed", CRIO, annotations{"a": "pod's", annotationOwn: `{"b":2}`}, nil},
		{"cri-o, null", CRIO, annotations{annotationOwn: "null"}, nil},
		{"containerd", Containerd, annotations{"a": "?"}, nil},
		{"in doubt", Podman, annotations{"a": "1", annotationOwn: `{"a":"1"}`}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := withForm(test.engine, test.in)
			c.Identify("", nil)
			if diff := cmp.Diff(test.own, c.OwnAnnotations()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInfra(t *testing.T) {
	type annotations = map[string]string
	for _, test := range []struct {
		name, engine string
		in           annotations
		caller       *Caller
		want         bool
	}{
		{"cri-o", CRIO, annotations{annotationName: "POD"}, nil, true},
		{"cri-o, forged", CRIO, annotations{annotationName: "main", annotationContainerType: "sandbox"}, nil, false},
		{"podman", Podman, annotations{}, conmon(id, "aea2bda61b99-infra"), false},
		{"podman, named so", Podman, annotations{}, conmon(id, "my-infra"), false},
		{
			"podman, forged", Podman,
			annotations{annotationContainerType: "sandbox", annotationName: "POD"},
			conmon(id, "a"),
			false,
		},
		{"podman, another's name", Podman, annotations{}, conmon("abc", "aea2bda61b99-infra"), false},
		{"bare, forged", "", annotations{annotationContainerType: "sandbox", annotationName: "POD"}, nil, false},
		{"containerd's container", Containerd, annotations{annotationName: "POD"}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := withForm(test.engine, test.in)
			c.Identify("", test.caller)
			if c.Infra() != test.want {
				t.Errorf("infra: %v", c.Infra())
			}
		})
	}
	c := withForm(Containerd, annotationsOf(annotationCRIType, "sandbox"))
	c.Spec.Annotations[annotationCRIType] = "sandbox"
	c.Identify("", nil)
	if !c.Infra() {
		t.Error("containerd's sandbox is none")
	}
	c.Spec.Annotations[annotationManager] = "x"
	c.Identify("", nil)
	if c.Infra() {
		t.Error("a sandbox in doubt is one")
	}
}

func annotationsOf(key, value string) map[string]string { return map[string]string{key: value} }

func TestNames(t *testing.T) {
	c := withForm(Containerd,
		map[string]string{annotationCRIName: "a", annotationCRINamespace: "team", annotationNamespace: "other"})
	c.Identify("", nil)
	if c.Name() != "a" || c.PodNamespace() != "team" {
		t.Errorf("containerd: %q %q", c.Name(), c.PodNamespace())
	}
	c = withForm(CRIO, map[string]string{annotationName: "a", annotationNamespace: "team"})
	c.Identify("", nil)
	if c.Name() != "a" || c.PodNamespace() != "team" {
		t.Errorf("cri-o: %q %q", c.Name(), c.PodNamespace())
	}
	c = withForm(CRIO, map[string]string{annotationManager: "x", annotationNamespace: "team"})
	c.Identify("", nil)
	if c.PodNamespace() != "" {
		t.Errorf("in doubt: %q", c.PodNamespace())
	}
	c = withForm(Podman, map[string]string{annotationNamespace: "team"})
	c.Identify("", nil)
	if c.PodNamespace() != "" {
		t.Errorf("podman: %q", c.PodNamespace())
	}
}

// podman kube play writes a container's name nowhere but on conmon's command line, behind that of the pod.
func TestNameInPodmansPod(t *testing.T) {
	userdata := filepath.Join(t.TempDir(), id, "userdata")
	file := filepath.Join(userdata, "hostname")
	if err := os.MkdirAll(userdata, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("my-pod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	others := filepath.Join(t.TempDir(), "hostname")
	if err := os.WriteFile(others, []byte("my-pod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, source, want string }{
		{"my-pod-a-b", file, "a-b"},
		{"my-pod-a-b", others, ""},
		{"my-pod", file, ""},
		{"other-a", file, ""},
		{"my-pod-a", filepath.Join(userdata, "x"), ""},
		{"my-pod-a", "/etc/hostname", ""},
	} {
		c := withForm(Podman, map[string]string{})
		c.Spec.Mounts = []specs.Mount{{Destination: "/etc/hostname", Source: test.source}}
		c.Identify("", conmon(id, test.name))
		if got := c.Name(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// What an engine calls a container is what the engine itself has written: no annotation of an image or a pod counts,
// and in doubt there is no name.
func TestNamesOfEngines(t *testing.T) {
	forged := map[string]string{
		annotationName: "main", annotationPod: "p-0", annotationNamespace: "ml",
		"name": "forged", "io.podman.name": "forged",
	}
	with := func(more map[string]string) map[string]string {
		out := maps.Clone(forged)
		maps.Copy(out, more)
		return out
	}
	kubernetes := Names{Name: "main", Pod: "p-0", Namespace: "ml"}
	for name, test := range map[string]struct {
		engine      string
		annotations map[string]string
		caller      *Caller
		want        Names
	}{
		"podman":                   {Podman, forged, conmon(id, "train"), Names{Name: "train"}},
		"podman, another's conmon": {Podman, forged, conmon("abc", "train"), Names{}},
		"podman, explained":        {Podman, forged, nil, Names{}},
		"cri-o":                    {CRIO, forged, nil, kubernetes},
		"containerd": {
			Containerd,
			with(map[string]string{
				annotationName: "x", annotationCRIName: "main", annotationCRIPod: "p-0", annotationCRINamespace: "ml",
			}),
			nil, kubernetes,
		},
		"in doubt": {CRIO, with(map[string]string{annotationManager: "x"}), nil, Names{}},
		"bare":     {"", forged, conmon("abc", "train"), Names{}},
	} {
		c := withForm(test.engine, test.annotations)
		c.Identify("", test.caller)
		if got := c.Names(); got != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
