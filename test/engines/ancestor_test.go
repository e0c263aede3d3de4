package engines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// gpu-hook does not change a cgroup above the container's that denies the device. The start fails, and the message
// names that cgroup.
func TestAncestorDenies(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			above := s.strict()
			b := asks("device=0")
			b.Edit = func(config map[string]any) {
				config["linux"].(map[string]any)["cgroupsPath"] = "/" + filepath.Base(above) + "/container"
			}
			s.refused(e, e.run(s, b), "E-CGROUP", above, "not the container's own")
		})
	}
}

// A node that the container can do without does not keep it from starting if a cgroup above denies it.
func TestAncestorDeniesOptionalNode(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			spec := strings.ReplaceAll(`
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits: {deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/zero}]}
containerEdits:
  deviceNodes:
  - {path: /dev/nvidia-modeset, hostPath: HOST/dev/nvidia1}
`, "HOST", s.Host.Dir)
			if err := s.Host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
				t.Fatal(err)
			}
			above := s.strict()
			b := asks("device=0")
			b.Edit = func(config map[string]any) {
				config["linux"].(map[string]any)["cgroupsPath"] = "/" + filepath.Base(above) + "/container"
			}
			b.Args = []string{"sh", "-c", "(: >/dev/nvidia0) && echo zero open; (: >/dev/nvidia-modeset) || echo modeset denied"}
			e.run(s, b).has(t, "zero open", "modeset denied")
			r := s.last()
			if n := warned(r, "W-SKIPPED"); n != 1 || r.Edits.DeviceNodes[0].Status != devices.Skipped {
				t.Errorf("%d left out: %+v", n, r.Warnings)
			}
		})
	}
}

// strict makes a cgroup that denies the GPU, as one with only the rules that runtimes set by default does. It returns
// the cgroup's directory.
func (s *site) strict() string {
	s.t.Helper()
	dir := "/sys/fs/cgroup/devices/" + s.ID()
	if require.Cgroup(s.t) == 2 {
		dir = "/sys/fs/cgroup/" + s.ID()
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		// The runtime has made the cgroup in the other hierarchies.
		if err := engine.RemoveCgroups("/" + s.ID()); err != nil {
			s.t.Error(err)
		}
	})
	if require.Cgroup(s.t) == 2 {
		s.denyGPU(dir)
		return dir
	}
	rules := []string{"devices.deny a"}
	for _, allowed := range []string{
		"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
		"c 5:0 rwm", "c 5:2 rwm", "c 10:200 rwm", "c 136:* rwm",
	} {
		rules = append(rules, "devices.allow "+allowed)
	}
	for _, line := range rules {
		file, text, _ := strings.Cut(line, " ")
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

func (s *site) denyGPU(dir string) {
	s.t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 4, asm.Word),
			asm.LoadMem(asm.R3, asm.R1, 8, asm.Word),
			asm.Mov.Imm(asm.R0, 1),
			asm.JNE.Imm(asm.R2, gpuhost.Major, "end"),
			asm.JNE.Imm(asm.R3, gpuhost.Minor, "end"),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return().WithSymbol("end"),
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer program.Close()
	cgroup, err := os.Open(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cgroup.Close()
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(cgroup.Fd()), Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI,
	}); err != nil {
		s.t.Fatal(err)
	}
}
