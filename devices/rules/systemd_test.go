package rules

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestSystemScope(t *testing.T) {
	for group, want := range map[string]bool{
		"/machine.slice/libpod-1.scope":                                           true,
		"/user.slice/user-1000.slice/session-3.scope":                             true,
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-1.scope": false,
		"/machine.slice/libpod-1":                                                 false,
		"/system.slice/a.service":                                                 false,
		"":                                                                        false,
	} {
		if got := systemScope(group); got != want {
			t.Errorf("%q: got %v", group, got)
		}
	}
}

func TestPolicyLists(t *testing.T) {
	for _, test := range []struct {
		policy policy
		want   bool
	}{
		{policy{device: "auto"}, false},
		{policy{}, false},
		{policy{device: "auto", programs: []pair{{"device", "/sys/fs/bpf/x"}}}, false},
		{policy{device: "auto", allow: []pair{{"/dev/null", "rw"}}}, true},
		{policy{device: "closed"}, true},
		{policy{device: "strict"}, true},
	} {
		if got := test.policy.lists(); got != test.want {
			t.Errorf("%+v: got %v", test.policy, got)
		}
	}
}

// A new entry replaces an old one of the same path, so it keeps the old one's permissions.
func TestPolicyMissing(t *testing.T) {
	p := policy{allow: []pair{{"char-pts", "rwm"}, {"/dev/char/1:7", "rwm"}, {"/dev/char/1:9", "m"}}}
	for _, test := range []struct {
		name  string
		rules []Rule
		want  []pair
	}{
		{"none", nil, nil},
		{"a new one", []Rule{{"c", 195, 0, "rw"}}, []pair{{"/dev/char/195:0", "rw"}}},
		{"a block device", []Rule{{"b", 1, 7, "r"}}, []pair{{"/dev/block/1:7", "r"}}},
		{"given", []Rule{{"c", 1, 7, "rw"}}, nil},
		{"given in part", []Rule{{"c", 1, 9, "wr"}}, []pair{{"/dev/char/1:9", "rwm"}}},
		{"twice", []Rule{{"c", 195, 0, "r"}, {"c", 195, 0, "wm"}, {"c", 195, 0, "r"}}, []pair{{"/dev/char/195:0", "rwm"}}},
	} {
		if diff := cmp.Diff(test.want, p.missing(test.rules)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestPairs(t *testing.T) {
	want := []pair{{"device", "/sys/fs/bpf/x"}, {"", "rw"}}
	if diff := cmp.Diff(want, pairs([][]any{{"device", "/sys/fs/bpf/x"}, {1, "rw"}, {"alone"}})); diff != "" {
		t.Error(diff)
	}
	if got := pairs("something else"); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestPins(t *testing.T) {
	p := policy{programs: []pair{{"egress", "/sys/fs/bpf/a"}, {"device", "/sys/fs/bpf/b"}, {"device", "/sys/fs/bpf/c"}}}
	if diff := cmp.Diff([]string{"/sys/fs/bpf/b", "/sys/fs/bpf/c"}, p.pins()); diff != "" {
		t.Error(diff)
	}
}

// A pin that other units may use is not changed, and not even opened.
func TestRepinOthers(t *testing.T) {
	for _, pin := range []string{"/sys/fs/bpf/all", "/sys/fs/bpf/crun-2_scope", "/sys/fs/bpf/crun-1_scope/x"} {
		err := repin(pin, "/system.slice/crun-1.scope", nil, nil)
		if fmt.Sprint(err) != "it does not bear the unit's name, so other units may use it too, and it stays as it is" {
			t.Errorf("%s: %v", pin, err)
		}
	}
}

// A pin is made to name the extended program, and on error names the old one still.
func TestRepin(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		require.Missing(t, "this test needs a bpf filesystem: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Dir(dir), 0) })
	dir += "/crun"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pin, unit := dir+"/crun-1_scope", "/system.slice/crun-1.scope"
	if err := load(t, deny).Pin(pin); err != nil {
		t.Fatal(err)
	}
	named := func() ebpf.ProgramID {
		t.Helper()
		program, err := ebpf.LoadPinnedProgram(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		id, err := programID(program)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	full, ctl := []Rule{{"c", 1, 7, "rw"}}, []Rule{{"c", 5, 1, "rw"}}
	first := named()
	if err := repin(pin, unit, full, nil); err != nil {
		t.Fatal(err)
	}
	second := named()
	if ok, err := judge(second, full); !ok || err != nil || second == first {
		t.Errorf("the pin does not allow the rule: %v", err)
	}
	if err := repin(pin, unit, full, nil); err != nil || named() != second {
		t.Errorf("pinned again without need: %v", err)
	}
	attached := load(t, prepend(ctl, deny))
	third, err := programID(attached)
	if err != nil {
		t.Fatal(err)
	}
	if err := repin(pin, unit, ctl, replacements{second: third}); err != nil || named() != third {
		t.Errorf("not the program that is attached: %v", err)
	}
	if err := attached.Pin(fmt.Sprintf("%s-gpu-hook-%d", pin, os.Getpid())); err != nil {
		t.Fatal(err)
	}
	if err := repin(pin, unit, full, nil); err == nil || named() != third {
		t.Errorf("the old pin does not stay: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left: %v %v", entries, err)
	}
}

// A bus that accepts the connection and never answers does not hold up the start.
func TestSilentBus(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := tellScope(ctx, []endpoint{{socket, true}}, nil, "/machine.slice/libpod-1.scope", nil)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits")
	}
}
