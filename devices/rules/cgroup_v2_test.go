package rules

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// load loads a device program, as a runtime would.
func load(t *testing.T, instructions asm.Instructions) *ebpf.Program {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice,
		License: "Apache-2.0", Instructions: instructions,
	})
	if err != nil {
		require.Missing(t, "this test needs a kernel that loads device programs: %v", err)
	}
	t.Cleanup(func() { program.Close() })
	return program
}

// newCgroup makes a cgroup of version 2 and, in it, a chain of cgroups with the given names. The test's end removes
// them.
func newCgroup(t *testing.T, below ...string) (dirs []string) {
	t.Helper()
	require.Root(t)
	mount, err := cgroupMount("cgroup2", "")
	if err != nil {
		t.Fatal(err)
	}
	if mount.mountpoint == "" {
		require.Missing(t, "this test needs a mounted cgroup2 hierarchy")
	}
	dir := filepath.Join(mount.mountpoint,
		fmt.Sprintf("gpu-hook-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")))
	if err := os.Mkdir(dir, 0o755); err != nil {
		require.Missing(t, "this test needs a writable cgroup2 hierarchy: %v", err)
	}
	dirs = append(dirs, dir)
	t.Cleanup(func() {
		for _, dir := range slices.Backward(dirs) {
			// The kernel may still be letting go of a child that was waited for.
			for range 500 {
				if err = unix.Rmdir(dir); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if err != nil {
				t.Errorf("remove %s: %v", dir, err)
			}
		}
	})
	for _, name := range below {
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

func attach(t *testing.T, dir string, program *ebpf.Program) {
	t.Helper()
	cgroup := open(t, dir)
	err := link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(cgroup.Fd()), Program: program,
		Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI,
	})
	if err != nil {
		require.Missing(t, "this test needs a kernel that attaches device programs: %v", err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func attached(t *testing.T, dir string) []ebpf.ProgramID {
	t.Helper()
	ids, err := attachedTo(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// tries runs each command in the cgroup and returns which of them succeeded.
func tries(t *testing.T, dir string, commands []string) []bool {
	t.Helper()
	var did []bool
	for _, command := range commands {
		cmd := exec.Command("/bin/sh", "-c", command)
		cmd.Dir = t.TempDir()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(open(t, dir).Fd())}
		did = append(did, cmd.Run() == nil)
	}
	return did
}

// The kernel accepts and obeys the extended programs. Of the three nested cgroups the uppermost is not the container's.
func TestAllowV2(t *testing.T) {
	dirs := newCgroup(t, "unit", "leaf")
	top, unit, leaf := dirs[0], dirs[1], dirs[2]
	allowNull := prepend([]Rule{{"c", 1, 3, "rwm"}}, deny)
	allowAll := asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}
	attach(t, top, load(t, allowAll))
	attach(t, unit, load(t, allowNull))
	attach(t, leaf, load(t, allowAll))
	attach(t, leaf, load(t, allowNull))
	before := attached(t, top)
	commands := []string{
		": </dev/null", "mknod x c 1 3", "mknod x c 1 4",
		": </dev/zero", ": >/dev/zero", "mknod x c 1 5", "mknod x b 1 5",
		": </dev/full", ": >/dev/full", ": <>/dev/full",
		"mknod x b 7 99", "mknod x c 7 99", "mknod x b 7 98",
	}
	for _, test := range []struct {
		name  string
		rules []Rule
		want  []bool
	}{
		{"at first", nil, []bool{true, true, false, false, false, false, false, false, false, false, false, false, false}},
		{
			"extended",
			[]Rule{{"c", 1, 5, "rw"}, {"b", 7, 99, "m"}},
			[]bool{true, true, false, true, true, false, false, false, false, false, true, false, false},
		},
		{
			"extended again",
			[]Rule{{"c", 1, 7, "r"}},
			[]bool{true, true, false, true, true, false, false, true, false, false, true, false, false},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.rules != nil {
				if _, err := allowV2(ownGroup{dir: leaf, unitDir: unit, mountpoint: top}, test.rules); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.want, tries(t, leaf, commands)); diff != "" {
				t.Errorf("of %q: %s", commands, diff)
			}
			if got := []int{len(attached(t, unit)), len(attached(t, leaf))}; !slices.Equal(got, []int{1, 2}) {
				t.Errorf("programs in unit and leaf: %v", got)
			}
		})
	}
	if after := attached(t, top); !slices.Equal(before, after) {
		t.Errorf("programs %v of a cgroup above the unit became %v", before, after)
	}
}

func TestAllowV2AddsNothing(t *testing.T) {
	dirs := newCgroup(t, "unit")
	own := ownGroup{dir: dirs[1], unitDir: dirs[1], mountpoint: dirs[0]}
	if _, err := allowV2(own, []Rule{{"c", 1, 5, "rw"}}); err != nil {
		t.Fatal(err)
	}
	if got := attached(t, dirs[1]); len(got) > 0 {
		t.Errorf("a cgroup without a program came to have %v", got)
	}
}
