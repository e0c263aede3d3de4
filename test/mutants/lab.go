package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// mutant is a guard, what takes it out, and the tests of which at least one must fail then.
type mutant struct {
	guard    string // what the guard is for
	file     string // below the root of the project
	old, new string // old is in the file exactly once
	pkg      string // of the tests
	tests    string // a regular expression for their names
}

// patience bounds the tests of one mutant.
const patience = 5 * time.Minute

// lab is a directory outside the tree in which mutated files and binaries are made.
type lab struct{ dir string }

func newLab() (*lab, error) {
	dir, err := os.MkdirTemp("", "gpu-hook-mutants")
	return &lab{dir}, err
}

func (l *lab) close() { _ = os.RemoveAll(l.dir) }

// mutated returns the content of the mutant's file without the guard.
func (m mutant) mutated() (string, error) {
	data, err := os.ReadFile(filepath.Join(require.Tree(), m.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(data), m.old); n != 1 {
		return "", fmt.Errorf("%s has %d times %q: the row must be adapted to the code", m.file, n, m.old)
	}
	return strings.Replace(string(data), m.old, m.new, 1), nil
}

// healthy checks that every row applies and that all tests pass with all guards.
func (l *lab) healthy(ctx context.Context, list []mutant) error {
	tests := map[string][]string{}
	for _, m := range list {
		if _, err := m.mutated(); err != nil {
			return err
		}
		if !slices.Contains(tests[m.pkg], m.tests) {
			tests[m.pkg] = append(tests[m.pkg], m.tests)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		out, err := l.test(ctx, pkg, strings.Join(tests[pkg], "|"), "")
		if err != nil {
			return fmt.Errorf("the tests of %s fail with all guards: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// try reports whether a test notices that the guard is missing. A mutant that does not compile is an error.
func (l *lab) try(ctx context.Context, m mutant) (noticed bool, err error) {
	text, err := m.mutated()
	if err != nil {
		return false, err
	}
	overlay, err := l.overlay(m.file, text)
	if err != nil {
		return false, err
	}
	out, err := l.test(ctx, m.pkg, m.tests, overlay)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err == nil:
		return false, nil
	case regexp.MustCompile(`\[build failed\]|\[setup failed\]|build gpu-hook: `).MatchString(out):
		return false, fmt.Errorf("it does not compile:\n%s", out)
	case !strings.Contains(out, "--- FAIL") && !strings.Contains(out, "panic: ") && !strings.Contains(out, "FAIL\t"):
		return false, fmt.Errorf("it was not tested: %w\n%s", err, out)
	}
	return true, nil
}

// overlay writes the mutated file and go's description of it.
func (l *lab) overlay(file, text string) (path string, err error) {
	mutated := filepath.Join(l.dir, "mutated.go")
	replace := map[string]map[string]string{"Replace": {filepath.Join(require.Tree(), file): mutated}}
	data, err := json.Marshal(replace)
	path = filepath.Join(l.dir, "overlay.json")
	return path, errors.Join(err, os.WriteFile(mutated, []byte(text), 0o600), os.WriteFile(path, data, 0o600))
}

// test runs tests with an overlay, if there is one, and returns their output.
func (l *lab) test(ctx context.Context, pkg, tests, overlay string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-failfast", "-timeout", patience.String(),
		"-run", "^("+tests+")$", "./"+pkg)
	cmd.Dir = require.Tree()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GPU_HOOK_TEST_BIN="+filepath.Join(l.dir, "bin"))
	if overlay != "" {
		cmd.Env = append(cmd.Env, "GOFLAGS=-overlay="+overlay)
	}
	// A mutant may leave processes behind that hold the output open.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
