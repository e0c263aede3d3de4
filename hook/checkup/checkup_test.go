package checkup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// place is a GPU host with directories of hook definitions, and a program to call.
type place struct {
	t    *testing.T
	host *gpuhost.Host
}

func newPlace(t *testing.T) place {
	t.Helper()
	require.Root(t)
	host, err := gpuhost.New(filepath.Join(t.TempDir(), "host"))
	if err != nil {
		t.Fatal(err)
	}
	p := place{t, host}
	p.write("bin/gpu-hook", "#!/bin/sh\n", 0o755)
	for _, dir := range []string{"shared", "podman"} {
		if err := os.Mkdir(host.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p place) write(name, text string, mode os.FileMode) {
	p.t.Helper()
	if err := p.host.Write(name, strings.ReplaceAll(text, "HOST", p.host.Dir), mode); err != nil {
		p.t.Fatal(err)
	}
}

func (p place) options() config.Options {
	return config.Options{Config: p.host.Path("config.toml"), Engine: "podman"}
}

func (p place) places() Places {
	return Places{
		Shared: p.host.Path("shared"), Podman: p.host.Path("podman"), Named: true,
		Plan: func(gpus string) (*report.Report, error) { return hook.Example{GPUs: &gpus}.Explain(p.options()) },
	}
}

// checks are those of these names, as "status name: message".
func (p place) checks(places Places, names ...string) []string {
	var out []string
	for _, c := range Run(p.options(), places).Checks {
		if slices.Contains(names, c.Name) {
			out = append(out, strings.ReplaceAll(c.Status+" "+c.Name+": "+c.Message, p.host.Dir, "HOST"))
		}
	}
	return out
}

// definitionOf returns one that calls a program at a stage.
func definitionOf(program, stage string, args ...string) string {
	list := ""
	for _, a := range args {
		list += `"` + a + `",`
	}
	called := `{"path":"` + program + `","args":[` + strings.TrimSuffix(list, ",") + `]}`
	return `{"version":"1.0.0","hook":` + called + `,"when":{"always":true},"stages":["` + stage + `"]}`
}

// The directories that are named are taken for those that podman reads.
func TestDefinitions(t *testing.T) {
	const (
		ours, gone = "HOST/bin/gpu-hook", "HOST/nowhere/gpu-hook"
		create     = "shared/gpu-hook.json"
		pre        = "podman/gpu-hook-precreate.json"
		createOK   = "ok createRuntime: HOST/shared/gpu-hook.json"
		preOK      = "ok precreate: HOST/podman/gpu-hook-precreate.json"
		nvidias    = "/usr/bin/nvidia-container-runtime-hook"
		never      = "fail createRuntime: podman never calls gpu-hook: "
		none       = never + "no definition in HOST/shared or HOST/podman does"
		noPre      = "warn precreate: podman does not call gpu-hook at the stage precreate: " +
			"no definition in HOST/shared or HOST/podman does"
	)
	both := func(more ...string) map[string]string {
		out := map[string]string{
			create: definitionOf(ours, "createRuntime", "gpu-hook", "createRuntime"),
			pre:    definitionOf(ours, "precreate", "gpu-hook", "precreate"),
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	ofEngine := func(words ...string) map[string]string {
		return map[string]string{create: definitionOf(ours, "createRuntime", append([]string{"gpu-hook", "createRuntime"},
			words...)...)}
	}
	for _, test := range []struct {
		name   string
		files  map[string]string
		places func(*Places)
		want   []string
	}{
		{"installed", both(), nil, []string{createOK, preOK}},
		{"not installed", nil, nil, []string{none}},
		{"without podman's", ofEngine(), nil, []string{noPre, createOK}},
		{"where podman is not used", ofEngine(), func(p *Places) { p.Podman = "" }, []string{createOK}},
		{"of another engine", ofEngine("--engine", "cri-o"), nil, []string{createOK}},
		{"of podman", ofEngine("--engine", "podman"), nil, []string{noPre, createOK}},
		{"of an engine that is not named", ofEngine("--engine"), nil, []string{noPre, createOK}},
		{"another stage", map[string]string{create: definitionOf(ours, "poststop")}, nil, []string{none}},
		{"another program", map[string]string{create: definitionOf("/usr/bin/other", "createRuntime")}, nil, []string{none}},
		{"another file", map[string]string{"shared/gpu-hook.jsn": definitionOf(ours, "createRuntime")}, nil, []string{none}},
		{
			"without the program", both(create, definitionOf(gone, "createRuntime")), nil,
			[]string{"fail createRuntime: HOST/shared/gpu-hook.json calls HOST/nowhere/gpu-hook: it does not exist"},
		},
		{
			"podman's stage under the name of the other", both("podman/gpu-hook.json", definitionOf(ours, "precreate",
				"gpu-hook", "precreate")),
			nil,
			[]string{never + "HOST/podman/gpu-hook.json takes the place of HOST/shared/gpu-hook.json"},
		},
		{"one that cannot be read", both("shared/10.json", "{"), nil, []string{
			"fail other hooks: HOST/shared/10.json: unexpected end of JSON input", createOK, preOK,
		}},
		{"podman's stage where CRI-O looks too", both("shared/10.json", definitionOf("/bin/x", "precreate")), nil, []string{
			"fail other hooks: HOST/shared/10.json is for the stage precreate, beside which CRI-O does not start", createOK,
			preOK,
		}},
		{"NVIDIA's own hook", both("shared/oci-nvidia-hook.json", definitionOf(nvidias, "prestart")), nil, []string{
			"warn other hooks: HOST/shared/oci-nvidia-hook.json runs " + nvidias + " beside gpu-hook, by its own rules",
			createOK,
			preOK,
		}},
		{
			"NVIDIA's own hook, by its old name",
			both("shared/10.json", definitionOf("/bin/nvidia-container-toolkit", "prestart")), nil,
			[]string{
				"warn other hooks: HOST/shared/10.json runs /bin/nvidia-container-toolkit beside gpu-hook, by its own rules",
				createOK, preOK,
			},
		},
		{"another hook", both("shared/10.json", definitionOf("/bin/x", "poststop")), nil, []string{createOK, preOK}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			for name, text := range test.files {
				p.write(name, text, 0o644)
			}
			places := p.places()
			if test.places != nil {
				test.places(&places)
			}
			got := p.checks(places, "createRuntime", "precreate", "other hooks")
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A container that asks for all devices must get them, and every Spec must hold.
func TestDrivers(t *testing.T) {
	const (
		read   = "ok configuration: read"
		served = "ok driver nvidia: a container that asks for all devices gets them: "
		none   = "fail drivers: this host has no GPU to give"
		again  = "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices:\n" +
			"- {name: \"0\", containerEdits: {deviceNodes: [{path: /dev/null}]}}\n"
	)
	names := []string{
		"driver nvidia", "driver nvidia.runtime-hook", "driver amd", "drivers", "device nodes", "CDI Specs",
		"configuration",
	}
	for _, test := range []struct {
		name   string
		change func(place)
		want   []string
	}{
		{"a Spec", func(place) {}, []string{read, served + "HOST/cdi/nvidia.yaml"}},
		{"a Spec and a hook", func(p place) { p.write("bin/nvidia-container-runtime-hook", "", 0o755) }, []string{
			read, served + "HOST/cdi/nvidia.yaml", "ok driver nvidia.runtime-hook: HOST/bin/nvidia-container-runtime-hook",
		}},
		{"a hook", func(p place) {
			p.remove("cdi/nvidia.yaml")
			p.write("bin/nvidia-container-runtime-hook", "", 0o755)
		}, []string{read, served + "by HOST/bin/nvidia-container-runtime-hook"}},
		{"nothing", func(p place) { p.remove("cdi/nvidia.yaml") }, []string{none, read}},
		{"a broken Spec", func(p place) { p.write("cdi/nvidia.yaml", "x", 0o644) }, []string{
			"fail CDI Specs: CDI Spec rejected: HOST/cdi/nvidia.yaml: ", read,
		}},
		{"two Specs for one name", func(p place) { p.write("cdi/other.yaml", again, 0o644) }, []string{
			"fail CDI Specs: nvidia.com/gpu=0: both HOST/cdi/nvidia.yaml and HOST/cdi/other.yaml define it", read,
		}},
		{"a node is missing", func(p place) { p.remove("dev/nvidia1") }, []string{
			"fail device nodes: HOST/cdi/nvidia.yaml wants HOST/dev/nvidia1, which this host lacks", read,
		}},
		{"a broken configuration", func(p place) { p.write("config.toml", "x", 0o644) }, []string{
			"fail configuration: E-CONFIG: HOST/config.toml: toml: line 1: ",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			test.change(p)
			got := p.checks(p.places(), names...)
			if len(got) < len(test.want) {
				t.Fatalf("%q", got)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("%s, want %s", got[i], want)
				}
			}
		})
	}
}

func (p place) remove(name string) {
	p.t.Helper()
	if err := os.Remove(p.host.Path(name)); err != nil {
		p.t.Fatal(err)
	}
}

// Records must be in a directory that one user alone may write.
func TestRecords(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(place)
		want   string
	}{
		{"there", func(place) {}, "ok records: HOST/run; gpu-hook last shows the newest"},
		{"not yet", func(p place) { p.remove("run") }, "ok records: HOST/run (none yet); gpu-hook last shows the newest"},
		{"others may write", func(p place) {
			if err := os.Chmod(p.host.Path("run"), 0o777); err != nil {
				t.Fatal(err)
			}
		}, "warn records: HOST/run is not a directory that one user alone may write"},
		{"no directory", func(p place) {
			p.remove("run")
			p.write("run", "", 0o600)
		}, "warn records: HOST/run is not a directory that one user alone may write"},
	} {
		p := newPlace(t)
		test.change(p)
		if got := p.checks(p.places(), "records"); len(got) != 1 || got[0] != test.want {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestKernel(t *testing.T) {
	out := &report.Checkup{}
	checkKernel(out)
	if len(out.Checks) != 1 || out.Checks[0].Name != "kernel" || !strings.HasPrefix(out.Checks[0].Message, "Linux ") {
		t.Errorf("%+v", out.Checks)
	}
}

// The inventory tells what the host has to give.
func TestInventory(t *testing.T) {
	p := newPlace(t)
	p.write("config.toml", p.host.Config()+"[engines.cri-o]\nnamespaces = { team-a = [\"env\"] }\n", 0o644)
	i, err := Inventory(p.options())
	if err != nil {
		t.Fatal(err)
	}
	var drivers, devices, sources []string
	for _, v := range i.Vendors {
		for _, d := range v.Drivers {
			line := d.Name + ": " + strings.Join(d.Paths, " ")
			if !d.Found {
				line = d.Name + " not: " + d.Reason
			}
			drivers = append(drivers, strings.ReplaceAll(line, p.host.Dir, "HOST"))
		}
	}
	for _, d := range i.Devices {
		devices = append(devices, d.Name)
	}
	for _, s := range i.Sources {
		sources = append(sources, s.Engine+": "+strings.Join(s.Sources, " "))
		if s.Engine == "cri-o" && !slices.Equal(s.Namespaces["team-a"], []string{"env"}) {
			t.Errorf("namespaces %v", s.Namespaces)
		}
	}
	if diff := cmp.Diff([]string{
		"nvidia.cdi: HOST/cdi/nvidia.yaml",
		"nvidia.runtime-hook not: HOST/bin/nvidia-container-runtime-hook: it is not installed",
		"amd.cdi not: amd.com/gpu: no CDI Spec defines kind amd.com/gpu; they define: nvidia.com/gpu",
		"intel.cdi not: intel.com/gpu: no CDI Spec defines kind intel.com/gpu; they define: nvidia.com/gpu",
	}, drivers); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=" + gpuhost.UUID(0), "nvidia.com/gpu=" + gpuhost.UUID(1),
		"nvidia.com/gpu=all",
	}, devices); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		": annotation cdi-annotation mount env", "buildah: annotation cdi-annotation", "containerd: mount cdi-annotation",
		"cri-o: mount cdi-annotation",
	}, sources); diff != "" {
		t.Error(diff)
	}
	p.write("config.toml", "x", 0o644)
	if _, err := Inventory(p.options()); !fault.Is(err, fault.Config) {
		t.Errorf("a broken configuration: %v", err)
	}
}

// An installation says which sources count for its engine.
func TestRulesFor(t *testing.T) {
	p := newPlace(t)
	p.write("config.toml", "limits.timeout = '45s'\n", 0o644)
	for engine, want := range map[string]Rules{
		"":       {Counted: []string{"annotation", "cdi-annotation", "mount", "env"}, Timeout: 45 * time.Second},
		"podman": {Counted: []string{"annotation", "cdi-annotation", "mount", "env"}, Timeout: 45 * time.Second},
		"cri-o": {
			Counted: []string{"mount", "cdi-annotation"}, Closed: []string{"annotation", "env"}, Timeout: 45 * time.Second,
		},
	} {
		got, err := RulesFor(p.options(), engine)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Error(engine, err, diff)
		}
	}
	p.write("config.toml", "x", 0o644)
	if _, err := RulesFor(p.options(), ""); !fault.Is(err, fault.Config) {
		t.Errorf("a broken configuration: %v", err)
	}
}
