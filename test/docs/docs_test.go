// Package docs checks the project's pages against the project: what they quote of gpu-hook, the commands that they
// show, and where their links lead.
//
// go test ./test/docs -update writes the quotations of docs/messages.md anew.
package docs

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

var update = flag.Bool("update", false, "write the quotations of docs/messages.md anew")

// page is one page of the project.
type page struct {
	name  string // relative to the top of the tree
	lines []string
}

// pages returns every page that is written for people.
func pages(t *testing.T) []page {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(require.Tree(), "docs", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatal("no pages:", err)
	}
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		names = append(names, filepath.Join(require.Tree(), name))
	}
	var out []page
	for _, name := range names {
		out = append(out, read(t, name))
	}
	return out
}

func read(t *testing.T, path string) page {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(require.Tree(), path)
	if err != nil {
		t.Fatal(err)
	}
	return page{name: name, lines: strings.Split(string(data), "\n")}
}

// isCode reports whether a line stands in a block of code, which these pages indent.
func isCode(line string) bool { return strings.HasPrefix(line, "    ") }

var (
	linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codePattern = regexp.MustCompile("`[^`]*`")
)

// TestLinks follows every relative link, to its file and to its heading.
func TestLinks(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for i, line := range p.lines {
			if isCode(line) {
				continue
			}
			for _, match := range linkPattern.FindAllStringSubmatch(codePattern.ReplaceAllString(line, ""), -1) {
				target := match[1]
				if strings.Contains(target, "://") {
					continue
				}
				found++
				file, anchor, _ := strings.Cut(target, "#")
				path := filepath.Join(require.Tree(), p.name)
				if file != "" {
					path = filepath.Join(filepath.Dir(path), file)
				}
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s:%d: the link %s: %v", p.name, i+1, target, err)
					continue
				}
				if anchor != "" && !headings(t, path)[anchor] {
					t.Errorf("%s:%d: the link %s: no such heading", p.name, i+1, target)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d links were found", found)
	}
}

// headings returns the anchors of a page's headings, as GitHub makes them.
func headings(t *testing.T, path string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, line := range read(t, path).lines {
		if title, found := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); found && strings.HasPrefix(line, "#") {
			out[anchorOf(title)] = true
		}
	}
	return out
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

func anchorOf(title string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
}

// TestMessagesAreInOrder holds docs/messages.md to what its head promises: sorted by message, and an index of all.
func TestMessagesAreInOrder(t *testing.T) {
	p := read(t, filepath.Join(require.Tree(), messagesPage))
	indexed := map[string]bool{}
	last := ""
	for i, line := range p.lines {
		if strings.HasPrefix(line, "| [") {
			for _, match := range linkPattern.FindAllStringSubmatch(line, -1) {
				indexed[strings.TrimPrefix(match[1], "#")] = true
			}
		}
		title, found := strings.CutPrefix(line, "### `")
		if !found {
			continue
		}
		if sorted := strings.ToLower(title); sorted < last {
			t.Errorf("%s:%d: %s stands behind %s", p.name, i+1, sorted, last)
		} else {
			last = sorted
		}
		if !indexed[anchorOf(title)] {
			t.Errorf("%s:%d: the index does not have %s", p.name, i+1, title)
		}
	}
	if len(indexed) < 20 {
		t.Errorf("the index has only %d messages", len(indexed))
	}
}

// TestBlocks finds blocks of code that Markdown takes for a part of the list above them, since they follow it directly.
func TestBlocks(t *testing.T) {
	for _, p := range pages(t) {
		inList := false
		for i, line := range p.lines {
			switch {
			case line == "":
			case strings.HasPrefix(line, "- "):
				inList = true
			case isCode(line) && inList:
				t.Errorf("%s:%d: a paragraph between the list and the code is missing", p.name, i+1)
				inList = false
			case !strings.HasPrefix(line, "  "):
				inList = false
			}
		}
	}
}
