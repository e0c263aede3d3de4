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
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestRules(t *testing.T) {
	node := func(kind string, minor int64, permissions string, status devices.Status) *devices.DeviceNode {
		return &devices.DeviceNode{Type: kind, Major: 195, Minor: minor, Permissions: permissions, Status: status}
	}
	got := Of([]*devices.DeviceNode{
		node("c", 0, "rw", devices.Applied), node("c", 0, "rw", devices.Present), node("c", 0, "rwm", devices.Applied),
		node("b", 0, "rw", devices.Applied), node("p", 0, "rw", devices.Applied), node("", 0, "rw", devices.Applied),
		node("c", 1, "", devices.Applied), node("c", 2, "r", devices.Failed), node("c", 3, "r", devices.Apply),
	})
	want := []string{"c 195:0 rw", "c 195:0 rwm", "b 195:0 rw", "c 195:3 r"}
	var text []string
	for _, r := range got {
		text = append(text, r.String())
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
}

func TestMissingRules(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	node := []*devices.DeviceNode{{Type: "c", Major: 195, Minor: 1, Permissions: "rw", Status: devices.Present}}
	const needs = "[c 195:1 rw]"
	deny := specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"}
	for _, test := range []struct {
		name  string
		given []specs.LinuxDeviceCgroup
		want  string
	}{
		{"none given", nil, needs},
		{"all denied", []specs.LinuxDeviceCgroup{deny}, needs},
		{"given", []specs.LinuxDeviceCgroup{deny, {Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rwm"}}, "[]"},
		{"given to all minors", []specs.LinuxDeviceCgroup{deny, {Allow: true, Type: "c", Major: n(195), Access: "rw"}}, "[]"},
		{"given to all by -1", []specs.LinuxDeviceCgroup{deny, {Allow: true, Type: "a", Major: n(-1), Minor: n(-1), Access: "rwm"}}, "[]"},
		{"given and taken back", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rwm"}, {Type: "c", Major: n(195), Minor: n(1), Access: "w"}}, needs},
		{"given and all denied", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rwm"}, {Allow: false}}, needs},
		{"given, another access denied", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "rw"}, {Type: "c", Major: n(195), Minor: n(1), Access: "m"}}, "[]"},
		{"given in part", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(195), Minor: n(1), Access: "r"}}, needs},
		{"given to a block device", []specs.LinuxDeviceCgroup{{Allow: true, Type: "b", Major: n(195), Minor: n(1), Access: "rwm"}}, needs},
		{"given to another minor", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(195), Minor: n(2), Access: "rwm"}}, needs},
		{"given to another major", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(1), Minor: n(1), Access: "rwm"}}, needs},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{Devices: test.given}}}
			if got := fmt.Sprint(Missing(spec, node)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got := fmt.Sprint(Missing(&specs.Spec{}, node)); got != needs {
		t.Errorf("without resources: %s", got)
	}
}

func TestUnit(t *testing.T) {
	for _, test := range []struct{ name, cgroupsPath, group, want string }{
		{"by id", "", "/id", "id"},
		{"by id, runc and systemd", "", "/system.slice/runc-id.scope", "runc-id.scope"},
		{"by id, crun and systemd", "", "/system.slice/crun-id.scope/container", "crun-id.scope"},
		{"another id", "", "/system.slice/runc-id2.scope", ""},
		{"absolute", "/machine.slice/libpod-1", "/machine.slice/libpod-1/container", "/machine.slice/libpod-1"},
		{"relative, not clean", "a//b/", "/x/a/b", "a/b"},
		{"not the id, where there is a path", "/a", "/id", ""},
		{"systemd", "machine.slice:libpod:1", "/machine.slice/libpod-1.scope/container", "libpod-1.scope"},
		{"systemd, no slice", ":crio:1", "/system.slice/crio-1.scope", "crio-1.scope"},
		{"systemd, another's", "machine.slice:libpod:1", "/machine.slice/libpod-12.scope", ""},
		{"systemd, a slice for a name", "machine.slice::1.slice", "/machine.slice/1.slice", "1.slice"},
		{"systemd, no name", "machine.slice:libpod:", "/machine.slice/libpod-.scope", ""},
		{"not systemd's form", "a:b", "/a:b", "a:b"},
		{"a root", "/", "/a", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := &Target{Container: &state.Container{State: state.State{State: specs.State{ID: "id"}}, Spec: &specs.Spec{Linux: &specs.Linux{CgroupsPath: test.cgroupsPath}}}}
			if got := target.unit(test.group); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
	if got := (&Target{Container: &state.Container{State: state.State{State: specs.State{ID: "id"}}, Spec: &specs.Spec{}}}).unit("/id"); got != "id" {
		t.Errorf("without linux: %q", got)
	}
}

func TestWithin(t *testing.T) {
	for _, test := range []struct {
		group, unit string
		want        bool
	}{
		{"/machine.slice/libpod-1.scope", "libpod-1.scope", true},
		{"/machine.slice/libpod-1.scope/container", "libpod-1.scope", true},
		{"/a/b/c", "/a/b", true},
		{"/x/a/b", "/a/b/", true},
		{"/a/x/b", "/a/b", false},
		{"/machine.slice/libpod-12.scope", "libpod-1.scope", false},
		{"/machine.slice/xlibpod-1.scope", "libpod-1.scope", false},
		{"/libpod-1.scopes", "libpod-1.scope", false},
		{"/a", "a/b", false},
		{"/", "/", false},
		{"/a", "", false},
		{"/a", ".", false},
		{"/a/./b", ".", false},
	} {
		if got := within(test.group, test.unit); got != test.want {
			t.Errorf("%q in %q: got %v", test.unit, test.group, got)
		}
	}
}

func TestDir(t *testing.T) {
	const m = "/sys/fs/cgroup"
	for _, test := range []struct{ root, group, want string }{
		{"/", "/a/b", m + "/a/b"},
		{"/", "/", m},
		{"/a", "/a/b", m + "/b"},
		{"/a", "/a", m},
		{"/a/", "/a/b/", m + "/b"},
		{"/a", "/ab", ""},
		{"/a", "/b", ""},
		{"/a/b", "/a", ""},
		{"/", "/../a", ""},
		{"/", "/a/../../b", ""},
		{"/a", "/a/../b", ""},
		{"/..", "/../a", ""},
	} {
		got, err := hierarchy{m, test.root}.dir(test.group)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q mounted, %q: got %q, %v", test.root, test.group, got, err)
		}
		if want := fmt.Sprintf("cgroup %q lies outside what is mounted on %s", test.group, m); err != nil && err.Error() != want {
			t.Error(err)
		}
	}
}

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
		{"the kernel keeps one back", "c 195:0 rw\n", "allow c 195:255 rw: the kernel took the rule, but does not list it"},
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
	if err := allowV1(ownGroup{dir: nothing, unitDir: nothing, mountpoint: nothing}, []Rule{{"c", 195, 0, "rw"}}); err == nil {
		t.Error("a cgroup that is not there is no error")
	}
}

var deny = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}

// The program's text: each rule is a block that either says yes or goes on to the next, the last to the old program.
func TestPrepend(t *testing.T) {
	got := prepend([]Rule{{"c", 195, 254, "rw"}, {"b", 7, 1, "m"}}, deny)
	const want = `	LdXMemW dst: r2 src: r1 off: 0 imm: 0
	MovReg32 dst: r3 src: r2
	AndImm32 dst: r2 imm: 65535
	RShImm32 dst: r3 imm: 16
	LdXMemW dst: r4 src: r1 off: 4 imm: 0
	LdXMemW dst: r5 src: r1 off: 8 imm: 0
	JNEImm dst: r2 off: -1 imm: 2 <gpu-hook-1>
	MovReg32 dst: r0 src: r3
	AndImm32 dst: r0 imm: -7
	JNEImm dst: r0 off: -1 imm: 0 <gpu-hook-1>
	JNEImm dst: r4 off: -1 imm: 195 <gpu-hook-1>
	JNEImm dst: r5 off: -1 imm: 254 <gpu-hook-1>
	MovImm32 dst: r0 imm: 1
	Exit
gpu-hook-1:
	JNEImm dst: r2 off: -1 imm: 1 <gpu-hook-2>
	MovReg32 dst: r0 src: r3
	AndImm32 dst: r0 imm: -2
	JNEImm dst: r0 off: -1 imm: 0 <gpu-hook-2>
	JNEImm dst: r4 off: -1 imm: 7 <gpu-hook-2>
	JNEImm dst: r5 off: -1 imm: 1 <gpu-hook-2>
	MovImm32 dst: r0 imm: 1
	Exit
gpu-hook-2:
	MovImm dst: r0 imm: 0
	Exit
`
	if diff := cmp.Diff(want, withoutOffsets(got)); diff != "" {
		t.Error(diff)
	}
	if deny[0].Symbol() != "" {
		t.Error("the old instructions were changed")
	}
}

// withoutOffsets is the text of the program without the numbers of its instructions.
func withoutOffsets(program asm.Instructions) string {
	var out strings.Builder
	for line := range strings.Lines(fmt.Sprintf("%v", program)) {
		if before, after, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(before, "\t") {
			line = "\t" + after
		}
		out.WriteString(line)
	}
	return out.String()
}

// load loads a device program, as a runtime would.
func load(t *testing.T, instructions asm.Instructions) *ebpf.Program {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0", Instructions: instructions})
	if err != nil {
		require.Missing(t, "this test needs a kernel that loads device programs: %v", err)
	}
	t.Cleanup(func() { program.Close() })
	return program
}

// newCgroup makes a cgroup of version 2 with these below one another, and takes them away in the end.
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
	dir := filepath.Join(mount.mountpoint, fmt.Sprintf("gpu-hook-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")))
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
	err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: int(cgroup.Fd()), Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI})
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

// tries runs a shell in the cgroup and says which of the commands it could do.
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

// The kernel runs the extended programs of the unit; of the three cgroups below one another the uppermost is not the
// container's.
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
		{"extended", []Rule{{"c", 1, 5, "rw"}, {"b", 7, 99, "m"}}, []bool{true, true, false, true, true, false, false, false, false, false, true, false, false}},
		{"extended again", []Rule{{"c", 1, 7, "r"}}, []bool{true, true, false, true, true, false, false, true, false, false, true, false, false}},
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

// catIn starts a process in the cgroup.
func catIn(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	child := exec.Command("/bin/cat")
	child.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(open(t, dir).Fd())}
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	return child
}

// A cgroup that config.json gives to two containers is neither's own: its rules stay as they are.
func TestSharedCgroup(t *testing.T) {
	dirs := newCgroup(t, "unit")
	child := catIn(t, dirs[1])
	target := &Target{Process: &state.Process{PID: child.Process.Pid}, Container: &state.Container{Spec: &specs.Spec{Linux: &specs.Linux{CgroupsPath: "unit"}}}}
	if own, err := target.ownCgroup("", "cgroup2"); err != nil || own.dir != dirs[1] {
		t.Fatalf("alone: %+v, %v", own, err)
	}
	catIn(t, dirs[1])
	if own, err := target.ownCgroup("", "cgroup2"); err != nil || own != (ownGroup{}) {
		t.Errorf("with another's process: %+v, %v", own, err)
	}
}

// Rules go to the cgroup that the runtime made for this container, and to no other.
func TestOwnCgroup(t *testing.T) {
	dirs := newCgroup(t, "unit", "leaf")
	child := catIn(t, dirs[2])
	base := filepath.Base(dirs[0])
	for _, test := range []struct {
		name string
		pid  int
		path string
		want string
	}{
		{"by the end of its path", child.Process.Pid, "unit/leaf", dirs[2]},
		{"by its whole path", child.Process.Pid, "/" + base + "/unit", dirs[2]},
		{"another's", child.Process.Pid, "/" + base + "/other", ""},
		{"part of a name", child.Process.Pid, "/" + base + "/uni", ""},
		{"ours", os.Getpid(), "/", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := &Target{Process: &state.Process{PID: test.pid}, Container: &state.Container{Spec: &specs.Spec{Linux: &specs.Linux{CgroupsPath: test.path}}}}
			got, err := target.ownCgroup("", "cgroup2")
			if err != nil || got.dir != test.want {
				t.Errorf("got %+v, %v; want %q", got, err, test.want)
			}
		})
	}
	groups, err := cgroups(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := cgroups(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ours[""] = groups[""]
	if diff := cmp.Diff(ours, groups); diff != "" || !strings.HasSuffix(groups[""], "/"+base+"/unit/leaf") {
		t.Errorf("%q %s", groups[""], diff)
	}
}
