package fault

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// go test ./internal/fault -update writes docs/errors.md again.
var update = flag.Bool("update", false, "write docs/errors.md again")

// TestTableHasEveryCode holds the table against the constants of this package as they are written: a code that is added
// and not described fails it.
func TestTableHasEveryCode(t *testing.T) {
	declared := constants(t)
	seen := map[Code]bool{}
	for _, e := range Table() {
		if seen[e.Code] {
			t.Errorf("%s is in the table twice", e.Code)
		}
		seen[e.Code] = true
		if !declared[e.Code] {
			t.Errorf("%s is in the table, and no constant", e.Code)
		}
		if e.Kind.String() == "unknown" || (e.Kind == Note) != strings.HasPrefix(string(e.Code), "W-") {
			t.Errorf("%s is of kind %s", e.Code, e.Kind)
		}
		for _, text := range []string{e.Meaning, e.Fix} {
			if !strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
				t.Errorf("%s: %q is not made of sentences on one line", e.Code, text)
			}
		}
	}
	for code := range declared {
		if !seen[code] {
			t.Errorf("%s is not in the table", code)
		}
	}
}

// constants returns the values of all constants of type Code in this package.
func constants(t *testing.T) map[Code]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[Code]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" || len(spec.Values) != 1 {
				return true
			}
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				value, _ := strconv.Unquote(literal.Value)
				out[Code(value)] = true
			}
			return true
		})
	}
	if len(out) < 40 {
		t.Fatalf("only %d constants were found", len(out))
	}
	return out
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
		t.Error("docs/errors.md is not what the table says: go test ./internal/fault -update")
	}
}

func page() string {
	var out strings.Builder
	out.WriteString(`# Errors and warnings

Every error and every warning has a code. The text of a line may change from version to version; its code does not, so
scripts may rely on it. ` + "`gpu-hook help CODE`" + ` prints what this page says of one code.

Errors (E-) are of one of three kinds:

- mistake: of the user's, or a decision of the administrator's. The container does not start, and no other driver is tried.
- unavailable: this host does not have it. The next driver is tried.
- broken: it is there and of no use. Whether the next driver is tried is a matter of on-fallback under [drivers].

With a warning (W-) the container starts.

This page is generated from internal/fault/table.go: go test ./internal/fault -update.
`)
	for _, e := range Table() {
		fmt.Fprintf(&out, "\n## %s\n\n%s.\n\n%s\n\n**What to do:** %s\n", e.Code, titled(e.Kind.String()), e.Meaning, e.Fix)
	}
	return out.String()
}

func titled(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
