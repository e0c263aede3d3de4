package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestListed(t *testing.T) {
	const list = "c 1:3 rwm\nc 195:* rwm\nc 195:1 rw\nb 7:0 r\ngarbage\nb *:* m\n"
	for _, test := range []struct {
		list string
		rule Rule
		want bool
	}{
		{list, Rule{"c", 195, 1, "rw"}, true},
		{list, Rule{"c", 195, 1, "wr"}, true},
		{list, Rule{"c", 195, 1, "r"}, true},
		{list, Rule{"c", 195, 1, "rwm"}, false},
		{list, Rule{"c", 195, 11, "rw"}, false},
		{list, Rule{"c", 1, 1, "rw"}, false},
		{list, Rule{"b", 195, 1, "rw"}, false},
		{list, Rule{"b", 7, 0, "r"}, true},
		{list, Rule{"b", 8, 1, "m"}, true},
		{list, Rule{"b", 8, 1, "rm"}, false},
		{list, Rule{"c", 8, 1, "m"}, false},
		{"a *:* rwm\n", Rule{"c", 195, 1, "rwm"}, true},
		{"a *:* rwm\n", Rule{"b", 7, 0, "r"}, true},
		{"", Rule{"c", 195, 1, "r"}, false},
	} {
		if got := listed(test.list, test.rule); got != test.want {
			t.Errorf("%s: got %v", test.rule, got)
		}
	}
}

func TestAllowV1(t *testing.T) {
	for _, test := range []struct{ name, list, err string }{
		{"listed", "c 195:0 rw\nc 195:255 rw\n", ""},
		{
			"the kernel keeps one back", "c 195:0 rw\n",
			"allow c 195:255 rw: the kernel accepted the rule, but does not list it",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"devices.allow": "", "devices.list": test.list} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := allowV1(ownGroup{dir: dir, unitDir: dir, mountpoint: dir}, []Rule{{"c", 195, 0, "rw"}, {"c", 195, 255, "rw"}})
			if got := fmt.Sprint(err); (test.err == "") != (err == nil) || (err != nil && got != test.err) {
				t.Error(err)
			}
			if last, err := os.ReadFile(filepath.Join(dir, "devices.allow")); err != nil || string(last) != "c 195:255 rw" {
				t.Errorf("wrote %q, %v", last, err)
			}
		})
	}
	nothing := t.TempDir() + "/nothing"
	if err := allowV1(ownGroup{dir: nothing, unitDir: nothing, mountpoint: nothing},
		[]Rule{{"c", 195, 0, "rw"}}); err == nil {
		t.Error("a cgroup that is not there is no error")
	}
}

// If the cgroup above refuses one rule, none of the others stays.
func TestRefusedRulesAreTakenBack(t *testing.T) {
	require.Root(t)
	mount, err := cgroupMount("cgroup", "devices")
	if err != nil {
		t.Fatal(err)
	}
	if mount.mountpoint == "" {
		t.Skip("this test needs control groups of version 1")
	}
	for _, before := range []string{"", "c 195:0 r\n"} {
		t.Run(before, func(t *testing.T) {
			above := filepath.Join(mount.mountpoint, fmt.Sprintf("gpu-hook-test-v1-%d", os.Getpid()))
			unit := filepath.Join(above, "unit")
			for _, w := range []struct{ dir, file, rule string }{
				{above, "", ""},
				{above, "devices.deny", "a"},
				{above, "devices.allow", "c 195:0 rw"},
				{unit, "", ""},
				{unit, "devices.deny", "a"},
				{unit, "devices.allow", before},
			} {
				switch {
				case w.file == "":
					makeV1(t, w.dir)
				case w.rule != "":
					if err := os.WriteFile(filepath.Join(w.dir, w.file), []byte(w.rule), 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := allowV1(ownGroup{dir: unit, unitDir: unit, mountpoint: mount.mountpoint},
				[]Rule{{"c", 195, 0, "rw"}, {"c", 195, 1, "rw"}}); err == nil {
				t.Error("the kernel took a rule that the cgroup above does not have")
			}
			if list, err := os.ReadFile(filepath.Join(unit, "devices.list")); err != nil || string(list) != before {
				t.Errorf("it lists %q now: %v", list, err)
			}
		})
	}
}

func makeV1(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		require.Missing(t, "this test needs a writable hierarchy: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Rmdir(dir); err != nil {
			t.Error(err)
		}
	})
}
