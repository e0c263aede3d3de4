package hook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/quiet"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
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

// findings is what there is to say of a start, or "".
func findings(s *Start) string {
	if s.Report.Result != plan.ResultNothing || len(s.Report.Warnings)+len(s.Report.Errors)+len(s.plan.Grants) > 0 || s.draft.Notable() {
		data, err := json.Marshal(s.Report)
		return fmt.Sprint(string(data), err)
	}
	return ""
}

// specOf is a config.json with what a test is about.
func specOf(more string) []byte {
	const plain = `{"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"args":["sh"],"env":["PATH=/bin"],"cwd":"/"},"root":{"path":"rootfs"}%s}`
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

// way says words in config.json where some package may look for them.
type way func(words []string) string

// ways are all of them.
func ways() []way {
	var out []way
	list := func(format string, elements func(word string) string) way {
		return func(words []string) string {
			said := make([]string, 0, len(words))
			for _, word := range words {
				said = append(said, elements(word))
			}
			return fmt.Sprintf(format, strings.Join(said, ","))
		}
	}
	for _, value := range []string{"all", "0", "enabled", "", "void"} {
		out = append(out, list(`,"process":{"env":[%s]}`, func(word string) string { return quoted(word + "=" + value) }))
	}
	for _, form := range []string{"%s", "%sx", "%s/x", `"%s`, `"%sx`} {
		out = append(out, list(`,"annotations":{%s}`, func(word string) string {
			return quoted(fmt.Sprintf(form, word)) + `:"nvidia.com/gpu=0"`
		}))
	}
	for _, form := range []string{"%s", "%s/0", "/%s/0", "/var/run/%s/0", "/var//run/./%s/imex/0"} {
		out = append(out, list(`,"mounts":[%s]`, func(word string) string {
			return `{"source":"/dev/null","destination":` + quoted(fmt.Sprintf(form, word)) + "}"
		}))
	}
	for _, stage := range []string{"prestart", "createRuntime", "poststop"} {
		for _, form := range []string{"%s", "/usr/bin/%s", "bin/%s//"} {
			// SWARM is what NVIDIA's hook goes by.
			out = append(out, list(`,"process":{"env":["SWARM=0"]},"hooks":{"`+stage+`":[%s]}`, func(word string) string {
				return `{"path":` + quoted(fmt.Sprintf(form, word)) + "}"
			}))
		}
	}
	return out
}

// words are all strings in the sources of the packages that decide what a container requests.
func words(t testing.TB) []string {
	t.Helper()
	found := map[string]bool{}
	for _, dir := range []string{"hook", "hook/request", "hook/config", "hook/precedence", "contract", "nvidia", "amd", "state", "devices"} {
		files, err := filepath.Glob(filepath.Join(require.Tree(), dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				wordsOf(t, file, found)
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func wordsOf(t testing.TB, file string, found map[string]bool) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	const longest = 64 // what is longer is a message
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if word, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil && len(word) <= longest {
				found[word] = true
				found[filepath.Base(word)] = true
			}
		}
		return true
	})
}

// Whatever of our words has a meaning in a container must be a trigger: a new source, vendor or variable is found here.
func TestEveryWordOfTheSources(t *testing.T) {
	b := newBoth(t)
	nvidia := b.write("nvidia.toml", []byte("swarm-resource = \"SWARM\"\n"))
	toml := []byte("[nvidia]\nruntime-config = \"" + nvidia + "\"\n")
	all := words(t)
	silent := 0
	for _, way := range ways() {
		for some := range slices.Chunk(all, 32) {
			silent += b.say(way, some, toml)
		}
	}
	if silent < len(ways())*len(all)/2 {
		t.Errorf("only %d of %d words are quiet in %d ways", silent, len(all), len(ways()))
	}
}

// say says words all at once or, if they are not quiet together, in halves. It returns how many are quiet.
func (b *both) say(way way, words []string, toml []byte) int {
	b.t.Helper()
	switch {
	case b.check(specOf(way(words)), toml):
		return len(words)
	case len(words) == 1:
		return 0
	}
	half := len(words) / 2
	return b.say(way, words[:half], toml) + b.say(way, words[half:], toml)
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
			`,"process":{"env":["AMD_VISIBLE_DEVICES=0"]}`,
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
		strings.NewReplacer("gpu-hook", `\u0067pu-hook`, "cdi.", `cd\u0069.`, "NVIDIA", `NVID\u0049A`, "nvidia", `nvid\u0069a`).Replace(spec),
		strings.NewReplacer(`"annotations"`, `"Annotations"`, `"mounts"`, `"MOUNTS"`, `"env"`, `"Env"`, `"process"`, `"proceſs"`).Replace(spec),
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
	for _, toml := range []string{"", "# don't\n", "[cdi]\nspec-dirs = ['/etc/cdi']\n", "[broken", "[limits]\ntimeout = \"5s\"\n"} {
		if !b.check(specOf(""), []byte(toml)) {
			t.Errorf("it is not taken for quiet with %q", toml)
		}
	}
}

// NVIDIA's own hook in config.json is a trigger whatever the variables are that it goes by.
func TestOtherHooksAreTriggers(t *testing.T) {
	b := newBoth(t)
	toml := []byte("[nvidia]\nruntime-config = \"" + b.write("nvidia.toml", []byte("swarm-resource = \"SWARM\"\n")) + "\"\n")
	for _, path := range []string{"/usr/bin/nvidia-container-runtime-hook", "nvidia-container-toolkit", "x/nvidia-container-toolkit/"} {
		for _, stage := range []string{"prestart", "createRuntime"} {
			spec := specOf(`,"process":{"env":["SWARM=0"]},"hooks":{"` + stage + `":[{"path":"` + path + `"}]}`)
			if isQuiet(spec, toml) {
				t.Errorf("it is taken for quiet: %s", spec)
			}
			if b.found(spec, toml) == "" {
				t.Errorf("nothing is found: %s", spec)
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
		`,"hooks":{"createRuntime":[{"path":"/usr/bin/gpu-hook","args":["gpu-hook","--config","/etc/gpu-hook/config.toml","createRuntime"],"timeout":30}]}`,
		`,"annotations":null,"hooks":null,"linux":{"devices":[{"path":"/dev/x","major":1,"minor":3,"fileMode":438,"uid":0}]}`,
		`,"process":{"env":["NVIDIA=1","NVIDIA_VISIBLE_DEVICE=all","XNVIDIA_VISIBLE_DEVICES=all","NVIDIA_VISIBLE_DEVICES","ü=é"]}`,
	} {
		if !b.check(specOf(more), nil) {
			t.Errorf("not quiet: %s", specOf(more))
		}
	}
}

// seeds are the recordings and some containers of tests.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(require.Tree(), "test/recordings/testdata/*.config.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	out := [][]byte{specOf("")}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
	all := requests()
	for _, source := range config.Sources() {
		for _, more := range all[source] {
			out = append(out, specOf(more))
		}
	}
	return out
}

// Specs that are made of real ones and of everything that may be wrong with them.
func TestQuietGenerated(t *testing.T) {
	b := newBoth(t)
	g := newGenerator(t)
	const number = 10000
	silent := 0
	for range number {
		if b.check(g.spec(), g.toml()) {
			silent++
		}
	}
	if silent < number/20 {
		t.Errorf("only %d of %d are quiet", silent, number)
	}
}

// generator makes specs.
type generator struct {
	random *rand.Rand
	seeds  []any
	words  []string
}

func newGenerator(t testing.TB) *generator {
	g := &generator{random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // the same ones each time
	for _, seed := range seeds(t) {
		var v any
		if err := json.Unmarshal(seed, &v); err != nil {
			t.Fatal(err)
		}
		g.seeds = append(g.seeds, v)
	}
	for _, word := range words(t) {
		// Prose and single letters find nothing.
		if len(word) > 2 && !strings.Contains(word, " ") {
			g.words = append(g.words, word)
		}
	}
	return g
}

func pick[T any](g *generator, list []T) T { return list[g.random.IntN(len(list))] }

// one in n.
func (g *generator) chance(n int) bool { return g.random.IntN(n) == 0 }

// word is one that may mean something, or is near to it.
func (g *generator) word() string {
	word := pick(g, []string{
		"gpu-hook/gpus", "gpu-hook/plan", "gpuhook/gpus", "cdi.k8s.io/x", "NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=void",
		"NVIDIA_VISIBLE_DEVICES=", "CUDA_VERSION=12", "NVIDIA_IMEX_CHANNELS=0", "AMD_VISIBLE_DEVICES=0", "ACME=0",
		"acme.com/x", "/var/run/nvidia-container-devices/0", "/usr/bin/nvidia-container-runtime-hook",
		"nvidia-container-toolkit", "/dev/null", "x", "", "é", "\"",
	})
	if g.chance(2) {
		word = pick(g, g.words) + pick(g, []string{"", "=all", "=0", "/x", "x"})
	}
	switch g.random.IntN(8) {
	case 0:
		word = "\"" + word
	case 1:
		word = strings.ToLower(word)
	case 2:
		word = "/" + word
	}
	return word
}

// toml is a configuration, or nil.
func (g *generator) toml() []byte {
	return []byte(pick(g, []string{
		"", "[cdi]\nannotation-prefixes = ['acme.com/', \"cdi.k8s.io/\"]\n", "[requests]\npreferred-env = [\"ACME\"]\n",
		"[[vendor]]\nname = 'acme'\nkind = 'acme.com/npu'\nenv = 'ACME'\n", "[broken", "[requests]\non-refused = 'error'\nsources = []\n",
	}))
}

// spec is a config.json.
func (g *generator) spec() []byte {
	var out bytes.Buffer
	g.write(&out, pick(g, g.seeds))
	data := out.Bytes()
	switch g.random.IntN(40) {
	case 0:
		data = data[:g.random.IntN(len(data))]
	case 1:
		data[g.random.IntN(len(data))] = byte(g.random.IntN(256))
	case 2:
		data = append(data, pick(g, []string{" \n", "x", "{}", "\x00"})...)
	case 3:
		data = append([]byte(pick(g, []string{" ", "\ufeff", "[", "null"})), data...)
	}
	return data
}

// write writes a value, with changes here and there.
func (g *generator) write(out *bytes.Buffer, v any) {
	if g.chance(3000) {
		v = pick(g, []any{nil, true, 1.0, 1.5, -1.0, "text", []any{}, []any{1.0}, map[string]any{}, map[string]any{"a": 1.0}, 1e20})
	}
	switch v := v.(type) {
	case map[string]any:
		out.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				out.WriteByte(',')
			}
			g.member(out, key, v[key])
		}
		if g.chance(200) {
			if len(v) > 0 {
				out.WriteByte(',')
			}
			g.member(out, g.word(), g.word())
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			g.write(out, e)
		}
		out.WriteByte(']')
	case string:
		if g.chance(1000) {
			v = g.word()
		}
		g.text(out, v)
	default:
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		out.Write(data)
	}
	if g.chance(20) {
		out.WriteString(pick(g, []string{" ", "\n", "\t", "\r"}))
	}
}

func (g *generator) member(out *bytes.Buffer, key string, v any) {
	if g.chance(2000) {
		key = pick(g, []string{strings.ToUpper(key), g.word(), key + "x", strings.Replace(key, "s", "ſ", 1), strings.Replace(key, "k", "\u212a", 1)})
	}
	if g.chance(2000) { // twice
		g.text(out, key)
		out.WriteByte(':')
		g.write(out, pick(g, []any{nil, v, g.word(), map[string]any{}, []any{}}))
		out.WriteByte(',')
	}
	g.text(out, key)
	out.WriteByte(':')
	g.write(out, v)
}

// text writes a string, some of whose characters are escaped.
func (g *generator) text(out *bytes.Buffer, text string) {
	data := []byte(quoted(text))
	if !g.chance(2000) || len(data) < 3 {
		out.Write(data)
		return
	}
	i := 1 + g.random.IntN(len(data)-2)
	out.Write(data[:i])
	fmt.Fprintf(out, pick(g, []string{`\u%04x`, `\u%04X`, `\%c`, `\x%x`, `\u00%c`}), data[i])
	out.Write(data[i+1:])
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

// FuzzQuietState compares what package quiet and package state read in a state.
func FuzzQuietState(f *testing.F) {
	for _, seed := range states() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkState(t, data) })
}

func states() []string {
	const plain = `{"ociVersion":"1.0.2","id":"x","status":"creating","pid":1,"bundle":"/run/b"%s}`
	out := []string{
		fmt.Sprintf(plain, ""), fmt.Sprintf(plain, `,"annotations":{"a":"b"},"root":"/r"`), `{"bundle":"/run/b"}`,
	}
	for _, more := range []string{
		`,"Bundle":"/other"`, `,"bundle":"/other"`, `,"bundle":null`, `,"bundl\u0065":"/other"`, `,"pid":1.5`, `,"pid":"1"`, `,"annotations":[]`,
		`,"annotations":{"a":1}`, `} `, `}}`, `,"x":[1,{"bundle":"/y"}]`, `,"id":7`, `,"a":01`, `,"a":-`, `,"a":1.e1`, `,"a":1e+3`, `,"a":tru`, `,"a":"` + "\xff" + `"`,
	} {
		out = append(out, fmt.Sprintf(plain, more))
	}
	for _, bundle := range []string{"/", "", "//", "/.", "/a/..", "a", "/a//b", "/a/", `/a\/b`, `/a\u002fb`, "/a/.b", "/a/b.", "/a/..b"} {
		out = append(out, `{"bundle":"`+bundle+`"}`)
	}
	return append(out, `null`, ``, `{}`, `[]`, `"x"`)
}

func checkState(t testing.TB, data []byte) bool {
	t.Helper()
	bundle, ok := quiet.Bundle(data, quiet.NewTriggers())
	if !ok {
		return false
	}
	s, err := state.Read(bytes.NewReader(data))
	if err != nil || s.Bundle != bundle || !filepath.IsAbs(bundle) || filepath.Clean(bundle) != bundle || bundle == "/" {
		t.Errorf("bundle %q of %q: %v, %q", bundle, data, err, s.Bundle)
	}
	return true
}

func TestQuietStates(t *testing.T) {
	quietOnes := 0
	for _, s := range states() {
		if checkState(t, []byte(s)) {
			quietOnes++
		}
	}
	if quietOnes < 5 {
		t.Errorf("only %d are quiet", quietOnes)
	}
}
