package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// reference returns the configuration in docs/configuration.md.
func reference(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(require.Tree(), "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), "```toml\n")
	text, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("docs/configuration.md has no configuration")
	}
	return text
}

// docs/configuration.md shows the defaults, and every key.
func TestReference(t *testing.T) {
	text := reference(t)
	c, err := parse(text, trust.Self{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Defaults(), c); diff != "" {
		t.Error(diff)
	}
	for _, key := range keys(reflect.TypeFor[Config]()) {
		if !strings.Contains(text, key) {
			t.Errorf("docs/configuration.md does not have %s", key)
		}
	}
}

func keys(t reflect.Type) []string {
	var out []string
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("toml"); tag != "-" {
			out = append(append(out, tag), keys(t.Field(i).Type)...)
		}
	}
	return out
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, text string
		change     func(*Config)
	}{
		{"nothing", "", func(*Config) {}},
		{"a policy", "[requests]\nenv-all = \"ignore\"", func(c *Config) { c.Requests.EnvAll = AllIgnore }},
		{"an empty list", "[requests]\nsources = []", func(c *Config) { c.Requests.Sources = []string{} }},
		{"a namespace leaves the engine's sources", "[engines.cri-o]\nnamespaces = {a = [\"env\"]}", func(c *Config) {
			c.Engines["cri-o"].Namespaces = map[string][]string{"a": {"env"}}
		}},
		{"an engine of its own", "[engines.podman]\nsources = [\"env\"]", func(c *Config) {
			c.Engines["podman"] = &Engine{Sources: []string{"env"}, Own: []string{}}
		}},
		{
			"an old engine, which serves nothing itself", "[engines.cri-o]\nown = []",
			func(c *Config) { c.Engines["cri-o"].Own, c.Engines["cri-o"].Namespaces = []string{}, nil },
		},
		{
			"prefixes", "[cdi]\nannotation-prefixes = [\"cdi.k8s.io/\", \"a/\"]",
			func(c *Config) { c.CDI.AnnotationPrefixes = []string{"cdi.k8s.io/", "a/"} },
		},
		{"a part of a vendor, which comes first", "[[vendor]]\nname = \"amd\"\nkind = \"amd.com/apu\"", func(c *Config) {
			c.Vendors = []Vendor{c.Vendors[1], c.Vendors[0], c.Vendors[2]}
			c.Vendors[0].Kind = "amd.com/apu"
		}},
		{
			"a dialect of a built-in vendor", "[[vendor]]\nname = \"nvidia\"\ndialect = \"amd\"",
			func(c *Config) { c.Vendors[0].Dialect = DialectAMD },
		},
		{"kinds of a variable", "[[vendor]]\nname = \"nvidia\"\nenv-kinds = [\"acme.com/*\", \"b.com/c\"]", func(c *Config) {
			c.Vendors[0].EnvKinds = []string{"acme.com/*", "b.com/c"}
		}},
		{"a vendor of one's own speaks NVIDIA's dialect", "[[vendor]]\nname = \"a\"\nkind = \"a.com/b\"", func(c *Config) {
			c.Vendors = append([]Vendor{{Name: "a", Kind: "a.com/b", Dialect: DialectNVIDIA}}, c.Vendors...)
		}},
		{"nothing is optional", "[cdi]\noptional = []", func(c *Config) { c.CDI.Optional = []Pattern{} }},
		{
			"a list in the place of the built-in one", "[cdi]\noptional = [\"hook:*\"]",
			func(c *Config) { c.CDI.Optional = []Pattern{"hook:*"} },
		},
		{"a timeout", "[limits]\ntimeout = \"2m\"", func(c *Config) { c.Limits.Timeout = Duration(120e9) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := Defaults()
			test.change(want)
			got, err := parse(test.text, trust.Self{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"x = 1", `line 1: key "x" is not known`},
		{"[cdi]\n\nspec-dir = []", `line 3: key "cdi.spec-dir" is not known; did you mean "spec-dirs"?`},
		{"[request]\nsources = []", `key "request" is not known; did you mean "requests"?`},
		{"[engines.podman]\nsource = []", `line 2: key "engines.podman.source" is not known; did you mean "sources"?`},
		{"[[vendor]]\ndriver = []", `line 2: key "vendor.driver" is not known; did you mean "drivers"?`},
		{"[nvidia]\n[nothing]\na = 1", `line 2: key "nothing" is not known`},
		{"cdi.nothing = 1", `line 1: key "cdi.nothing" is not known`},
		{"[[vendor]]\nname = \"a\"\nfoo = 1", `line 3: key "vendor.foo" is not known`},
		{"[requests]\nsources = \"env\"", "toml: line 2"},
		{"[requests", "toml: line 1"},
		{"[requests]\nsources = [\"x\"]", `requests.sources: "x" is not one of: annotation, cdi-annotation, mount, env`},
		{"[engines.cri-o]\nsources = [\"x\"]", `engines.cri-o.sources: "x" is not one of`},
		{"[engines.cri-o.namespaces]\nb = [\"x\"]", `engines.cri-o.namespaces.b: "x" is not one of`},
		{"[requests]\nsources=[\"env\",\"env\"]", `requests.sources: source "env" is listed twice`},
		{"[requests]\nenv-all = \"maybe\"", `requests.env-all: "maybe" is not one of: weak, accept, ignore`},
		{"[requests]\non-refused = \"\"", `requests.on-refused: "" is not one of: warn, error`},
		{"[cdi]\non-late = \"x\"", `cdi.on-late: "x"`},
		{"[cdi]\non-stale = \"delegate\"", `cdi.on-stale: "delegate" is not one of: next-driver, warn, error`},
		{"[cdi]\non-incomplete = \"error\"", `cdi.on-incomplete: "error" is not one of: warn, ignore`},
		{"[cdi]\noptional = [\"env:A\"]", `"env:A" is not of the form node:GLOB, mount:GLOB or hook:GLOB`},
		{"[cdi]\noptional = [\"hook:\"]", `"hook:" is not of the form`},
		{"[cdi]\noptional = [\"mount:usr/**\"]", `"mount:usr/**": paths in a container begin with a slash`},
		{"[cdi]\noptional = [\"hook:[a\"]", `line 2 (last key "cdi.optional"): "hook:[a": syntax error in pattern`},
		{"[drivers]\non-fallback = \"x\"", `drivers.on-fallback: "x"`},
		{"[nvidia]\nrequirements = \"x\"", `nvidia.requirements: "x"`},
		{"[nvidia]\nsupported-capabilities=[\"x\"]", `nvidia.supported-capabilities: "x" is not one of: compat32`},
		{"[cdi]\nspec-dirs = [\"etc/cdi\"]", `cdi.spec-dirs[0]: path "etc/cdi" is not absolute and clean`},
		{"[record]\ndir = \"/run/../x\"", `record.dir: path "/run/../x" is not absolute and clean`},
		{"[record]\nkeep = 0", "record.keep: 0 is less than 1"},
		{"[limits]\ntimeout = \"0s\"", "it must be more than 0s"},
		{"[limits]\ntimeout = \"1h\"", "limits.timeout: 1h0m0s is more than 10m0s"},
		{"[[vendor]]\nkind = \"a.com/b\"", `vendor: name "" is empty`},
		{"[[vendor]]\nname = \"cdi\"\nkind = \"a.com/b\"", `vendor: name "cdi" is empty, "cdi" or`},
		{"[[vendor]]\nname = \"a\"\nkind = \"b\"", `vendor a: kind "b" is not of the form vendor.com/class`},
		{
			"[[vendor]]\nname = \"a\"\nkind = \"a.com/b\"\ndrivers = [\"b.cdi\"]",
			`vendor a: drivers: "b.cdi" is not one of: a.cdi, a.runtime-hook`,
		},
		{
			"[[vendor]]\nname = \"a\"\nkind = \"a.com/b\"\ndrivers = [\"a.runtime-hook\"]",
			`vendor a: driver a.runtime-hook needs env and runtime-hook`,
		},
		{
			"[[vendor]]\nname = \"amd\"\n[[vendor]]\nname = \"amd\"\nkind = \"a.com/b\"",
			`vendor amd: name amd is another vendor's too`,
		},
		{"[[vendor]]\nname = \"amd\"\ndialect = \"AMD\"", `vendor amd: dialect: "AMD" is not one of: nvidia, amd`},
		{
			"[[vendor]]\nname = \"amd\"\nenv-kinds = [\"acme\"]",
			`vendor amd: env-kinds: "acme" is not of the form vendor.com/class or vendor.com/*`,
		},
		{"[[vendor]]\nname = \"amd\"\nenv-kinds = [\"*/*\"]", `vendor amd: env-kinds: "*/*" is not of the form`},
		{"[engines.crio]\nsources = []", `engines: "crio" is not one of: podman, cri-o, containerd, buildah`},
		{"[engines.podman]\nnamespaces = {a = [\"env\"]}", `engines.podman.namespaces: only cri-o and containerd`},
		{"[engines.buildah]\nnamespaces = {a = [\"env\"]}", `engines.buildah.namespaces: only cri-o and containerd`},
		{"[engines.cri-o]\nown = [\"env\"]", `engines.cri-o.own: "env" is not one of: cdi-annotation`},
		{
			"[cdi]\nannotation-prefixes = [\"cdi.k8s.io\"]",
			`cdi.annotation-prefixes: "cdi.k8s.io" does not end in a slash behind a name`,
		},
		{"[cdi]\nannotation-prefixes = [\"\"]", `cdi.annotation-prefixes: "" does not end`},
		{"[cdi]\nannotation-prefixes = [\"/\"]", `cdi.annotation-prefixes: "/" does not end`},
		{"[[vendor]]\nname = \"a\"\nkind = \"nvidia.com/gpu\"", `kind nvidia.com/gpu is another vendor's too`},
	} {
		if _, err := parse(test.text, trust.Self{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, not %q", test.text, err, test.want)
		}
	}
}

func TestLoad(t *testing.T) {
	if c, err := Load("/nowhere/config.toml"); err == nil || c == nil {
		t.Error("an explicit file that is not there is no error, or the defaults do not come with it")
	}
}

// A configuration that others may write is not believed, and the built-in rules hold.
func TestConfigurationOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("got %v", err)
	}
}

func TestSourcesFor(t *testing.T) {
	c := Defaults()
	c.Engines["cri-o"].Namespaces = map[string][]string{"a": {"env", "mount"}}
	for _, test := range []struct{ engine, namespace, want string }{
		{"", "", "annotation cdi-annotation mount env"},
		{"podman", "a", "annotation cdi-annotation mount env"},
		{"cri-o", "", "mount cdi-annotation"},
		{"cri-o", "b", "mount cdi-annotation"},
		{"cri-o", "a", "mount cdi-annotation env"},
		{"containerd", "", "mount cdi-annotation"},
		{"buildah", "", "annotation cdi-annotation"},
	} {
		if got, _ := c.SourcesFor(test.engine, test.namespace, false); strings.Join(got, " ") != test.want {
			t.Errorf("%s %s: %v", test.engine, test.namespace, got)
		}
	}
}

func TestEnvMayAsk(t *testing.T) {
	v := Vendor{Kind: "nvidia.com/gpu", EnvKinds: []string{"acme.com/hsm", "b.com/*"}}
	for kind, want := range map[string]bool{
		"nvidia.com/gpu": true, "nvidia.com/gds": true, "acme.com/hsm": true, "b.com/a": true, "b.com/c": true,
		"acme.com/npu": false, "acme.com/hsm2": false, "amd.com/gpu": false, "nvidia.com.evil/gpu": false,
	} {
		if got := v.EnvMayAsk(kind); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}

// If the engine is in doubt, only sources that count for every engine count.
func TestSourcesForInDoubt(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"by default", "", "cdi-annotation"},
		{"podman closed", "[engines.podman]\nsources = [\"mount\", \"env\"]", ""},
		{"all open", "[engines.cri-o]\nsources = [\"env\", \"mount\"]\n" +
			"[engines.containerd]\nsources = [\"env\"]\n[engines.buildah]\nsources = [\"env\"]", "env"},
		{"not of the requests", "[requests]\nsources = [\"mount\"]", ""},
	} {
		c, err := parse(test.text, trust.Self{})
		if err != nil {
			t.Fatal(err)
		}
		c.Engines["cri-o"].Namespaces = map[string][]string{"a": {"annotation", "mount", "env", "cdi-annotation"}}
		for _, engine := range []string{"", "podman", "cri-o", "buildah"} {
			if got, _ := c.SourcesFor(engine, "a", true); strings.Join(got, " ") != test.want {
				t.Errorf("%s, %q: %v", test.name, engine, got)
			}
		}
	}
}

func TestOwns(t *testing.T) {
	c := Defaults()
	for engine, want := range map[string]bool{
		"": false, "podman": false, "buildah": false, "cri-o": true, "containerd": true,
	} {
		if c.Owns(engine, SourceCDIAnnotation) != want || c.Owns(engine, SourceMount) {
			t.Errorf("%q owns other than it does", engine)
		}
	}
}

func TestAllMistakesAreReported(t *testing.T) {
	const text = "[requests]\nsources = [\"x\"]\non-refused = \"\"\n[engines.cri-o]\nsources = [\"y\", \"y\"]\n" +
		"[engines.containerd]\nown = [\"env\"]\n[record]\nkeep = 0\ndir = \"run\"\n" +
		"[[vendor]]\nname = \"a\"\nkind = \"a\"\ndialect = \"z\"\n"
	want := []string{
		`engines.containerd.own: "env" is not one of: cdi-annotation`,
		`engines.cri-o.sources: "y" is not one of: annotation, cdi-annotation, mount, env`,
		`engines.cri-o.sources: source "y" is listed twice`,
		`requests.sources: "x" is not one of: annotation, cdi-annotation, mount, env`,
		`requests.on-refused: "" is not one of: warn, error`,
		`record.dir: path "run" is not absolute and clean`,
		`record.keep: 0 is less than 1`,
		`vendor a: kind "a" is not of the form vendor.com/class`,
		`vendor a: dialect: "z" is not one of: nvidia, amd`,
	}
	for range 20 { // maps are walked in another order each time
		if diff := cmp.Diff(want, mistakes(t, text)); diff != "" {
			t.Fatal(diff)
		}
	}
	require.Root(t) // the file must be root's
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if err == nil {
		t.Fatal("the mistakes were accepted")
	}
	lines := []string{
		"gpu-hook: E-CONFIG: " + path + ": " + strings.Join(want, "; "),
		"gpu-hook: fix: correct the file; docs/configuration.md lists its keys",
	}
	if diff := cmp.Diff(lines, report.Lines(err)); diff != "" {
		t.Error(diff)
	}
}

// mistakes returns what is wrong with a configuration, one mistake a line.
func mistakes(t *testing.T, text string) []string {
	t.Helper()
	_, err := parse(text, trust.Self{})
	if err == nil {
		t.Fatal("the mistakes were accepted")
	}
	return strings.Split(err.Error(), "\n")
}

// Every path is checked, also those of vendors of one name.
func TestMistakesInPaths(t *testing.T) {
	vendor := func(hook string) string {
		return "[[vendor]]\nname = \"a\"\nkind = \"a.com/b\"\nruntime-hook = \"" + hook + "\"\n"
	}
	const text = "[cdi]\nspec-dirs = [\"/a\", \"b\", \"/c/\"]\n" +
		"[nvidia]\nruntime-config = \"d\"\ndriver-version-file = \"e\"\n" +
		"[record]\ndir = \"/f/../g\"\n"
	got := mistakes(t, text+vendor("h")+vendor("/i")+vendor("/j/"))
	got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, "path") })
	want := []string{
		`cdi.spec-dirs[1]: path "b" is not absolute and clean`,
		`cdi.spec-dirs[2]: path "/c/" is not absolute and clean`,
		`nvidia.driver-version-file: path "e" is not absolute and clean`,
		`nvidia.runtime-config: path "d" is not absolute and clean`,
		`record.dir: path "/f/../g" is not absolute and clean`,
		`vendor a: runtime-hook: path "h" is not absolute and clean`,
		`vendor a: runtime-hook: path "/j/" is not absolute and clean`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
