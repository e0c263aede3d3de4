package fault

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update makes "go test ./internal/fault -update" write docs/errors.md.
var update = flag.Bool("update", false, "write docs/errors.md")

// TestTableHasEveryCode compares the table with the constants of this package in the source: a code that is added
// without an entry fails it.
func TestTableHasEveryCode(t *testing.T) {
	var declared, listed []Code
	for _, c := range constants(t) {
		declared = append(declared, c.code)
	}
	for _, e := range Table() {
		listed = append(listed, e.Code)
		if e.Kind.String() == "unknown" || (e.Kind == Note) != strings.HasPrefix(string(e.Code), "W-") {
			t.Errorf("%s has kind %s", e.Code, e.Kind)
		}
		for _, text := range []string{e.Meaning, e.Fix} {
			if !strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
				t.Errorf("%s: %q is not made of sentences on one line", e.Code, text)
			}
		}
	}
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Error("constants (-) and codes (+):", diff)
	}
}

// constant is a constant of type Code.
type constant struct {
	name string
	code Code
}

// constants returns the constants of type Code in this package, in the order of the source.
func constants(t *testing.T) []constant {
	t.Helper()
	var out []constant
	ast.Inspect(parse(t, "fault.go"), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" || len(spec.Values) != 1 {
			return true
		}
		if value, ok := text(spec.Values[0]); ok {
			out = append(out, constant{spec.Names[0].Name, Code(value)})
		}
		return true
	})
	if len(out) < 40 {
		t.Fatalf("only %d constants were found", len(out))
	}
	return out
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// text returns the value of a string literal.
func text(e ast.Node) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}

// TestEveryCodeUsedIsInTheTable reads the source of the whole module. Code outside this package uses the constants: it
// does not write a code as text, convert text to a Code, or make an Error by a literal. Every constant is used.
func TestEveryCodeUsedIsInTheTable(t *testing.T) {
	used := map[string]bool{}
	for _, path := range sources(t) {
		test := strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../../test/")
		ast.Inspect(parse(t, path), func(n ast.Node) bool {
			if value, ok := text(n); ok && looksLikeCode(value) {
				if _, known := Lookup(Code(value)); !test || !known {
					t.Errorf("%s has the code %s as text", path, value)
				}
			}
			switch n := n.(type) {
			case *ast.CallExpr:
				if ours(n.Fun) == "Code" && path != "../../cmd/gpu-hook/help.go" {
					t.Errorf("%s converts text to a Code", path)
				}
			case *ast.CompositeLit:
				if ours(n.Type) == "Error" {
					t.Errorf("%s makes an Error by a literal", path)
				}
			case *ast.SelectorExpr:
				used[ours(n)] = used[ours(n)] || !test
			}
			return true
		})
	}
	for _, c := range constants(t) {
		if !used[c.name] && c.code != Internal { // which From gives
			t.Errorf("nothing uses %s", c.code)
		}
	}
}

// sources returns the paths of the module's Go files outside this package.
func sources(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "bin" || path == "../../internal/fault"):
			return fs.SkipDir
		case filepath.Ext(path) == ".go":
			out = append(out, path)
		}
		return nil
	})
	if err != nil || len(out) < 100 {
		t.Fatalf("found %d Go files: %v", len(out), err)
	}
	return out
}

// ours returns the name of this package that e selects, or "".
func ours(e ast.Expr) string {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := selector.X.(*ast.Ident); !ok || pkg.Name != "fault" {
		return ""
	}
	return selector.Sel.Name
}

func looksLikeCode(text string) bool {
	rest, found := strings.CutPrefix(text, "E-")
	if !found {
		rest, found = strings.CutPrefix(text, "W-")
	}
	return found && rest != "" && strings.Trim(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// TestExamples looks for the examples in the tables of test/explain, which hold what gpu-hook prints, with other paths.
// The example of a code that the tables do not have comes from test/holder, and is not checked.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../test/explain/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	var tables strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tables.Write(data)
	}
	paths := strings.NewReplacer("HOST/bin/nvidia-ctk", "nvidia-ctk",
		"HOST/bin/nvidia-modprobe", "nvidia-modprobe", "HOST/cdi", "/var/run/cdi", "HOST/dev", "/dev", "HOST/lib",
		"/usr/lib64",
		"HOST/bin", "/usr/bin", "HOST/config.toml", "/etc/gpu-hook/config.toml", "BUNDLE", "/run/bundle")
	lines := strings.Split(paths.Replace(tables.String()), "\n")
	for _, e := range Table() {
		prefix := "> " + string(e.Code) + ": "
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, prefix) })
		printed := slices.ContainsFunc(lines, func(line string) bool {
			return strings.HasPrefix(line, prefix+e.Example+" [")
		})
		if i >= 0 && (e.Example == "" || !printed) {
			t.Errorf("the example of %s is not what is printed:\n%s\nbut for example:\n%s", e.Code, e.Example, lines[i])
		}
		if strings.Contains(e.Example, "\n") {
			t.Errorf("the example of %s is not one line", e.Code)
		}
	}
}

func TestErrorsPage(t *testing.T) {
	const path = "../../docs/errors.md"
	want := page()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/errors.md differs from the table: run go test ./internal/fault -update")
	}
}

func page() string {
	var out strings.Builder
	out.WriteString(`# Errors and warnings

Every error and every warning has a code. The text of a line may change from version to version; its code does not, so
scripts may rely on it. ` + "`gpu-hook help CODE`" + ` prints what this page says of one code.

Errors (E-) are of one of three kinds:

- mistake: the user made a mistake, or the administrator decided against the request. The container does not start, and
  no other driver is tried.
- unavailable: this host does not have what the request needs. The next driver is tried.
- broken: this host has it, but it cannot be used. on-fallback under [drivers] decides whether the next driver is tried.

With a warning (W-) the container starts.

The messages of engines, NVIDIA's tools and CUDA are in [messages.md](messages.md), with what gpu-hook says in their
place.

This page is generated from internal/fault/table.go: go test ./internal/fault -update.
`)
	for _, e := range Table() {
		fmt.Fprintf(&out, "\n## %s\n\n%s.\n\n%s\n\n", e.Code, titled(e.Kind.String()), e.Meaning)
		if e.Example != "" {
			fmt.Fprintf(&out, "For example:\n\n    %s\n\n", e.Line())
		}
		fmt.Fprintf(&out, "**What to do:** %s\n", e.Fix)
	}
	return out.String()
}

func titled(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
