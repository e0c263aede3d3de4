package rules

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// full is the rule for /dev/full.
func full() []Rule { return []Rule{{"c", 1, 7, "rw"}} }

// container is a container whose process is this one and whose config.json names this cgroup.
func container(pid int, cgroupsPath string) *Target {
	return &Target{
		Process:   &state.Process{PID: pid},
		Container: &state.Container{Spec: &specs.Spec{Linux: &specs.Linux{CgroupsPath: cgroupsPath}}},
	}
}

// Without rules nothing is looked at, nor in a user namespace, where the kernel takes no rules.
func TestAllowNothing(t *testing.T) {
	nobody := container(1<<30, "unit")
	if outcome, err := nobody.Allow(t.Context(), nil); err != nil || outcome.NoCgroup != nil {
		t.Errorf("without rules: %+v, %v", outcome, err)
	}
	nobody.Namespaced = true
	if outcome, err := nobody.Allow(t.Context(), full()); err != nil || outcome.NoCgroup != nil {
		t.Errorf("in a user namespace: %+v, %v", outcome, err)
	}
	nobody.Namespaced = false
	if _, err := nobody.Allow(t.Context(), full()); err == nil {
		t.Error("a process that is gone is no error")
	}
}

// A device is allowed by all programs of the container's own cgroups and of those above, or the start fails.
func TestAllow(t *testing.T) {
	allow := asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}
	for _, test := range []struct {
		name      string
		top, unit asm.Instructions
		flags     uint32 // of the unit's program
		opens     bool
		err       string
	}{
		{"the unit denies", allow, deny, unix.BPF_F_ALLOW_MULTI, true, ""},
		{"all allow", allow, allow, unix.BPF_F_ALLOW_MULTI, true, ""},
		{"the cgroup above denies", deny, deny, unix.BPF_F_ALLOW_MULTI, false, "which is not the container's own, denies"},
		{"the unit's program cannot be replaced", allow, deny, 0, false, "attach the extended program"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dirs := newCgroup(t, "unit")
			pid := catIn(t, dirs[1]).Process.Pid
			attach(t, dirs[0], load(t, test.top))
			attachWith(t, dirs[1], load(t, test.unit), test.flags)
			before := attached(t, dirs[1])
			outcome, err := container(pid, "unit").Allow(t.Context(), full())
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v", err)
			}
			if outcome.NoCgroup != nil || len(outcome.Notes) > 0 {
				t.Errorf("outcome: %+v", outcome)
			}
			if after := attached(t, dirs[1]); err != nil && !slices.Equal(before, after) {
				t.Errorf("the unit's programs %v became %v", before, after)
			}
			if got := tries(t, dirs[1], []string{": <>/dev/full"}); got[0] != test.opens {
				t.Errorf("opened: %v", got[0])
			}
		})
	}
}

func attachWith(t *testing.T, dir string, program *ebpf.Program, flags uint32) {
	t.Helper()
	err := link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(open(t, dir).Fd()), Program: program, Attach: ebpf.AttachCGroupDevice, Flags: flags,
	})
	if err != nil {
		require.Missing(t, "this test needs a kernel that attaches device programs: %v", err)
	}
}

// On a hybrid host a container has a cgroup of version 1 too, whose rules are set as well.
func TestAllowInVersion1(t *testing.T) {
	require.Root(t)
	mount, err := cgroupMount("cgroup", "devices")
	if err != nil {
		t.Fatal(err)
	}
	if mount.mountpoint == "" {
		t.Skip("this test needs control groups of version 1")
	}
	name := fmt.Sprintf("gpu-hook-test-allow-%d", os.Getpid())
	unit := filepath.Join(mount.mountpoint, name)
	makeV1(t, unit)
	if err := os.WriteFile(filepath.Join(unit, "devices.deny"), []byte("a"), 0); err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/bin/cat")
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = child.Process.Kill(), child.Wait() })
	procs := filepath.Join(unit, "cgroup.procs")
	if err := os.WriteFile(procs, []byte(strconv.Itoa(child.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	outcome, err := container(child.Process.Pid, "/"+name).Allow(t.Context(), full())
	if err != nil || outcome.NoCgroup != nil {
		t.Errorf("%+v, %v", outcome, err)
	}
	if list, err := os.ReadFile(filepath.Join(unit, "devices.list")); err != nil || string(list) != "c 1:7 rw\n" {
		t.Errorf("it lists %q, %v", list, err)
	}
}

// A cgroup that gpu-hook is in as well is not the container's own, whatever config.json says.
func TestOurOwnCgroup(t *testing.T) {
	dirs := newCgroup(t, "unit")
	groups, err := cgroups(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	mount, err := cgroupMount("cgroup2", "")
	if err != nil {
		t.Fatal(err)
	}
	home, err := mount.dir(groups[""])
	if err != nil {
		t.Fatal(err)
	}
	move := func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err := move(dirs[1]); err != nil {
		require.Missing(t, "this test needs to change its cgroup: %v", err)
	}
	t.Cleanup(func() {
		if err := move(home); err != nil {
			t.Error(err)
		}
	})
	if own, err := container(os.Getpid(), "unit").ownCgroup("", "cgroup2"); err != nil || own != (ownGroup{}) {
		t.Errorf("got %+v, %v", own, err)
	}
}

// A container's cgroup may hold its first process and that one's children. One that this pid namespace does not show,
// 0, is somebody else's; one that has ended is nobody's.
func TestHasOthers(t *testing.T) {
	self, parent, gone := os.Getpid(), os.Getppid(), 1<<30
	for _, test := range []struct {
		name  string
		procs []int
		pid   int
		want  bool
	}{
		{"nobody", nil, parent, false},
		{"the process", []int{parent}, parent, false},
		{"with its child", []int{parent, self}, parent, false},
		{"with its parent", []int{parent, self}, self, true},
		{"with one that has ended", []int{parent, gone}, parent, false},
		{"with one that is not shown", []int{parent, 0}, parent, true},
		{"a child whose parent's pid begins the same", []int{self}, parent / 10, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			var text strings.Builder
			for _, pid := range test.procs {
				fmt.Fprintln(&text, pid)
			}
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := hasOthers(dir, test.pid); err != nil || got != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := hasOthers(t.TempDir(), self); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a list: %v", err)
	}
}

// A bus that never answers is given up, also by a caller without a deadline.
func TestSilentBusWithoutADeadline(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*systemdTimeout)
	defer cancel()
	_, err = tellScope(ctx, []endpoint{{socket, true}}, nil, "/machine.slice/libpod-1.scope", nil)
	if err == nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// A program that has been detached and is gone since denies nothing.
func TestProgramThatIsGone(t *testing.T) {
	require.Root(t)
	if ok, err := judge(1<<30, full()); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

// A pin of another kind of program stays as it is, whatever its name.
func TestRepinOtherKinds(t *testing.T) {
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
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupSKB, AttachType: ebpf.AttachCGroupInetEgress, License: "Apache-2.0", Instructions: deny,
	})
	if err != nil {
		require.Missing(t, "this test needs a kernel that loads programs for control groups: %v", err)
	}
	defer program.Close()
	pin := dir + "/crun-1_scope"
	if err := program.Pin(pin); err != nil {
		t.Fatal(err)
	}
	err = repin(pin, "/system.slice/crun-1.scope", full(), nil)
	if err == nil || !strings.Contains(err.Error(), program.Type().String()) {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left: %v %v", entries, err)
	}
}
