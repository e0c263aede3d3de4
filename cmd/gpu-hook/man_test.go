package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

var update = flag.Bool("update", false, "write the manual pages in docs/man")

// TestManualPages makes gpu-hook(8) from what help prints, and gpu-hook.toml(5) from docs/configuration.md. Neither
// costs the program anything.
func TestManualPages(t *testing.T) {
	pages := map[string]string{"gpu-hook.8": programPage(t), "gpu-hook.toml.5": configurationPage(t)}
	for name, want := range pages {
		path := filepath.Join(require.Tree(), "docs/man", name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is out of date, run go test ./cmd/gpu-hook -update (-made now +there):\n%s", name, diff)
		}
		rendered(t, path)
	}
}

// rendered has groff set the page, if it is there, which must find nothing to warn of.
func rendered(t *testing.T, path string) {
	t.Helper()
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	out, err := exec.Command(groff, "-man", "-t", "-Tutf8", "-ww", "-z", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

// programPage returns the manual page of the program.
func programPage(t *testing.T) string {
	t.Helper()
	var options hook.Options
	program := programFlags(process{}, &options)
	program.Bool("version", false, "print the version")
	_, does, _ := strings.Cut(strings.TrimSuffix(programAbout, "."), " ")
	m := &manual{}
	m.head("gpu-hook", 8, does)
	m.section("SYNOPSIS")
	m.line(".B gpu\\-hook")
	m.line("%s", roff(string(program.usage)))
	m.section("DESCRIPTION")
	m.paragraph(programAbout + " Engines run it as a hook at each container's start. People run it to see what a " +
		"container gets, what the host has to give, and what is wrong. docs/requests.md of its sources describes how " +
		"a container asks.")
	m.section("OPTIONS")
	m.paragraph("They may stand before or behind the command. Flags may follow arguments, and one dash is as good as two.")
	m.flags(program)
	m.section("COMMANDS")
	for _, c := range commands() {
		m.command(t, c)
	}
	m.section("EXIT STATUS")
	m.item("0", "done, or nothing to do")
	m.item("1", "refused or failed")
	m.item("2", "the command line is wrong")
	m.section("ENVIRONMENT")
	m.item("NO_COLOR", "If it is set and not empty, nothing is coloured. Colours are for terminals alone.")
	m.section("FILES")
	m.item(config.DefaultPath, "the configuration, described in gpu-hook.toml(5)")
	m.item("~/.config/gpu-hook/config.toml", "a user's own, for rootless podman")
	m.item("/etc/cdi, /var/run/cdi", "the CDI Specs of the host")
	m.item("/run/gpu-hook", "records of what containers got, which gpu-hook last prints")
	m.section("ERRORS AND WARNINGS")
	m.paragraph("Each has a code, which never changes. An example is in the output of gpu-hook help CODE.")
	for _, e := range fault.Table() {
		m.item(string(e.Code), e.Meaning+" What to do: "+e.Fix)
	}
	m.section("SEE ALSO")
	m.paragraph("gpu-hook.toml(5), podman-run(1), containers.conf(5), oci-hooks(5), nvidia-ctk(1)")
	return m.String()
}

// command describes a command as its help does.
func (m *manual) command(t *testing.T, c command) {
	t.Helper()
	flags, err := flagsOf(c)
	if err != nil {
		t.Fatal(err)
	}
	m.line(`.SS "%s"`, roff(c.name))
	m.paragraph(strings.ToUpper(c.about[:1]) + c.about[1:] + ".")
	m.line(".PP\n.B gpu\\-hook\n%s", roff(string(flags.usage)))
	if c.more != "" {
		m.paragraph(c.more)
	}
	m.flags(flags)
	for _, e := range c.examples {
		m.line(".PP\n%s:", roff(strings.ToUpper(e.about[:1])+e.about[1:]))
		m.code([]string{e.line})
	}
}

// flags describes each flag.
func (m *manual) flags(flags *flagSet) {
	for _, r := range flagRows(flags) {
		m.item(r.word, r.about)
	}
}

// manual is a manual page in the language of man(7).
type manual struct{ strings.Builder }

func (m *manual) line(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }

func (m *manual) head(name string, section int, does string) {
	m.line(`.\" Made by go test ./cmd/gpu-hook -update. Do not edit it.`)
	m.line(`.TH "%s" %d "" "gpu\-hook"`, roff(strings.ToUpper(name)), section)
	m.section("NAME")
	m.line(`%s \- %s`, roff(name), roff(does))
}

func (m *manual) section(title string) {
	m.line(`.SH "%s"`, strings.ReplaceAll(roff(title), `"`, `\(dq`))
}

func (m *manual) paragraph(text string) { m.line(".PP\n%s", roff(text)) }

func (m *manual) item(word, about string) { m.line(".TP\n.B %s\n%s", roff(word), roff(about)) }

func (m *manual) code(lines []string) {
	m.line(".PP\n.RS 4\n.nf")
	for _, line := range lines {
		m.line("%s", roff(line))
	}
	m.line(".fi\n.RE")
}

// roff returns the text as troff prints it: hyphens, quotes and the like as they are typed, and no request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "~", `\(ti`, "^", `\(ha`, "–", `\(en`,
		"…", "...").Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// configurationPage returns docs/configuration.md as a manual page.
func configurationPage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(require.Tree(), "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := &manual{}
	m.head("gpu-hook.toml", 5, "the configuration of gpu-hook, /etc/gpu-hook/config.toml")
	m.section("DESCRIPTION")
	title, text, _ := strings.Cut(string(data), "\n")
	if !strings.HasPrefix(title, "# ") {
		t.Fatalf("it begins with %q", title)
	}
	for _, block := range blocks(text) {
		m.block(t, block)
	}
	m.section("SEE ALSO")
	m.paragraph("gpu-hook(8). The pages that are named here are in the folder docs of gpu-hook's sources.")
	return m.String()
}

// blocks divides Markdown at its empty lines, but not within code.
func blocks(text string) [][]string {
	var out [][]string
	var block []string
	fenced := false
	for line := range strings.Lines(text + "\n\n") {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if line != "" || fenced {
			block = append(block, line)
		} else if block != nil {
			out, block = append(out, block), nil
		}
	}
	return out
}

// block writes a block of Markdown: what the pages of the project have of it.
func (m *manual) block(t *testing.T, lines []string) {
	t.Helper()
	switch first := lines[0]; {
	case strings.HasPrefix(first, "## "):
		m.section(strings.ReplaceAll(strings.TrimPrefix(first, "## "), "`", ""))
	case strings.HasPrefix(first, "```"):
		m.code(lines[1 : len(lines)-1])
	case strings.HasPrefix(first, "| "):
		m.table(t, lines)
	case strings.HasPrefix(first, "#"), strings.HasPrefix(first, "- "), strings.HasPrefix(first, " "):
		t.Fatalf("a block that the manual page does not know: %q", first)
	default:
		m.line(".PP\n%s", inline(strings.Join(lines, " ")))
	}
}

// table writes each row of a table with the columns key, default and meaning.
func (m *manual) table(t *testing.T, lines []string) {
	t.Helper()
	for i, line := range lines {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch {
		case i == 1: // the line below the head
		case len(cells) != 3 || i == 0 && cells[0] != "key":
			t.Fatalf("a table that the manual page does not know: %q", line)
		case i > 0:
			key, meaning := inline(cells[0]), strings.TrimSuffix(inline(cells[2]), ".")
			m.line(".TP\n%s\n%s.\n.br\nDefault: %s", key, meaning, inline(cells[1]))
		}
	}
}

// inline writes what is within a paragraph: code in bold, links as their text.
func inline(text string) string {
	var out strings.Builder
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			out.WriteString(`\fB` + roff(part) + `\fR`)
			continue
		}
		out.WriteString(strings.TrimPrefix(roff(unlinked(part)), `\&`))
	}
	if strings.HasPrefix(out.String(), ".") {
		return `\&` + out.String()
	}
	return out.String()
}

// unlinked returns the text with each link replaced by its text.
func unlinked(text string) string {
	before, rest, found := strings.Cut(text, "[")
	name, after, isLink := strings.Cut(rest, "](")
	_, after, closed := strings.Cut(after, ")")
	if !found || !isLink || !closed {
		return text
	}
	return before + name + unlinked(after)
}
