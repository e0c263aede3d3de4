package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

func TestLocated(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "c", "status"), []byte(`{"pid":1,"bundle":"/noted"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, bundle string
		runtime      []string
		want         string
	}{
		{"as the state says", "/b", []string{"crun", "create", "--bundle", "/other", "c"}, "/b"},
		{"--bundle", "/", []string{"crun", "create", "--bundle", "/told", "c"}, "/told"},
		{"--bundle=", "/", []string{"crun", "create", "--bundle=/told", "c"}, "/told"},
		{"-b", "//", []string{"crun", "create", "-b", "/told", "c"}, "/told"},
		{"relative", "b", []string{"crun", "create", "-b", "/told", "c"}, "/told"},
		{"none", "", []string{"crun", "create", "-b", "/told", "c"}, "/told"},
		{"told the root", "/", []string{"crun", "create", "-b", "/", "c"}, "/"},
		{"of another container", "/", []string{"crun", "create", "-b", "/told", "d"}, "/"},
		{"noted", "/", []string{"crun", "--root", root, "create", "c"}, "/noted"},
		{"noted, and told a relative one", "/", []string{"crun", "--root=" + root, "create", "-b", "x", "c"}, "/noted"},
		{"nowhere", "/", []string{"crun", "--root", root + "/x", "create", "c"}, "/"},
		{"of a runtime with this name", "/", []string{"c", "create", "-b", "/told", "d"}, "/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := State{State: specs.State{ID: "c", Bundle: test.bundle}, Raw: []byte(`{"id":"c","bundle":"/","x":[1]}`)}
			got := s.Located(callerWith(test.runtime, nil))
			if got.Bundle != test.want {
				t.Errorf("bundle %q, want %q", got.Bundle, test.want)
			}
			raw := string(s.Raw)
			if got.Bundle != test.bundle {
				raw = `{"bundle":"` + test.want + `","id":"c","x":[1]}`
			}
			if string(got.Raw) != raw {
				t.Errorf("raw %s, want %s", got.Raw, raw)
			}
		})
	}
}

// Without a caller the state's bundle stays as it is.
func TestLocatedByNobody(t *testing.T) {
	s := State{State: specs.State{ID: "c", Bundle: "/"}}.Located(nil)
	if s.Bundle != "/" {
		t.Errorf("bundle %q", s.Bundle)
	}
	_, err := Load(s)
	wantError(t, err, fault.Bundle,
		`state on standard input: bundle "/" cannot be a bundle, and the runtime's command line names no other`)
}

func (s State) with(id string) State { s.ID = id; return s }

// An id with a slash in it does not lead to a status file elsewhere.
func TestLocatedKeepsToTheRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "status"), []byte(`{"bundle":"/noted"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"../" + filepath.Base(root), "a/.."} {
		crun := callerWith([]string{"crun", "--root", root, id}, nil)
		s := State{State: specs.State{Bundle: "/"}, Raw: []byte("{}")}.with(id).Located(crun)
		if s.Bundle != "/" {
			t.Errorf("%s: bundle %q", id, s.Bundle)
		}
	}
}

// Without an id no runtime is the container's, nor is a relative path in crun's note a bundle.
func TestCallerNamesNoBundle(t *testing.T) {
	root := t.TempDir()
	note := []byte(`{"bundle":"noted"}`)
	if err := errors.Join(os.Mkdir(root+"/c", 0o700), os.WriteFile(root+"/c/status", note, 0o600)); err != nil {
		t.Fatal(err)
	}
	for id, caller := range map[string]*Caller{
		"":  callerWith([]string{"crun", "create", "-b", "/told", ""}, nil),
		"c": callerWith([]string{"crun", "--root", root, "create", "c"}, nil),
	} {
		if got := caller.bundle(id); got != "" {
			t.Errorf("%q: %q", id, got)
		}
	}
}

// A note may be anything: what is no file does not hold the start, and of a large one only the beginning is read.
func TestReadSmall(t *testing.T) {
	dir := t.TempDir()
	large := make([]byte, limits.SmallFile+1)
	err := errors.Join(unix.Mkfifo(dir+"/fifo", 0o600), os.WriteFile(dir+"/large", large, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"fifo": 0, "large": limits.SmallFile} {
		if data, err := readSmall(filepath.Join(dir, name)); err != nil || len(data) != want {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}

func TestCallerOf(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	own, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	c := CallerOf(cmd.Process.Pid).read()
	// Until it has called execve the child shows this program's command line, and for a moment none.
	end := time.Now().Add(10 * time.Second)
	for (len(c.runtime) == 0 || c.runtime[0] != "sleep") && time.Now().Before(end) {
		c = CallerOf(cmd.Process.Pid).read()
	}
	if diff := cmp.Diff([]string{"sleep", "1000"}, c.runtime); diff != "" {
		t.Error(diff)
	}
	if len(c.launcher) != len(os.Args) || c.launcher[0] != os.Args[0] {
		t.Errorf("launcher %q, want %q", c.launcher, own)
	}
	if got := CallerOf(1 << 30).conmon("c"); got != nil {
		t.Errorf("of nobody: %v", got)
	}
	if got := CallerOf(1 << 30).bundle("c"); got != "" {
		t.Errorf("of nobody: %v", got)
	}
}
