package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// script is a program of root's with this text, in a directory that nobody else may change.
func script(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	require.Root(t)
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAsk(t *testing.T) {
	t.Setenv("SECRET", "x")
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		want       string
		fails      bool
	}{
		{"it answers", `echo "version $1"; echo more >&2`, 0o755, "version 1.2\nmore", false},
		{"nothing of ours is its", `echo "$SECRET $(pwd) $LC_ALL"; cat`, 0o755, "/ C", false},
		{"it fails", "echo no driver; exit 3", 0o755, "no driver", true},
		{"it says too much", "head -c 100000 /dev/zero | tr '\\0' x", 0o755, strings.Repeat("x", maxSaid), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Ask(script(t, test.text, test.mode), "1.2")
			if got != test.want || (err != nil) != test.fails || errors.Is(err, ErrNoAnswer) {
				t.Errorf("%.80q, %v", got, err)
			}
		})
	}
}

// Of a program that must not be run, or does not end, nothing is known, and what it has started ends with it.
func TestNoAnswer(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "ran")
	for name, program := range map[string]string{
		"anybody's": script(t, "touch "+marker, 0o777), "not there": "/nowhere/x", "no program": script(t, "x", 0o644),
	} {
		if said, err := Ask(program); !errors.Is(err, ErrNoAnswer) || said != "" {
			t.Errorf("%s: %q, %v", name, said, err)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("it was run")
	}
	began := time.Now()
	said, err := Ask(script(t, "echo a; sleep 60 & sleep 60", 0o755))
	if took := time.Since(began); !errors.Is(err, ErrNoAnswer) || said != "" || took > 10*time.Second {
		t.Errorf("%q, %v after %v", said, err, took)
	}
}
