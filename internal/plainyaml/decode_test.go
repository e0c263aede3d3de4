package plainyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// document has every kind of field that a CDI Spec has.
type document struct {
	Text    string            `yaml:"text"`
	Flag    bool              `yaml:"flag"`
	Int     int               `yaml:"int,omitempty"`
	Long    int64             `yaml:"long"`
	Word    uint32            `yaml:"word"`
	Pointer *uint32           `yaml:"pointer"`
	Seconds *int              `yaml:"seconds"`
	Map     map[string]string `yaml:"map"`
	Texts   []string          `yaml:"texts"`
	Words   []uint32          `yaml:"words"`
	Inner   inner             `yaml:"inner"`
	Inners  []inner           `yaml:"inners"`
	Far     []*inner          `yaml:"far"`
	One     *inner            `yaml:"one"`
}

type inner struct {
	A    string   `yaml:"a"`
	B    int64    `yaml:"b"`
	List []string `yaml:"list"`
}

// same compares what Decode reads with what the library reads. It reports whether the document was plain.
func same(t *testing.T, text string) bool {
	t.Helper()
	var got, want document
	_, ok := Decode(text, &got)
	if !ok {
		return false
	}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	if err := decoder.Decode(&want); err != nil {
		t.Fatalf("the library refuses what is plain here: %v\n%q", err, text)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		t.Fatalf("something follows what is plain here: %v\n%q", err, text)
	}
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%q: library and plain reader (+) differ:\n%s", text, cmp.Diff(want, got))
	}
	return true
}

// generated is in the style of nvidia-ctk 1.18 and later, and sorted in the style of earlier versions.
const (
	generated = `---
text: 0.5.0
flag: true
inners:
    - a: "0"
      list:
        - --folder
        - libcuda.so.1::/lib/x86_64-linux-gnu/libcuda.so
    - a: all
map:
    a.b/c: 'd'
far:
    - a: /dev/nvidia0
      b: 195
words:
    - 44
one:
    list: []
inner: {}
`
	compact = `{"text":"0.5.0","flag":true,"inners":[{"a":"0","list":["--folder","libcuda.so.1::/lib/libcuda.so"]},` +
		`{"a":"all"}],"map":{"a.b/c":"d"},"far":[{"a":"/dev/nvidia0","b":195}],"words":[44],"one":{"list":[]},"inner":{}}`
	sorted = `far:
- a: MIG-0000-11
  b: 0
  list:
  - ro
  - rbind
- a: GPU 1
pointer: 438
seconds: -1
texts:
- A=b
text: nvidia.com/gpu`
)

func TestPlain(t *testing.T) {
	indented := strings.NewReplacer(":", ": ", ",", ",\n  ", "}", "\n}", "{", "{\n")
	for _, text := range []string{
		generated, sorted, compact,
		indented.Replace(strings.ReplaceAll(compact, "::", "")) + "\n\n",
		`{"text": "a # b: c, 'd' [e] {f} & * ! | > %"}`, `{"text": 1}`, `{"text": 1.5e+3, "int":-5 , "flag": false}`,
		`{"text": on}`, `{"colour": [null, {"a b": -1.5}, [[true]], "x"]}`, "{}", "{ \"texts\":\n[ ]\n}\n",
		"text: a\n", "text: a", "---\n\n\ntext: a\n\n", "# a\ntext: a\n", "---\n#\n # a: 'b\n\n#\ntext: a\n  # b\n#",
		"texts:\n# a\n- b\n    # c\n- d\n #e\nint: 1\n", "texts:\n  - a\n\n  - b\nint: 1\n", "texts: []\n",
		"map: {}\n", "one: {}\n", "far: []",
		"texts: [ro, /a/b, x-y]\n", "text: \"a # b: c\"\n", "text: 'a \"b\"'\n", "text: \"\"\n",
		"text: a, b {c} [d] & * ! | > ' \" % @ ` = ? ~\n", "text: a:b\n",
		"text: 2001-01-01\n", "text: 0x1F\n", "text: 1_000\n", "text: yes\n", "text: .5\n", "text: .inf\n",
		"text: 0o17\n", "text: 1e3\n", "text: true\n",
		"long: -9223372036854775808\n", "word: 4294967295\n", "map:\n  a: 1\n  b: on\n", "map:\n  true: 1\n",
		"colour: red\nshape:\n- a: b\n  c:\n  - d\ntext: x\n",
	} {
		if !same(t, text) {
			t.Errorf("not plain: %q", text)
		}
	}
}

func TestNotPlain(t *testing.T) {
	for _, text := range []string{
		"", "\n", "---\n", "--- \ntext: a\n", "text: a\n---\n", "text: a\n...\n", "...\n",
		"%YAML 1.1\n---\ntext: a\n", "a", "- a\n", " text: a\n", "\ufefftext: a\n", "[]\n",
		"{\"text\" : \"a\"}", "{\"text\"\n: \"a\"}", "{\"text\": \"a\",}", "{,}", "{\"texts\": [\"a\",]}",
		"{\"texts\": [,]}", "{\"texts\": [\"a\"}", "{\"inner\": {\"a\": \"b\"}", "{\"inner\": {\"a\": \"b\"]",
		"{\"text\": \"a\"} x", "{\"text\": \"a\"}\n---\n", "{\"text\": \"a\"}}", "{\"text\"}", "{\"text\":}",
		"{\"text\": null}", "{\"text\": \"a\\n\"}",
		"{\"text\": \"a\nb\"}", "{\"text\": 'a'}", "{text: \"a\"}", "{\"text\": \"a\" \"b\"}", "{\"text\": a b}",
		"{\"text\": -}", "{\"text\":\n---\n}", "{\"text\": -a}", "{\"text\": +1}", "{\"text\": {}}", "{\"text\": []}",
		"{\"text\":\t\"a\"}", "{\"text\": \"a\"} # b", "{\"text\": \"\u00e9\"}", "{\"\": 1}",
		"{\"text\": \"a\", \"text\": \"b\"}", "{\"x\": 1, \"x\": 2}",
		"{\"map\": {\"a\": \"1\", \"a\": \"2\"}}", "{\"int\": \"1\"}", "{\"int\": 1.0}", "{\"int\": 01}",
		"{\"flag\": 1}", "{\"words\": [-1]}", "{\"text\": *a}", "{\"text\": &a b}", "{\"text\": !a b}",
		"{\"x\":" + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + "}",
		"{\"texts\":[" + strings.Repeat("1,", maxNodes) + "1]}", "{\"" + strings.Repeat("k", maxKey+1) + "\":1}",
		"text:\n", "text: \n", "text:  a\n", "text: a \n", "text : a\n", "text:a\n", "text: a\r\n", "text:\ta\n",
		"\ttext: a\n", "text: a\tb\n", "text: a\x00\n", "text: \u00e9\n", "text: \x80\n",
		"text: a # b\n", "# \u00e9\ntext: a\n", "text: a\n#\ta\n", "text: a\n# b\n  c\n", "#a", "text: a#b\n",
		"text: |\n  a\n", "text: >\n  a\n", "text: a\n  b\n", "text: \"a\n  b\"\n", "text: 'a\n\n  b'\n",
		"text: &a b\n", "text: *a\n", "text: !!str a\n", "text: ! a\n", "text: \"a\\n\"\n", "text: 'a''b'\n",
		"text: \"a\" b\n", "text: 'a\n", "text: a: b\n", "text: a:\n", "text: - a\n", "text: -\n", "text: ? a\n",
		"text: @a\n", "text: `a`\n", "text: %a\n", "text: ~\n", "text: null\n", "text: NULL\n", "text: =\n",
		"text: <<\n", "text: ,a\n", "text: ]\n", "text: }\n", "text: {a: b}\n", "text: #\n",
		"\"text\": a\n", "? text\n: a\n", "null: a\n", "~: a\n", "<<: {text: a}\n", "1: a\n", "text: a\ntext: b\n",
		"colour: a\ncolour: b\n", "map:\n  a: 1\n  a: 2\n", "inner:\n  a: 1\n  a: 2\n",
		"int: 08\n", "int: 010\n", "int: 0x10\n", "int: 1_0\n", "int: +1\n", "int: 1.0\n", "int: 1e3\n",
		"int: \"1\"\n", "int: a\n", "int: --1\n", "int: -\n", "int: 9223372036854775808\n", "int: 2001-01-01\n",
		"word: -1\n", "word: 4294967296\n", "pointer: null\n", "flag: yes\n", "flag: True\n", "flag: \"true\"\n",
		"flag: 1\n", "text: []\n", "text: {}\n", "text:\n- a\n", "text:\n  a: b\n", "texts: a\n", "texts: {}\n",
		"inner: []\n", "inner: a\n",
		"texts:\n- - a\n", "texts:\n-\n", "texts:\n- \n", "texts:\n-  a\n", "texts:\n- a\n -b\n",
		"texts:\n- a\n  - b\n", "texts:\n  - a\n - b\n", "texts:\n - a\n  - b\n", "texts:\n- null\n",
		"texts:\n- a: b\n", "texts: [a,b]\n", "texts: [a, ]\n", "texts: [ a]\n", "texts: [null]\n",
		"texts: [1]\n", "texts: [a: b]\n", "texts: [\"a\"]\n", "texts: [a\n]\n", "inner:\n  a: b\n b: 1\n",
		"inner:\n  a: b\n   b: 1\n", "inner:\n  a: b\n  - c\n", "inner:\na: b\nint:\n", "text: a\n  \n",
		"text: a\n   ", "map:\n  a:\n    b: c\n",
		"one:\n  list:\n- a\n", "one:\n  list:\n - a\n", "texts: [" + strings.Repeat("a, ", maxNodes) + "a]\n",
		`{"x":[` + strings.Repeat("[],", maxNodes) + "[]]}", "x:\n" + strings.Repeat("- {}\n", maxNodes+1),
		strings.Repeat("k", maxKey+1) + ": a\n", deep(maxDepth + 1), "texts:\n" + strings.Repeat("- a\n", maxNodes+1),
		unknown(maxUnknown + 1),
	} {
		if same(t, text) {
			t.Errorf("plain: %.200q", text)
		}
	}
}

// A document at a bound is still plain.
func TestBounds(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("k", maxKey) + ": a\n",
		deep(maxDepth - 1),
		"texts:\n" + strings.Repeat("- a\n", maxNodes-3),
		unknown(maxUnknown),
	} {
		if !same(t, text) {
			t.Errorf("not plain: %.200q", text)
		}
	}
}

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "k:\n")
	}
	return b.String() + strings.Repeat(" ", n) + "k: a\n"
}

func unknown(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: a\n", i)
	}
	return b.String()
}

func TestUnknownFields(t *testing.T) {
	const text = "---\ncolour: red\ninner:\n    size:\n        a: 1\n\nfar:\n  - a: x\n  - a: y\n    b: 1\n    " +
		"taste: []\none:\n    list: [a, b]\n    more: 1\n"
	var d document
	got, ok := Decode(text, &d)
	want := []Field{{"colour", 2}, {"inner.size", 4}, {"far[1].taste", 11}, {"one.more", 14}}
	if !ok || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, ok, want)
	}
	got, ok = Decode("{\n\"colour\": [\n1],\n\n\"far\": [{}, {\"taste\":\n2}]}\n", &document{})
	if want := []Field{{"colour", 2}, {"far[1].taste", 5}}; !ok || !slices.Equal(got, want) {
		t.Errorf("JSON: %v, %v; want %v", got, ok, want)
	}
}

// A scalar of any kind, wherever it is, has the same value as for the library, or the document is not plain.
func TestScalars(t *testing.T) {
	scalars := []string{
		"a", "A-b_c.d/e", "0", "-0", "00", "007", "08", "0o17", "0O17", "0b11", "-0b11", "0x1F", "-0x1F", "1_000",
		"_1", "1_", "+1", "-1", "--1", "- 1", "9223372036854775807", "9223372036854775808", "18446744073709551615",
		"18446744073709551616", "4294967295", "4294967296", "-9223372036854775808", "-9223372036854775809",
		"99999999999999999999999999", "1.0", "1.", ".5", "-.5", "1e3", "1E+3", "1e", ".", "..", "...", "---", "-",
		"--", "- -", ".inf", "-.inf", "+.Inf", ".nan", ".NaN", "NaN",
		"inf", "190:20:30", "1:2", "2001-01-01", "2001-1-1", "2001-01-01T00:00:00Z", "2001-01-01 00:00:00",
		"2001-13-01", "20010101", "true", "True", "TRUE", "false", "y", "Y", "yes", "n", "No", "on", "Off", "~",
		"null", "Null", "NULL", "nULL", "nil", "none", "=", "<<", "<", ">", "|", "|-",
		"!", "!!str a", "!a", "&a", "*a", "&", "*", "%", "@", "`", "?", "? a", "?a", ":", ":a", ": a", "a:", "a: ",
		"a: b", "a:b", "a :b", "a : b", "a#b", "a #b", "#a", ",", ",a", "a,b", "a, b", "[", "]", "[]", "[ ]", "[a]",
		"[a, b]", "[a,b]", "[a, b,]", "[a, [b]]", "[a]b", "[a] #", "[null]", "[~]", "[1, 2]", "[-a]", "[/a]", "[a:b]",
		"[a: b]",
		"{", "}", "{}", "{ }", "{a}", "{a: b}", "{}a", "a{}", "a[]", "\"\"", "\"a\"", "\"1\"", "\"null\"",
		"\"a\\\"b\"", "\"a\\/b\"", "\"a\\x41\"", "\"a\"b", "\"a\" ", "\"a\" #b", "\"a", "a\"", "a\"b\"", "''", "'a'",
		"'1'", "'a''b'", "'a'b", "'a", "a'", "'\"'", "\"'\"", "\"a: b\"", "\"a #b\"", "\"- a\"",
		"a b", "a  b", " a", "a ", "a\tb", "a\t", "\ta", "a\rb", "a\u0085b", "a\u2028b", "a\u00a0b", "\u00e9",
		"a\x00", "a\x7f", "a\x1b", "a\xff", "a\\nb", "\\", "a$b", "$a", "(a)", "a(b)", "^", ";", "a;b", "a%b", "a@b",
		"a!b", "a&b", "a*b", "a|b", "a>b", "a<b", "a~b", "a=b", "a`b",
		"a\n  b", "a\n b", "a\nb", "\n  a", "\"a\n  b\"", "\"a\nb\"", "|\n  a", ">\n  a", "a\n\n  b", "a\n# b",
		"a\n---", "a\n...", "a\n--- b", "a\n- b", "", " ",
	}
	plain := 0
	for _, context := range []string{
		"text: %s\n", "text: %s", "flag: %s\n", "int: %s\n", "long: %s\n", "word: %s\n", "pointer: %s\n",
		"seconds: %s\n", "map: %s\n", "map:\n  k: %s\n", "map:\n  %s: k\n", "map:\n  %s:\n    k\n", "texts: %s\n",
		"texts:\n- %s\n", "texts:\n- x\n- %s\n- y\nint: 1\n", "texts:\n  - %s\n  - y\n",
		"texts: [%s]\n", "texts: [a, %s]\n", "words: %s\n", "words: [%s]\n", "words:\n- %s\n", "inner: %s\n",
		"inner:\n  a: %s\n  b: 1\n", "inners:\n- a: %s\n", "inners:\n- a: %s\n  b: 1\n- a: x\n", "inners:\n- %s: x\n",
		"inners:\n- %s\n", "far:\n- %s\n", "far:\n    - a: x\n      b: %s\n", "one: %s\n", "one:\n  list:\n  - %s\n",
		"{\"text\": %s}", "{\"texts\": [\"a\", %s]}", "{\"int\": %s, \"x\": 1}", "{\"map\": {\"a\": %s}}",
		"{\"%s\": 1}", "{%s: 1}", "{\"x\": %s}", "{\"x\":%s}", "{\"text\":\n%s\n}",
		"colour: %s\n", "colour:\n- %s\n", "colour:\n- a: %s\n", "colour:\n  a: %s\n", "%s: a\n", "%s:\n- a\n",
		"text: a\n%s: b\n", "text: a\n%s\n", "%s\ntext: a\n", "%s", "---\n%s\n", "text: a%s\n", "text: %sa\n",
		"text: a %s b\n", "text: \"%s\"\n", "text: '%s'\n", "texts: %s\ntexts: a\n",
	} {
		for _, s := range scalars {
			if same(t, strings.ReplaceAll(context, "%s", s)) {
				plain++
			}
		}
	}
	if plain < 1000 {
		t.Errorf("only %d documents are plain", plain)
	}
}

// FuzzDecode compares Decode with the library.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		generated, sorted, compact, `{"text": null, "int": -1, "x": [{"y": "z"}]}` + "\n", "---\ntext: a\n",
		"texts: [a, b]\n", "inner: {}\ntexts: []\n", "# a\ntexts:\n  # b\n- c\n\n  # d\n#\ntext: e\n",
		"map:\n  a/b: 'c'\nflag: false\n",
		"colour:\n- a: \"b\"\n  c: -1\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { same(t, text) })
}
