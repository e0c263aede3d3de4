package limits

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

var update = flag.Bool("update", false, "write the table of limits into docs/security.md anew")

// The table in docs/security.md is made from the comments of the constants.
func TestTable(t *testing.T) {
	const begin, end = "<!-- limits -->\n", "<!-- /limits -->\n"
	page := filepath.Join(require.Tree(), "docs", "security.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("docs/security.md has no place for the table")
	}
	want := before + begin + "\n" + table(t) + "\n" + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("docs/security.md differs from the constants: run go test ./internal/limits -update")
	}
}

// table returns the constants as a table of Markdown: value, what it bounds, and why it is no lower.
func table(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "limits.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		title := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(group.Doc.Text()), "Bounds of "), ".")
		fmt.Fprintf(&b, "| %s | bound |\n| --- | --- |\n", title)
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || len(value.Names) != 1 || value.Doc == nil {
				t.Fatalf("%v is not one constant with a comment", spec)
			}
			name, text := value.Names[0].Name, strings.Join(strings.Fields(value.Doc.Text()), " ")
			what, known := strings.CutPrefix(text, name+" is ")
			if !known {
				t.Errorf("the comment of %s does not begin with %q", name, name+" is ")
			}
			fmt.Fprintf(&b, "| %s | %s |\n", what, written(t, value.Values[0]))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// written returns the value of a constant as people write it: "16 MiB" for 16 << 20.
func written(t *testing.T, value ast.Expr) string {
	t.Helper()
	switch v := value.(type) {
	case *ast.BasicLit:
		return strings.ReplaceAll(v.Value, "_", ",")
	case *ast.BinaryExpr:
		n, isNumber := v.X.(*ast.BasicLit)
		shift, isShift := v.Y.(*ast.BasicLit)
		if isNumber && isShift && v.Op == token.SHL {
			return n.Value + map[string]string{"10": " KiB", "20": " MiB"}[shift.Value]
		}
	}
	t.Fatalf("%v is neither a number nor one shifted", value)
	return ""
}
