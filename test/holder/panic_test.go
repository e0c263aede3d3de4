package holder

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// injected is a file that is added to each package: it writes the number of each function that is called to a file, or
// panics at the first call of one of them.
const injected = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var gpuHookPanicked atomic.Bool

func gpuHookCalled(n int) {
	if file := os.Getenv("GPU_HOOK_CALLS"); file != "" {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, _ = f.WriteString(strconv.Itoa(n) + "\n")
			_ = f.Close()
		}
	}
	if os.Getenv("GPU_HOOK_PANIC") == strconv.Itoa(n) && !gpuHookPanicked.Swap(true) {
		panic("injected")
	}
}
`

// panicking is the binary with a call at the beginning of every function of the packages that plan and apply. Nothing
// of it is in the tree or in what is released: the compiler is given other text for the files.
type panicking struct {
	path  string
	names []string // of the functions, by number
}

func newPanicking(t *testing.T) *panicking {
	t.Helper()
	p, dir, replace := &panicking{}, t.TempDir(), map[string]string{}
	for _, pattern := range []string{
		"hook", "hook/*", "nvidia", "amd", "contract", "devices", "devices/*", "state", "internal/trust", "internal/linux",
		"internal/idmap", "internal/plainyaml",
	} {
		rooms, err := filepath.Glob(filepath.Join(require.Tree(), pattern))
		if err != nil || len(rooms) == 0 {
			t.Fatal(pattern, err)
		}
		for _, room := range rooms {
			if files, _ := filepath.Glob(filepath.Join(room, "*.go")); len(files) > 0 {
				p.instrument(t, dir, room, files, replace)
			}
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	p.path = filepath.Join(dir, "gpu-hook")
	cmd := exec.Command("go", "build", "-overlay", file, "-o", p.path, "./cmd/gpu-hook")
	cmd.Dir, cmd.Env = require.Tree(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

// instrument writes other texts for the files of one package.
func (p *panicking) instrument(t *testing.T, dir, room string, files []string, replace map[string]string) {
	t.Helper()
	set, name := token.NewFileSet(), ""
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := parser.ParseFile(set, file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		name = tree.Name.Name
		for _, d := range slices.Backward(tree.Decls) {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			at := set.Position(f.Body.Lbrace).Offset + 1
			call := fmt.Sprintf(" gpuHookCalled(%d);", len(p.names))
			text = slices.Concat(text[:at], []byte(call), text[at:])
			p.names = append(p.names, filepath.Base(room)+"."+f.Name.Name)
		}
		replace[file] = filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(file, require.Tree()), "/", "-"))
		if err := os.WriteFile(replace[file], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	added := filepath.Join(room, "zz_injected.go")
	replace[added] = filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(added, require.Tree()), "/", "-"))
	if err := os.WriteFile(replace[added], fmt.Appendf(nil, injected, name), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a stage on the container, with a variable for the injected functions.
func (p *panicking) run(c *container, input, variable string, args ...string) result {
	c.t.Helper()
	cmd := c.process(input, append([]string{p.path, "--config", c.host.Path("config.toml")}, args...)...)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "GOTRACEBACK") })
	cmd.Env = append(cmd.Env, variable)
	return c.runProcess(cmd)
}

// called returns the numbers of the functions that a run calls, in the order of their first calls. There must be so
// many at least.
func (p *panicking) called(c *container, input string, least int, args ...string) []int {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "calls")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
	if r := p.run(c, input, "GPU_HOOK_CALLS="+file, args...); r.status != 0 {
		c.t.Fatal(r.stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	var out []int
	for field := range strings.FieldsSeq(string(data)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			c.t.Fatal(err)
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	if len(out) < least {
		c.t.Fatalf("only %d functions are called", len(out))
	}
	c.t.Logf("%d functions", len(out))
	return out
}

// tried reports whether the function that was called as the i-th is tried: all are, if GPU_HOOK_LONG is set, or else a
// share of them.
func tried(i int) bool {
	const share = 24
	return i%share == 0 || os.Getenv("GPU_HOOK_LONG") != ""
}

// stateText is the state that the runtime hands to the hook.
func (c *container) stateText() string {
	c.t.Helper()
	data, err := json.Marshal(c.state())
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// hooked is a container whose Spec has a hook of each namespace.
func hooked(t *testing.T, options ...option) *container {
	t.Helper()
	c := newBundle(t, options...)
	c.must(c.host.Write("bin/works", "#!/bin/sh\ncat >/dev/null\n", 0o755))
	spec := c.host.Spec() + "  hooks:\n"
	for _, stage := range []string{"createRuntime", "createContainer"} {
		spec += "  - {hookName: " + stage + ", path: " + c.host.Path("bin/works") + ", args: [works]}\n"
	}
	c.must(c.host.Write("cdi/nvidia.yaml", spec, 0o644))
	return c
}

// A panic at the beginning of any function that a start calls is told in one line and fails the start, on every
// goroutine. What was made before it is undone, unless everything was done.
func TestPanics(t *testing.T) {
	p := newPanicking(t)
	for name, option := range map[string]option{
		"asked": annotated("all"), "wish": withEnv("NVIDIA_VISIBLE_DEVICES=all"),
	} {
		t.Run(name, func(t *testing.T) {
			served := hooked(t, option).start()
			called := p.called(served, served.stateText(), 200, "createRuntime")
			// From here on everything is done, and nothing is undone any more.
			done := slices.IndexFunc(called, func(n int) bool { return p.names[n] == "inject.close" })
			c := hooked(t, option)
			for i, n := range called {
				// Two write down what was made a moment before: only they know of it.
				if !tried(i) || slices.Contains([]string{"inject.add", "inject.record"}, p.names[n]) {
					continue
				}
				c.start()
				p.check(t, n, p.run(c, c.stateText(), fmt.Sprintf("GPU_HOOK_PANIC=%d", n), "createRuntime"))
				if after := c.snapshot(); after != c.before && i < done {
					t.Errorf("%s: something was left behind:\n%s", p.names[n], diff(c.before, after))
				} else if after != c.before {
					c = hooked(t, option)
				}
			}
		})
	}
}

// The same of the other stage.
func TestPanicsOfPrecreate(t *testing.T) {
	p := newPanicking(t)
	c := newBundle(t, annotated("all"))
	spec, err := os.ReadFile(filepath.Join(c.bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range p.called(c, string(spec), 100, "precreate") {
		if !tried(i) {
			continue
		}
		r := p.run(c, string(spec), fmt.Sprintf("GPU_HOOK_PANIC=%d", n), "precreate")
		p.check(t, n, r)
		if r.stdout != "" {
			t.Errorf("%s: a spec is printed: %s", p.names[n], r.stdout)
		}
	}
}

// check checks how a run with a panic ended.
func (p *panicking) check(t *testing.T, n int, r result) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	told := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.Contains(l, "panic: injected") })
	if r.status != 1 || len(told) != 1 || len(lines) > 3 || !strings.HasPrefix(lines[0], "gpu-hook: E-INTERNAL: ") ||
		!strings.Contains(lines[0], "("+p.names[n][:strings.Index(p.names[n], ".")]+".") {
		t.Errorf("%s: status %d, stderr:\n%s", p.names[n], r.status, r.stderr)
	}
}
