// Package explain holds the rules of requests and precedence as tables. Each case is a whole input and the whole result
// of the real binary's explain --json on a synthetic host. A case is a block of lines in testdata/*.txt:
//
//	# what it shows
//	% a line for config.toml
//	@ a shell command in the host's folder, before; TESTDATA stands for this package's
//	$ the arguments of explain; or "bundle" or "crio" and what config.json says, see bundle_test.go
//	> the result, line by line
//
// go test ./test/explain -update rewrites the results; read the difference.
package explain

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

var update = flag.Bool("update", false, "write the results anew")

type explained struct {
	name                  string
	config, before, input []string
	want                  []string
}

func TestTables(t *testing.T) {
	require.Root(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no tables", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cases := read(string(data))
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for i := range cases {
				t.Run(cases[i].name, func(t *testing.T) { cases[i].run(t) })
			}
		})
		if *update {
			if err := os.WriteFile(file, []byte(write(cases)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func read(text string) []explained {
	var out []explained
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var c explained
		for line := range strings.SplitSeq(block, "\n") {
			rest := strings.TrimPrefix(line[1:], " ")
			switch line[0] {
			case '#':
				c.name = rest
			case '%':
				c.config = append(c.config, rest)
			case '@':
				c.before = append(c.before, rest)
			case '$':
				c.input = append(c.input, rest)
			case '>':
				c.want = append(c.want, rest)
			}
		}
		out = append(out, c)
	}
	return out
}

func write(cases []explained) string {
	blocks := make([]string, 0, len(cases))
	for _, c := range cases {
		lines := []string{"# " + c.name}
		for _, part := range []struct {
			mark  string
			lines []string
		}{{"% ", c.config}, {"@ ", c.before}, {"$ ", c.input}, {"> ", c.want}} {
			for _, line := range part.lines {
				lines = append(lines, strings.TrimRight(part.mark+line, " "))
			}
		}
		blocks = append(blocks, strings.Join(lines, "\n"))
	}
	return strings.Join(blocks, "\n\n") + "\n"
}

func (c *explained) run(t *testing.T) {
	host, err := gpuhost.New(filepath.Join(t.TempDir(), "host"))
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Write("config.toml", merge(host.Config(), c.config), 0o644); err != nil {
		t.Fatal(err)
	}
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range c.before {
		cmd := exec.Command("sh", "-ec", strings.NewReplacer("HOST", host.Dir, "TESTDATA", testdata).Replace(command))
		cmd.Dir = host.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	args := c.arguments(t, host)
	cmd := exec.Command(require.GPUHook(t),
		append([]string{"--config", host.Path("config.toml"), "explain", "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if strings.Count(stdout.String(), ": null") != strings.Count(stdout.String(), `"delegate": null`) {
		t.Errorf("a list is null:\n%s", stdout.String())
	}
	r := &report.Report{}
	if jsonErr := json.Unmarshal(stdout.Bytes(), r); jsonErr != nil {
		t.Fatalf("%v\n%s%s", jsonErr, stdout.String(), stderr.String())
	}
	if failed := r.Failed(); failed != (err != nil) {
		t.Errorf("%d errors, and the command ends with %v", len(r.Errors), err)
	}
	got := lines(r)
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], host.Dir, "HOST")
		if r.Container.Bundle != "" {
			got[i] = strings.ReplaceAll(got[i], r.Container.Bundle, "BUNDLE")
		}
	}
	if *update {
		c.want = got
		return
	}
	if diff := cmp.Diff(c.want, got); diff != "" {
		t.Error(diff)
	}
}

// merge puts lines into their tables of a configuration. Tables that are missing are added.
func merge(config string, lines []string) string {
	table := ""
	for _, line := range lines {
		if strings.HasPrefix(line, "[") {
			table = line
			if strings.HasPrefix(line, "[[") || !strings.Contains(config, line+"\n") {
				config += line + "\n"
				table = ""
			}
			continue
		}
		if table == "" {
			config += line + "\n"
			continue
		}
		config = strings.Replace(config, table+"\n", table+"\n"+line+"\n", 1)
	}
	return config
}

// arguments returns the arguments of explain, with HOST replaced by the host's directory.
func (c *explained) arguments(t *testing.T, host *gpuhost.Host) []string {
	var args []string
	for _, line := range c.input {
		for _, arg := range split(line) {
			args = append(args, strings.ReplaceAll(arg, "HOST", host.Dir))
		}
	}
	if len(args) > 0 && (args[0] == "crio" || args[0] == "bundle") {
		bundle := filepath.Join(t.TempDir(), "bundle")
		b := newBundle()
		for _, what := range args[1:] {
			if err := b.say(bundle, what); err != nil {
				t.Fatalf("%q: %v", what, err)
			}
		}
		if err := b.write(bundle, args[0] == "crio"); err != nil {
			t.Fatal(err)
		}
		return []string{"--bundle", bundle}
	}
	return args
}

// split splits words at blanks outside of single quotes.
func split(line string) []string {
	var out []string
	word, quoted, started := "", false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, started = !quoted, true
		case r == ' ' && !quoted:
			if started {
				out = append(out, word)
			}
			word, started = "", false
		default:
			word, started = word+string(r), true
		}
	}
	if started {
		out = append(out, word)
	}
	return out
}

// lines writes a report down, with a line for each thing in it. Of the edits it shows the nodes, counts the others, and
// marks those that are skipped.
func lines(r *report.Report) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, strings.TrimSpace(fmt.Sprintf(format, args...))) }
	for _, q := range r.Requests {
		driver := ""
		if q.Driver != "" {
			driver = " driver=" + q.Driver
		}
		add("%s %q: %s%s %v %v: %s %s", q.Source, q.Value, q.Vendor, driver, q.Devices, q.Capabilities, q.Status, q.Reason)
	}
	for _, a := range r.Attempts {
		if a.Status != plan.Skipped {
			add("  %d %s %s: %s", a.Request, a.Driver, a.Status, a.Reason)
		}
	}
	for _, g := range r.Grants {
		if g.Delegate != nil {
			add("grant %d %s %s %v", g.Request, g.Driver, strings.Join(g.Delegate.Args, " "), g.Delegate.Env)
			continue
		}
		add("grant %d %s %v", g.Request, g.Driver, g.CDIDevices)
	}
	if e := r.Edits; len(e.DeviceNodes)+len(e.Mounts)+len(e.Hooks)+len(e.Env) > 0 {
		add("%s", edits(e))
	}
	for _, m := range r.Warnings {
		add("%s: %s [%s]", m.Code, m.Message, m.Hint)
	}
	for _, m := range r.Errors {
		add("%s: %s [%s]", m.Code, m.Message, m.Hint)
	}
	add("= %s", r.Result)
	return out
}

func edits(e *devices.Edits) string {
	nodes, mounts, hooks := "", "", ""
	for _, d := range e.DeviceNodes {
		nodes += " " + d.Path + skipped(d.Status, "")
	}
	for _, m := range e.Mounts {
		mounts += skipped(m.Status, m.ContainerPath)
	}
	for _, h := range e.Hooks {
		hooks += skipped(h.Status, path.Base(h.Path)+" "+strings.Join(h.Args, " "))
	}
	return fmt.Sprintf("edits: %s, %d mounts%s, %d hooks%s, %d env",
		strings.TrimPrefix(nodes, " "), len(e.Mounts), mounts, len(e.Hooks), hooks, len(e.Env))
}

func skipped(status devices.Status, what string) string {
	if status != devices.Skipped {
		return ""
	}
	return " (" + strings.TrimSpace("skipped "+what) + ")"
}
