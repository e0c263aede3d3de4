package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOptionOfCaller(t *testing.T) {
	c := caller{args: []string{"crun", "--log-format=json", "--log", "/a", "create", "--log=/b", "--log-format"}}
	for name, want := range map[string]string{"--log": "/b", "--log-format": "json", "--root": ""} {
		if got := c.option(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// gpu-hook writes only to a pipe or a terminal, and to a log that is a regular file and not a link.
func TestOnlyPipesAndLogs(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "fd/2")
	if err := os.Mkdir(filepath.Join(dir, "fd"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(file, []byte("kept"), 0o600), os.Symlink(file, link), os.Symlink(file, pipe),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := (caller{dir: dir}).write("text"); err == nil {
		t.Error("it writes to a file")
	}
	if err := (caller{args: []string{"crun", "--log-format=json", "--log", link}}).log("text"); err == nil {
		t.Error("it follows a link")
	}
	if err := (caller{args: []string{"crun", "--log", file}}).log("text"); err == nil {
		t.Error("it writes JSON into a log of text")
	}
	if data, _ := os.ReadFile(file); string(data) != "kept" {
		t.Errorf("the file holds %q", data)
	}
	// A pipe that nobody reads must not block the hook.
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (caller{dir: dir}).write("text"); err == nil {
		t.Error("it writes to a pipe without a reader")
	}
	if err := (caller{args: []string{"crun", "--log-format=json", "--log", file}}).log("a\nb\n"); err != nil {
		t.Error(err)
	}
}
