package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// node makes the GPU's device node in the scope's container without gpu-hook.
func (s *site) node(scope string) {
	s.t.Helper()
	procs, err := os.ReadFile(s.group(scope) + "/cgroup.procs")
	if err != nil {
		s.t.Fatal(err)
	}
	root := "/proc/" + strings.Fields(string(procs))[0] + "/root"
	if err := os.Remove(root + gpu); err != nil {
		s.t.Fatal(err)
	}
	if err := unix.Mknod(root+gpu, unix.S_IFCHR|0o666, int(unix.Mkdev(gpuhost.Major, gpuhost.Minor))); err != nil {
		s.t.Fatal(err)
	}
}

// answer loads a device program that returns gpu for opening the GPU, and does what rest does for everything else.
func (s *site) answer(gpu int32, rest asm.Instructions) *ebpf.Program {
	s.t.Helper()
	rest[0] = rest[0].WithSymbol("rest")
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0",
		Instructions: append(asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 4, asm.Word),
			asm.JNE.Imm(asm.R2, gpuhost.Major, "rest"),
			asm.LoadMem(asm.R2, asm.R1, 8, asm.Word),
			asm.JNE.Imm(asm.R2, gpuhost.Minor, "rest"),
			asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
			asm.And.Imm32(asm.R2, (unix.BPF_DEVCG_ACC_READ|unix.BPF_DEVCG_ACC_WRITE)<<16),
			asm.JEq.Imm(asm.R2, 0, "rest"),
			asm.Mov.Imm(asm.R0, gpu),
			asm.Return(),
		}, rest...),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { program.Close() })
	return program
}

// programs returns the device programs that are attached to the cgroup. Version 1 has none.
func (s *site) programs(group string) []ebpf.ProgramID {
	s.t.Helper()
	if s.v1 {
		return nil
	}
	cgroup, err := os.Open(group)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cgroup.Close()
	attached, err := link.QueryPrograms(link.QueryOptions{Target: int(cgroup.Fd()), Attach: ebpf.AttachCGroupDevice})
	if err != nil {
		s.t.Fatal(err)
	}
	var ids []ebpf.ProgramID
	for _, p := range attached.Programs {
		ids = append(ids, p.ID)
	}
	return ids
}

// open allows the GPU in the cgroup without telling systemd, as some hooks do: by a rule, or by extending the only
// program.
func (s *site) open(group string) {
	s.t.Helper()
	if s.v1 {
		if err := os.WriteFile(group+"/devices.allow", []byte("c 1:11 rw"), 0); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	ids := s.programs(group)
	if len(ids) != 1 {
		s.t.Fatalf("programs: %v", ids)
	}
	cgroup, err := os.Open(group)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cgroup.Close()
	old, err := ebpf.NewProgramFromID(ids[0])
	if err != nil {
		s.t.Fatal(err)
	}
	defer old.Close()
	info, err := old.Info()
	if err != nil {
		s.t.Fatal(err)
	}
	instructions, err := info.Instructions()
	if err != nil {
		s.t.Fatal(err)
	}
	var bare asm.Instructions
	for _, i := range instructions {
		bare = append(bare, asm.Instruction{OpCode: i.OpCode, Dst: i.Dst, Src: i.Src, Offset: i.Offset, Constant: i.Constant})
	}
	err = link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(cgroup.Fd()), Program: s.answer(1, bare), Attach: ebpf.AttachCGroupDevice,
		Flags: unix.BPF_F_ALLOW_MULTI, Anchor: link.ReplaceProgram(old),
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// crun 1.23 and newer give their scope a pinned program instead of a list of devices, and put the container into a
// cgroup below it. This test makes such a scope with a container of runc in it.
func (s *site) inScopeWithProgram(pin string) (c *engine.Running, scope string) {
	s.t.Helper()
	scope = "crun-" + s.ID() + ".scope"
	pin = "/sys/fs/bpf/crun/" + pin
	if err := os.MkdirAll(s.path(filepath.Dir(pin)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := s.answer(0, asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}).Pin(s.path(pin)); err != nil {
		s.t.Fatal(err)
	}
	dir, err := s.Bundle(gpuhost.Bundle{
		Args: []string{"sh", "-c", engine.Tries}, Annotations: map[string]string{"gpu-hook/gpus": "device=0"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	run := s.RuncCommand("runc", "run", "--bundle", dir, s.ID())
	start := fmt.Sprintf(`busctl --quiet call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
		org.freedesktop.systemd1.Manager StartTransientUnit 'ssa(sv)a(sa(sv))' \
		%s replace 2 PIDs au 1 $$ BPFProgram 'a(ss)' 1 device %s 0
until grep -q %[1]s /proc/$$/cgroup; do :; done
mkdir /sys/fs/cgroup/system.slice/%[1]s/runtime
echo $$ >/sys/fs/cgroup/system.slice/%[1]s/runtime/cgroup.procs
exec "$@"`, scope, pin)
	return s.start(s.inside(append([]string{"sh", "-euc", start, "sh"}, run...)...)), scope
}

func pinnedName(s *site) string { return strings.ReplaceAll("crun-"+s.ID()+".scope", ".", "_") }

func pinned(t *testing.T, s *site) {
	c, scope := s.inScopeWithProgram(pinnedName(s))
	s.is(c, "at first", "open")
	s.do("systemctl", "daemon-reload")
	s.is(c, "after daemon-reload", "open")
	s.warns(false)
	list := s.do("systemctl", "show", "--property", "DeviceAllow", "--property", "DevicePolicy", scope)
	if list != "DevicePolicy=auto" {
		t.Errorf("the scope came to have a list: %s", list)
	}
	if pins, err := os.ReadDir(s.path("/sys/fs/bpf/crun")); err != nil || len(pins) != 1 {
		t.Errorf("pins: %v, %v", pins, err)
	}
	if err := os.RemoveAll(s.path("/sys/fs/bpf/crun")); err != nil {
		t.Error(err)
	}
}

func pinnedForOthers(t *testing.T, s *site) {
	c, _ := s.inScopeWithProgram("others")
	s.is(c, "at first", "open")
	s.warns(true)
	s.do("systemctl", "daemon-reload")
	s.is(c, "after daemon-reload", "denied")
}
