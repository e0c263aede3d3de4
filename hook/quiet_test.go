package hook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/quiet"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// both asks package quiet and this package about one container.
type both struct {
	t      testing.TB
	dir    string
	bundle string
}

func newBoth(t testing.TB) *both {
	t.Helper()
	b := &both{t: t, dir: t.TempDir()}
	b.bundle = filepath.Join(b.dir, "bundle")
	if err := os.Mkdir(b.bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *both) write(name string, data []byte) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// isQuiet is what package quiet says to a config.json and, unless it is nil, a config.toml.
func isQuiet(spec, toml []byte) bool {
	triggers := quiet.NewTriggers()
	return (toml == nil || triggers.AddConfig(toml)) && quiet.Spec(spec, triggers)
}

// check fails if package quiet says of a container that it is quiet, and this package finds something in it. It returns
// what package quiet says.
func (b *both) check(spec, toml []byte) bool {
	b.t.Helper()
	if !isQuiet(spec, toml) {
		return false
	}
	if found := b.found(spec, toml); found != "" {
		b.t.Errorf("it is not quiet: %s\nconfig.json: %q\nconfig.toml: %q", found, spec, toml)
	}
	return true
}

// found is what this package finds in a container, or "".
func (b *both) found(spec, toml []byte) string {
	b.t.Helper()
	o := Options{Config: filepath.Join(b.dir, "none.toml")}
	if toml != nil {
		o.Config = b.write("config.toml", toml)
	}
	b.write("bundle/config.json", spec)
	text := fmt.Sprintf(`{"ociVersion": "1.0.2", "id": "x", "status": "creating", "pid": 1, "bundle": %q}`, b.bundle)
	found := findings(Plan(o, strings.NewReader(text)))
	if found != "" {
		return found
	}
	s := PlanSpec(o, spec)
	if out := s.Render(); !bytes.Equal(out, spec) {
		return "precreate changes it"
	}
	return findings(s)
}

// findings is what there is to say of a start, or "". An explicit nothing is not told, even beside a doubt.
func findings(s *Start) string {
	warned := len(s.Report.Warnings) > 0 && len(s.Report.Requests) == 0
	if s.Silent() && s.Report.Result == plan.ResultNothing && len(s.plan.Grants) == 0 && !warned {
		return ""
	}
	data, err := json.Marshal(s.Report)
	return fmt.Sprint(string(data), err)
}

// specOf is a config.json with what a test is about, or that is what it is about as a whole.
func specOf(more string) []byte {
	if strings.HasPrefix(more, "{") {
		return []byte(more)
	}
	const plain = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},` +
		`"process":{"user":{"uid":0,"gid":0},"args":["sh"],"env":["PATH=/bin"],"cwd":"/"}%s}`
	return fmt.Appendf(nil, plain, more)
}

// quoted is a string of JSON.
func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// requests are containers that request something by each source.
func requests() map[string][]string {
	return map[string][]string{
		config.SourceAnnotation: {
			`,"annotations":{"gpu-hook/gpus":"all"}`,
			`,"annotations":{"gpu-hook/gpus.main":"all"}`,
			`,"annotations":{"gpu-hook/misspelt":"all"}`,
			`,"annotations":{"\"gpu-hook/gpus":"all"}`,
			`,"annotations":{"gpu-hook/plan":"{}"}`,
			`,"annotations":{"gpuhook/gpus":"all"}`,
			`,"annotations":{"io.GPU-Hook/gpu":"all"}`,
		},
		config.SourceCDIAnnotation: {
			`,"annotations":{"cdi.k8s.io/x":"nvidia.com/gpu=0"}`,
			`,"annotations":{"cdi.k8s.io/":"no name"}`,
			`,"annotations":{"\"cdi.k8s.io/x":"nvidia.com/gpu=0"}`,
			`,"annotations":{"cdi.k8s.oi/x":"nvidia.com/gpu=0"}`,
			`,"annotations":{"CDI.k8s":"nvidia.com/gpu=0"}`,
		},
		config.SourceMount: {
			`,"mounts":[{"destination":"/var/run/nvidia-container-devices/0","source":"/dev/null"}]`,
			`,"mounts":[{"destination":"/var/run//nvidia-container-devices/./imex/0","source":"/dev/null"}]`,
			`,"mounts":[{"destination":"/x/../var/run/nvidia-container-devices/cdi/nvidia.com/gpu/0","source":"/dev//null"}]`,
		},
		config.SourceEnv: {
			`,"process":{"env":["NVIDIA_VISIBLE_DEVICES=all"]}`,
			`,"process":{"env":["NVIDIA_VISIBLE_DEVICES=none"]}`,
			`,"process":{"env":["NVIDIA_IMEX_CHANNELS=0"]}`,
			`,"process":{"env":["CUDA_VERSION=10.0"]}`,
			`{"process":{"env":["CUDA_VERSION=10.0","NVIDIA_VISIBLE_DEVICES"]}}`,
			`{"process":{"env":["CUDA_VERSION=10.0"],"args":["NVIDIA_VISIBLE_DEVICES=void"]}}`,
			`{"process":{"env":["CUDA_VERSION=10.0","NVIDIA_VISIBLE_DEVICES=void","NVIDIA_VISIBLE_DEVICES=0"]}}`,
			`{"process":{"env":["CUDA_VERSION=10.0","NVIDIA_VISIBLE_DEVICES=void"],"env":["CUDA_VERSION=10.0"]}}`,
			`{"process":{"env":["CUDA_VERSION=10.0","NVIDIA_VISIBLE_DEVICES="]},"process":{"env":["CUDA_VERSION=10.0"]}}`,
			`{"process":{"env":["CUDA_VERSION=10.0"]},"hooks":{"prestart":[{"env":["NVIDIA_VISIBLE_DEVICES="]}]}}`,
			`,"process":{"env":["AMD_VISIBLE_DEVICES=0"]}`,
			`,"process":{"env":["AMD_VISIBLE_DEVICE=0"]}`,
			`,"process":{"env":["NVIDIA_VISIBLE_DEVICESS=0"]}`,
			`,"process":{"env":["nvidia_visible_devices=0"]}`,
			`,"process":{"env":["NVIDIA_VISBILE_DEVICES=0"]}`,
		},
	}
}

// forms are ways to write the same JSON.
func forms(spec string) []string {
	return []string{
		spec,
		strings.NewReplacer(":", " :\n\t", ",", " , ").Replace(spec),
		strings.ReplaceAll(spec, "/", `\/`),
		strings.ReplaceAll(spec, "_", `\u005f`),
		strings.NewReplacer(
			"gpu-hook", `\u0067pu-hook`, "cdi.", `cd\u0069.`, "NVIDIA", `NVID\u0049A`, "nvidia", `nvid\u0069a`,
		).Replace(spec),
		strings.NewReplacer(
			`"annotations"`, `"Annotations"`, `"mounts"`, `"MOUNTS"`, `"env"`, `"Env"`, `"process"`, `"proceſs"`,
		).Replace(spec),
		strings.NewReplacer(`"annotations"`, `"\u0061nnotations"`, `"env"`, `"\u0065nv"`).Replace(spec),
	}
}

// Every form of a request by every source is a trigger.
func TestEverySourceIsATrigger(t *testing.T) {
	b := newBoth(t)
	all := requests()
	for _, source := range config.Sources() {
		if len(all[source]) == 0 {
			t.Errorf("no request by the source %q is tried", source)
		}
		for _, more := range all[source] {
			for _, form := range forms(string(specOf(more))) {
				if isQuiet([]byte(form), nil) {
					t.Errorf("it is taken for quiet: %s", form)
				}
			}
			if b.found(specOf(more), nil) == "" {
				t.Errorf("it requests nothing: %s", more)
			}
		}
	}
}

// The built-in vendors' variables and prefixes, by the definitions themselves.
func TestDefinitionsAreTriggers(t *testing.T) {
	c := config.Defaults()
	var more []string
	for _, prefix := range c.CDI.AnnotationPrefixes {
		more = append(more, `,"annotations":{"`+prefix+`x":""}`)
	}
	for i := range c.Vendors {
		variables := []string{c.Vendors[i].Env}
		for _, part := range c.ContractOf(&c.Vendors[i]).Parts() {
			variables = append(variables, part.Variable)
		}
		for _, variable := range variables {
			if variable != "" {
				more = append(more, `,"process":{"env":["`+variable+`=1"]}`)
			}
		}
	}
	more = append(more, `,"mounts":[{"destination":"`+nvidia.MountRoot+`/0"}]`)
	for _, m := range more {
		if isQuiet(specOf(m), nil) {
			t.Errorf("it is taken for quiet: %s", m)
		}
	}
}

// Whatever a configuration adds to what is a request is a trigger, however it is written.
func TestConfiguredTriggers(t *testing.T) {
	b := newBoth(t)
	const cuda = `{"process":{"env":["CUDA_VERSION=1","NVIDIA_VISIBLE_DEVICES=void"]}}`
	vendor := "[[vendor]]\nname = \"acme\"\nkind = \"acme.com/npu\"\n"
	env := func(entry string) []byte { return specOf(`,"process":{"env":["` + entry + `"]}`) }
	annotation := func(key string) []byte { return specOf(`,"annotations":{"` + key + `":"acme.com/npu=0"}`) }
	for _, test := range []struct {
		toml string
		spec []byte
	}{
		{vendor + `env = "ACME_DEVICES"`, env("ACME_DEVICES=0")},
		{vendor + `env = 'ACME_DEVICES'`, env("ACME_DEVICES=0")},
		{vendor + `env = "ACME_D\u0045VICES"`, env("ACME_DEVICES=0")},
		{vendor + `env = """ACME_DEVICES"""`, env("ACME_DEVICES=0")},
		{vendor + `env = '''ACME_DEVICES'''`, env("ACME_DEVICES=0")},
		{vendor + `env = "ÄCME"`, env("ÄCME=0")},
		{"vendor = [{name = 'acme', kind = 'acme.com/npu', env = 'ACME'}]", env("ACME=0")},
		{"[requests]\npreferred-env = ['A', \"B\"]", env("B=0")},
		{"requests.\"preferred-env\" = ['B']", env("B=0")},
		{"# don't\n[requests] # it's \"so\npreferred-env = [ # \"\n'B']", env("B=0")},
		{"[requests]\npreferred-env = ['a\"b']", env(`a\"b=0`)},
		{"[requests]\npreferred-env = [\"\"\"a\"\"b\"\"\"]", env(`a\"\"b=0`)},
		{"[requests]\npreferred-env = ['a<b']", env(`a\u003cb=0`)},
		{"[requests]\npreferred-env = ['a>b']", env(`a\u003eb=0`)},
		{"[requests]\npreferred-env = ['a&b']", env(`a\u0026b=0`)},
		{"[requests]\npreferred-env = ['a\u2028b']", env(`a\u2028b=0`)},
		{"[[vendor]]\nname = 'nvidia'\nenv = 'X'", specOf(cuda)},
		{"[[vendor]]\nname = 'nvidia'\nEnV = 'X'", specOf(cuda)},
		{"[cdi]\nannotation-prefixes = ['acme.com/']", annotation("acme.com/x")},
		{"[cdi]\nannotation-prefixes = ['acme.com/']", annotation(`\"acme.com/x`)},
	} {
		if isQuiet(test.spec, []byte(test.toml)) {
			t.Errorf("it is taken for quiet: %s\n%s", test.spec, test.toml)
		}
		if b.found(test.spec, []byte(test.toml)) == "" {
			t.Errorf("it requests nothing: %s\n%s", test.spec, test.toml)
		}
	}
	for _, toml := range []string{
		"", "# don't\n", "[cdi]\nspec-dirs = ['/etc/cdi']\n", "[broken", "[limits]\ntimeout = \"5s\"\n",
	} {
		if !b.check(specOf(""), []byte(toml)) {
			t.Errorf("it is not taken for quiet with %q", toml)
		}
	}
}

// NVIDIA's own hook in config.json is a trigger whatever the variables are that it goes by.
func TestOtherHooksAreTriggers(t *testing.T) {
	b := newBoth(t)
	nvidia := b.write("nvidia.toml", []byte("swarm-resource = \"SWARM\"\n"))
	toml := []byte("[nvidia]\nruntime-config = \"" + nvidia + "\"\n")
	for _, path := range []string{
		"/usr/bin/nvidia-container-runtime-hook", "nvidia-container-toolkit", "x/nvidia-container-toolkit/",
	} {
		for _, stage := range []string{"prestart", "createRuntime"} {
			for _, env := range []string{`"SWARM=0"`, `"SWARM=0","NVIDIA_VISIBLE_DEVICES=void"`} {
				spec := specOf(`{"process":{"env":[` + env + `]},"hooks":{"` + stage + `":[{"path":"` + path + `"}]}}`)
				if isQuiet(spec, toml) {
					t.Errorf("it is taken for quiet: %s", spec)
				}
				if b.found(spec, toml) == "" {
					t.Errorf("nothing is found: %s", spec)
				}
			}
		}
	}
}

// What engines write for containers that request nothing is quiet, or this would all be for nothing.
func TestPlainContainersAreQuiet(t *testing.T) {
	b := newBoth(t)
	for _, name := range []string{"crun-none", "runc-none"} {
		data, err := os.ReadFile(filepath.Join(require.Tree(), "test/recordings/testdata", name+".config.json"))
		if err != nil {
			t.Fatal(err)
		}
		if !b.check(data, nil) {
			t.Errorf("%s is not quiet", name)
		}
	}
	for _, more := range []string{
		"",
		`,"annotations":{"a":"\"<>&\u003c\u2028\n"}`,
		`,"hooks":{"createRuntime":[{"path":"/usr/bin/gpu-hook","timeout":30,` +
			`"args":["gpu-hook","--config","/etc/gpu-hook/config.toml","createRuntime"]}]}`,
		`,"annotations":null,"hooks":null,"linux":{"devices":[{"path":"/dev/x","major":1,"minor":3,"fileMode":438,"uid":0}]}`,
		`,"process":{"env":["NVIDIA=1","NVIDIA_VISIBLE=all","XXNVIDIA_VISIBLE_DEVICES=all","CUDA_VISIBLE_DEVICES=0"]}`,
		`,"process":{"env":["NVIDIA_VISIBLE_DEVICES","ü=é"]}`,
	} {
		if !b.check(specOf(more), nil) {
			t.Errorf("not quiet: %s", specOf(more))
		}
	}
}

// voids are containers with an explicit nothing, as CUDA images and engines have it.
func voids() []string {
	return []string{
		`{"process":{"env":["PATH=/bin","NVIDIA_VISIBLE_DEVICES=void"]}}`,
		`{"process":{"env":["NVIDIA_VISIBLE_DEVICES="]}}`,
		`{"process":{"env":["CUDA_VERSION=12.9","NVIDIA_REQUIRE_CUDA=cuda>=12.9","NVIDIA_VISIBLE_DEVICES=void"]}}`,
		`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=","CUDA_VERSION=12.9","NVIDIA_DRIVER_CAPABILITIES=all"]}}`,
		`{"process":{"env":["NVIDIA_VISIBLE_DEVICES="],"args":["CUDA_VERSION=1"]}}`,
		`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=void"]},"annotations":{"io.container.manager":"x"}}`,
	}
}

// An explicit nothing is quiet, unless a configuration can have given it another meaning.
func TestVoidIsQuiet(t *testing.T) {
	b := newBoth(t)
	for _, spec := range voids() {
		for _, toml := range []string{"", "[cdi]\nspec-dirs = ['/etc/cdi']\n[[vendor]]\nname = 'nvidia'\ndialect = 'amd'\n"} {
			if !b.check(specOf(spec), []byte(toml)) {
				t.Errorf("not quiet with %q: %s", toml, spec)
			}
		}
	}
}

// FuzzQuiet compares package quiet and this package on any config.json and config.toml.
func FuzzQuiet(f *testing.F) {
	g := newGenerator(f)
	for _, seed := range seeds(f) {
		f.Add(seed, "")
		for _, form := range forms(string(seed)) {
			f.Add([]byte(form), "[requests]\npreferred-env = ['ACME']\n")
		}
	}
	for range 200 {
		f.Add(g.spec(), string(g.toml()))
	}
	b := newBoth(f)
	f.Fuzz(func(t *testing.T, spec []byte, toml string) {
		in := *b
		in.t = t
		in.check(spec, []byte(toml))
	})
}

// A configuration that the kernel does not give may name what requests devices. Whoever may miss them is told.
func TestConfigThatCannotBeRead(t *testing.T) {
	b := newBoth(t)
	loop := filepath.Join(b.dir, "loop.toml")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	b.write("bundle/config.json", specOf(`,"process":{"env":["ACME_VISIBLE_DEVICES=all"]}`))
	text := fmt.Sprintf(`{"ociVersion": "1.0.2", "id": "x", "status": "creating", "pid": 1, "bundle": %q}`, b.bundle)
	for config, want := range map[string]int{loop: 1, filepath.Join(b.dir, "none.toml"): 0} {
		s := Plan(Options{Config: config}, strings.NewReader(text))
		if len(s.Report.Errors) > 0 || len(s.Report.Warnings) != want || s.Silent() != (want == 0) {
			t.Errorf("%s: silent %t, %v, %v", config, s.Silent(), s.Report.Errors, s.Report.Warnings)
		}
	}
}
