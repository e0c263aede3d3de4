package engines

import (
	"os"
	"os/exec"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// On version 2 the runtime's device program is replaced: one program stays attached, in the way the runtime attached
// it, instead of two.
func TestOneDeviceProgramStays(t *testing.T) {
	if require.Cgroup(t) != 2 {
		t.Log("version 1 has no programs; the run on version 2 tests this")
		return
	}
	s := newSite(t)
	b := asks("device=0")
	b.Args = []string{"sleep", "600"}
	group := "/" + s.ID()
	b.Edit = func(config map[string]any) { config["linux"].(map[string]any)["cgroupsPath"] = group }
	programs := func(b gpuhost.Bundle) int {
		dir, err := s.Bundle(b)
		if err != nil {
			t.Fatal(err)
		}
		runc := func(args ...string) {
			argv := s.RuncCommand("runc", args...)
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Dir = dir
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
		}
		runc("run", "--detach", s.ID())
		defer runc("delete", "--force", s.ID())
		cgroup, err := os.Open("/sys/fs/cgroup" + group)
		if err != nil {
			t.Fatal(err)
		}
		defer cgroup.Close()
		result, err := link.QueryPrograms(link.QueryOptions{Target: int(cgroup.Fd()), Attach: ebpf.AttachCGroupDevice})
		if err != nil {
			t.Fatal(err)
		}
		return len(result.Programs)
	}
	with := programs(b)
	b.Annotations = nil
	if without := programs(b); with != 1 || without != 1 {
		t.Errorf("%d device programs with a GPU, %d without", with, without)
	}
}
