package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// Every row of the table fits the code: the guard is there, what is left without it is Go, and each test exists.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range mutants() {
		text, err := m.mutated()
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), m.file, text, 0); err != nil {
			t.Errorf("%s: %v", m.guard, err)
		}
		if seen[m.guard] {
			t.Errorf("two rows are called %q", m.guard)
		}
		seen[m.guard] = true
		names := testsOf(t, m.pkg)
		for test := range strings.SplitSeq(m.tests, "|") {
			if !names[test] {
				t.Errorf("%s: %s has no %s", m.guard, m.pkg, test)
			}
		}
	}
	t.Logf("%d guards", len(seen))
}

// testsOf returns the names of a package's tests.
func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(require.Tree(), pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(data), -1) {
			names[match[1]] = true
		}
	}
	return names
}
