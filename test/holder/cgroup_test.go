package holder

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	attach "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// group is a container's own cgroup, in which it can open 1:3 alone, as far as this test cares.
type group struct {
	version   int
	name, dir string
	temp      string
}

// enter makes /sys/fs/cgroup what it is on a host of this version, in a mount namespace of the calling thread.
func (g *group) enter() error {
	if g.version == 1 {
		return nil
	}
	return errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS),
		exec.Command("/bin/sh", "-c", "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup").Run())
}

func newGroup(t *testing.T, version int) *group {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '_' {
			return '-'
		}
		return r
	}, t.Name())
	g := &group{version: version, name: fmt.Sprintf("/gpu-hook-%d-%s", os.Getpid(), name), temp: t.TempDir()}
	switch here := require.Cgroup(t); {
	case version == 1 && here == 2:
		require.Missing(t, "this host has no cgroup version 1")
	case version == 1:
		g.dir = "/sys/fs/cgroup/devices" + g.name
	case here == 2:
		g.dir = "/sys/fs/cgroup" + g.name
	default:
		g.dir = "/sys/fs/cgroup/unified" + g.name
	}
	return g
}

// make makes the cgroup, with a process in it.
func (g *group) make(t *testing.T, pid int) {
	t.Helper()
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if g.version == 1 {
		g.write(t, "devices.deny", "a")
		g.write(t, "devices.allow", "c 1:3 rwm")
	} else {
		g.restrict(t)
	}
	g.write(t, "cgroup.procs", fmt.Sprint(pid))
}

func (g *group) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// restrict attaches a program that allows 1:3 alone.
func (g *group) restrict(t *testing.T) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 4, asm.Word), asm.LoadMem(asm.R3, asm.R1, 8, asm.Word),
			asm.Mov.Imm(asm.R0, 0), asm.JNE.Imm(asm.R2, 1, "end"), asm.JNE.Imm(asm.R3, 3, "end"),
			asm.Mov.Imm(asm.R0, 1), asm.Return().WithSymbol("end"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	cgroup, err := os.Open(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	if err := attach.RawAttachProgram(attach.RawAttachProgramOptions{
		Target: int(cgroup.Fd()), Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI,
	}); err != nil {
		t.Fatal(err)
	}
}

// allows reports whether a process in the cgroup can open the character device 1:minor for reading.
func (g *group) allows(t *testing.T, minor int) bool {
	t.Helper()
	if g.version == 1 {
		data, err := os.ReadFile(filepath.Join(g.dir, "devices.list"))
		if err != nil {
			t.Fatal(err)
		}
		list := "\n" + string(data)
		return strings.Contains(list, fmt.Sprintf("\nc 1:%d ", minor)) || strings.Contains(list, ":* ")
	}
	node := filepath.Join(g.temp, fmt.Sprint(minor))
	if err := unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(minor)))); err != nil &&
		!errors.Is(err, unix.EEXIST) {
		t.Fatal(err)
	}
	return exec.Command("/bin/sh", "-c", `echo $$ >"$1/cgroup.procs"; : <"$2"`, "sh", g.dir, node).Run() == nil
}

// remove removes the cgroup once its last process has ended.
func (g *group) remove(t *testing.T) {
	t.Helper()
	var err error
	for range 6000 {
		if err = unix.Rmdir(g.dir); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("remove %s: %v", g.dir, err)
}
