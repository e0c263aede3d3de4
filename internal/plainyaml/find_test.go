package plainyaml

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// found compares what Find returns with what the library reads, if the library can read the text. It returns what Find
// returned.
func found(t *testing.T, text string) (string, bool) {
	t.Helper()
	got, ok := Find(text, "kind")
	if !ok {
		return "", false
	}
	var want struct {
		Kind *string `yaml:"kind"`
	}
	if err := yaml.Unmarshal([]byte(text), &want); err == nil && (want.Kind == nil || *want.Kind != got) {
		t.Fatalf("%q: found %q, the library %v", text, got, want.Kind)
	}
	return got, true
}

func TestFind(t *testing.T) {
	for _, text := range []string{
		"kind: a/b", "kind: a/b\n", "---\nkind: a/b\n", "kind: \"a/b\"\n", "kind: 'a/b'\n", "x: 1\nkind: a/b\n",
		"x:\n- y\nkind: a/b\n", "x:\n- y: z\n  kind: c\n  w:\n  - v\nkind: a/b\n",
		"x: {}\ny: []\nz: [a, b]\nkind: a/b\n",
		"x:\n  kind: c\nkind: a/b\n", "x: \"y: z\"\nkind: a/b\n", "\n\nkind: a/b\n\n\nx: 1\n", "kind: a/b\n# c\n",
		"kind: a/b\nx: [1,\n2]\n", "kind: a/b\nx: |\n  kind: c\n", "kind: a/b\n}\n", "kind: a/b\nkind: c/d\n",
		"kind: a/b\n---\nkind: c/d\n",
		`{"kind": "a/b"}`, `{"kind":"a/b","x":1}`,
		"{\n  \"x\": {\"kind\": \"c\", \"y\": [1, -2.5e+3, true, null, {}, []]},\n  \"kind\" : \"a/b\" ,\n",
		`{"x": "kind", "kind": "a/b"}`, `{"x": [{"kind": "c"}], "kind": "a/b", `,
	} {
		if kind, ok := found(t, text); !ok || kind != "a/b" {
			t.Errorf("%q: %q, %v", text, kind, ok)
		}
	}
}

func TestNotFound(t *testing.T) {
	for _, text := range []string{
		"", "\n", "---\n", "x: 1\n", "x:\n  kind: a/b\n", " kind: a/b\n", "- kind: a/b\n", "x:\n- kind: a/b\n",
		"kind:\n", "kind: \n", "kind:\n  a/b\n", "kind: null\n", "kind: ~\n", "kind: []\n", "kind: [a]\n",
		"kind: {}\n", "kind: |\n  a/b\n", "kind: &a b\n", "kind: !x a\n",
		"kind: a\n  b\n", "kind: a\n\n  b\n", "kind: a\n\r  b\n", "kind: a\n\u0085  b\n", "kind: a\n\u2028 b\n",
		"kind: a\n \n", "kind: a b: c\n", "kind: a\r\n", "kind : a\n", "kind:a\n", "\"kind\": a/b\n",
		"? kind\n: a/b\n", "x: \"\nkind: a/b\n\"\n", "x: '\nkind: a/b\n'\n", "x: [\nkind: a/b\n]\n",
		"x: {\nkind: a/b\n}\n",
		"x: a\nb\nkind: c\n", "# \u2028\nkind: a/b\n", "x: a # \"\nkind: a/b\n", "x: |\n  a\nkind: a/b\n",
		"--- {\nkind: a/b\n}\n", "a\nkind: a/b\n", "%YAML 1.1\n---\nkind: a/b\n", "x: 1\n---\nkind: a/b\n",
		"x: 1\n...\nkind: a/b\n", "\ufeffkind: a/b\n", "[\nkind: a/b\n]", "<<: {kind: a/b}\n",
		"{", "{}", "{}\nkind: a/b\n", `{"x": {"kind": "a/b"}}`, `{"x": ["kind", "a/b"]}`, `{"kind": 1}`,
		`{"kind": null}`, `{"kind": "a/b"`, `{"kind": "a/b" "c"}`, `{"kind": "a\/b"}`, `{"kind": ["a/b"]}`,
		`{kind: a/b}`, `{'kind': 'a/b'}`, `{"x": "\"", "kind": "a/b"}`, `{"kind" "a/b"}`, `{"kind", "a/b"}`,
		"{\"x\": 1, # c\n\"kind\": \"a/b\"}", `{"x": a b, "kind": "a/b"}`, `{"x": - 1, "kind": "a/b"}`,
		`{"x": &y 1, "kind": "a/b"}`, `{"x": "y" , , "kind": "a/b"}`, "{\"x\": \"\n\", \"kind\": \"a/b\"}",
		"{\t\"kind\": \"a/b\"}", ` {"kind": "a/b"}`, `["kind", "a/b"]`, `{"x": {"y"]: "z", "kind": "a/b"}}`,
	} {
		if kind, ok := found(t, text); ok {
			t.Errorf("%q: %q", text, kind)
		}
	}
}

// What Find returns is right, whatever part of a document is changed.
func TestFindInChanged(t *testing.T) {
	for _, text := range []string{
		"---\nx:\n- 'y': \"z\"\n  v: w\nkind: a/b\nz: 1\n",
		"---\nx:\n- y: \"z\"\n  v: w\nkind: a/b\nz: 1\n",
		`{"x": [1, {"kind": "z"}], "kind": "a/b", "y": null}` + "\n",
	} {
		for i := range len(text) {
			for _, c := range []string{
				"", " ", "\n", "\n ", "- ", ":", ": ", ",", "#", " #", "'", "\"", "[", "]",
				"{", "}", "&a ", "*", "!", "|", "-", "0",
				"a",
				"\t", "\r", "\r ", "\\", "\u0085", "\u2028 ", "\n---\n", "kind: c\n", "\"kind\": 1, ",
			} {
				for _, changed := range []string{text[:i] + c + text[i+1:], text[:i] + c + text[i:]} {
					found(t, changed)
				}
			}
		}
	}
}

// FuzzFind compares Find with the library.
func FuzzFind(f *testing.F) {
	for _, text := range []string{
		"---\nkind: a/b\nx: 1\n", "x:\n    - y: \"z\"\n      v: [a, b]\nkind: 'a/b'\n",
		`{"x": [1, {"kind": "z"}], "kind": "a/b", "y": null}`,
		strings.Replace(generated, "text", "kind", 1), strings.Replace(sorted, "text", "kind", 1),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { found(t, text) })
}
