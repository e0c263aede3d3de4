package hook

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

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
	for _, dir := range []string{
		"hook", "hook/request", "hook/config", "hook/precedence", "contract", "nvidia", "amd", "state", "devices",
	} {
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
