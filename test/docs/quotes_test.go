package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

const (
	messagesPage  = "docs/messages.md"
	messagesTable = "test/explain/testdata/messages.txt"
)

var quotedCode = regexp.MustCompile(`\b[EW]-[A-Z]{3,}\b`)

// TestCodes looks up every code that a page names.
func TestCodes(t *testing.T) {
	for _, p := range pages(t) {
		for i, line := range p.lines {
			for _, code := range quotedCode.FindAllString(line, -1) {
				if !isKnown(code) {
					t.Errorf("%s:%d: %s is not a code of gpu-hook", p.name, i+1, code)
				}
			}
		}
	}
}

// isKnown reports whether gpu-hook has this code.
func isKnown(code string) bool {
	return slices.ContainsFunc(fault.Table(), func(e fault.Entry) bool { return string(e.Code) == code })
}

// TestQuotations compares what docs/messages.md quotes of gpu-hook with what it says in the case of test/explain that
// the comment before the quotation names. It quotes gpu-hook nowhere else, and has a quotation of every case.
func TestQuotations(t *testing.T) {
	path := filepath.Join(require.Tree(), messagesPage)
	p := read(t, path)
	said, quoted := cases(t), map[string]bool{}
	var out []string
	for i := 0; i < len(p.lines); i++ {
		line := p.lines[i]
		out = append(out, line)
		name, found := strings.CutPrefix(line, "<!-- test/explain: ")
		if !found {
			if isQuotation(line) {
				t.Errorf("%s:%d: no comment names the case that this is from", p.name, i+1)
			}
			continue
		}
		name = strings.TrimSuffix(name, " -->")
		if said[name] == nil {
			t.Fatalf("%s:%d: no case %q in %s", p.name, i+1, name, messagesTable)
		}
		for ; i+1 < len(p.lines) && (p.lines[i+1] == "" || isCode(p.lines[i+1])); i++ {
		}
		out = append(append(append(out, ""), said[name]...), "")
		quoted[name] = true
	}
	for name := range said {
		if !quoted[name] {
			t.Errorf("%s quotes nothing of the case %q of %s", p.name, name, messagesTable)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(out, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(out, p.lines); diff != "" {
		t.Errorf("gpu-hook (-) and %s (+), see -update: %s", p.name, diff)
	}
}

func isQuotation(line string) bool {
	return isCode(line) && (strings.Contains(line, "gpu-hook: ") || strings.Contains(line, "warning W-"))
}

// cases returns what gpu-hook says in each case of the table, as a page quotes it.
func cases(t *testing.T) map[string][]string {
	t.Helper()
	paths := strings.NewReplacer("HOST/bin/nvidia-ctk", "nvidia-ctk",
		"HOST/bin/nvidia-modprobe", "nvidia-modprobe", "HOST/cdi", "/var/run/cdi", "HOST/dev", "/dev", "HOST/lib",
		"/usr/lib64",
		"HOST/bin", "/usr/bin", "HOST/config.toml", "/etc/gpu-hook/config.toml", "BUNDLE", "/run/bundle")
	out := map[string][]string{}
	name := ""
	for _, line := range read(t, filepath.Join(require.Tree(), messagesTable)).lines {
		if title, found := strings.CutPrefix(line, "# "); found {
			name = title
		}
		message, found := strings.CutPrefix(line, "> ")
		code, _, _ := strings.Cut(message, ":")
		if found && isKnown(code) {
			out[name] = append(out[name], quotation(paths.Replace(message))...)
		}
	}
	return out
}

// quotation writes a message of a table, "CODE: what: why [hint]", as gpu-hook does: an error on stderr, a warning in
// gpu-hook last.
func quotation(message string) []string {
	text, hint := message, ""
	if i := strings.LastIndex(message, " ["); i >= 0 {
		text, hint = message[:i], strings.TrimSuffix(message[i+2:], "]")
	}
	lines := []string{"    gpu-hook: " + text, "    gpu-hook: fix: " + hint}
	if strings.HasPrefix(message, "W-") {
		lines = []string{"    warning " + text, "      fix: " + hint}
	}
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasSuffix(line, "fix: ") })
}
