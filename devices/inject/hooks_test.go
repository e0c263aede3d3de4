package inject

import (
	"path"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// A container that shares the host's network, as with --network host, has no network namespace to join.
func TestNamespacesOfOursAreNotJoined(t *testing.T) {
	require.Root(t)
	for _, test := range []struct {
		name  string
		flags uintptr
		want  []string
	}{
		{"shares all but its mounts", unix.CLONE_NEWNS, []string{"mnt"}},
		{
			"shares its network", unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
			[]string{"ipc", "uts", "cgroup", "mnt"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := &Target{Process: waiting(t, test.flags)}
			namespaces, err := target.namespaces()
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll(namespaces)
			var got []string
			for _, ns := range namespaces {
				got = append(got, path.Base(ns.Name()))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("joins %v, not %v", got, test.want)
			}
		})
	}
}

// waiting starts a process in new namespaces, which waits until the test ends.
func waiting(t *testing.T, flags uintptr) *state.Process {
	t.Helper()
	return waitingIn(t, &syscall.SysProcAttr{Cloneflags: flags})
}
