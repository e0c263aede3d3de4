package hook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/quiet"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

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
	for _, spec := range voids() {
		out = append(out, specOf(spec))
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
	g := &generator{random: rand.New(rand.NewPCG(1, 2))} // the same ones each time
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
		"gpu-hook/gpus", "gpu-hook/plan", "gpuhook/gpus", "cdi.k8s.io/x", "NVIDIA_VISIBLE_DEVICES=all",
		"NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICE=0", "NVIDIA_VISIBEL_DEVICES=0", "XAMD_VISIBLE_DEVICES=0",
		"cdi.k8s.oi/x", "CDI.k8s",
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
		"[[vendor]]\nname = 'acme'\nkind = 'acme.com/npu'\nenv = 'ACME'\n", "[broken",
		"[[vendor]]\nname = 'nvidia'\nenv = 'ACME'\n", "[requests]\nsources = ['env']\n",
		"[requests]\non-refused = 'error'\nsources = []\n",
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
		v = pick(g, []any{
			nil, true, 1.0, 1.5, -1.0, 1e20, "text", []any{}, []any{1.0}, map[string]any{}, map[string]any{"a": 1.0},
		})
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
		key = pick(g, []string{
			strings.ToUpper(key), g.word(), key + "x", strings.Replace(key, "s", "ſ", 1),
			strings.Replace(key, "k", "\u212a", 1),
		})
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
		`,"Bundle":"/other"`, `,"bundle":"/other"`, `,"bundle":null`, `,"bundl\u0065":"/other"`, `,"pid":1.5`,
		`,"pid":"1"`, `,"annotations":[]`, `,"annotations":{"a":1}`, `} `, `}}`, `,"x":[1,{"bundle":"/y"}]`, `,"id":7`,
		`,"a":01`, `,"a":-`, `,"a":1.e1`, `,"a":1e+3`, `,"a":tru`, `,"a":"` + "\xff" + `"`,
	} {
		out = append(out, fmt.Sprintf(plain, more))
	}
	for _, bundle := range []string{
		"/", "", "//", "/.", "/a/..", "a", "/a//b", "/a/", `/a\/b`, `/a\u002fb`, `/a\nb`, `/a\\b`,
		"ab/c", "/a/.b", "/a/b.", "/a/..b",
	} {
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
