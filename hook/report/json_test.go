package report

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// docs/json.md has every field of the objects.
func TestFieldsAreDocumented(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(require.Tree(), "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []reflect.Type{
		reflect.TypeFor[Report](),
		reflect.TypeFor[Inventory](),
		reflect.TypeFor[Checkup](),
		reflect.TypeFor[Holders](),
		reflect.TypeFor[History](),
	} {
		for _, field := range fields(object) {
			if !strings.Contains(string(data), `"`+field+`"`) {
				t.Errorf("docs/json.md does not have %q of %s", field, object)
			}
		}
	}
}

func fields(t reflect.Type) []string {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() == "time" {
		return nil
	}
	var out []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(append(out, name), fields(t.Field(i).Type)...)
		}
	}
	return out
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		" a\nb \n":                              "a; b",
		"x: No Such File Or Directory (1)":      "x: it does not exist (1)",
		"PERMISSION DENIED, permission denied":  "access is denied, access is denied",
		"operation not permitted":               "the kernel does not allow it",
		"exec: executable file not found in $P": "exec: the program is not installed in $P",
		"tab\tand \x1b[31mred":                  "tab and  [31mred",
		strings.Repeat("ä", limits.Message):     strings.Repeat("ä", limits.Message/2) + "…",
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
