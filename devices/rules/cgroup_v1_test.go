package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// Where the cgroup above refuses one rule, none of the others stays.
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
			if err := allowV1(ownGroup{dir: unit, unitDir: unit, mountpoint: mount.mountpoint}, []Rule{{"c", 195, 0, "rw"}, {"c", 195, 1, "rw"}}); err == nil {
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
