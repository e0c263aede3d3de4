package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/state"
)

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
			target := &Target{Container: &state.Container{
				State: state.State{State: specs.State{ID: "id"}},
				Spec:  &specs.Spec{Linux: &specs.Linux{CgroupsPath: test.cgroupsPath}},
			}}
			if got := target.unitName(test.group); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
	if got := (&Target{Container: &state.Container{
		State: state.State{State: specs.State{ID: "id"}},
		Spec:  &specs.Spec{},
	}}).unitName("/id"); got != "id" {
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

func TestCutAfter(t *testing.T) {
	for _, test := range []struct{ group, unit, want string }{
		{"/machine.slice/libpod-1.scope", "libpod-1.scope", "/machine.slice/libpod-1.scope"},
		{"/machine.slice/libpod-1.scope/container", "libpod-1.scope", "/machine.slice/libpod-1.scope"},
		{"/a/b/c/b", "/a/b", "/a/b"},
		{"/x/ab/a/b", "a/b/", "/x/ab/a/b"},
	} {
		if got := cutAfter(test.group, test.unit); got != test.want {
			t.Errorf("%q up to %q: got %q", test.group, test.unit, got)
		}
	}
}

func TestOwnGroupDirs(t *testing.T) {
	own := ownGroup{dir: "/m/a/unit/x/y", unitDir: "/m/a/unit", mountpoint: "/m"}
	if diff := cmp.Diff([]string{"/m/a/unit", "/m/a/unit/x", "/m/a/unit/x/y"}, own.dirs()); diff != "" {
		t.Error(diff)
	}
	var above []string
	for dir := range own.above() {
		above = append(above, dir)
	}
	if diff := cmp.Diff([]string{"/m/a", "/m"}, above); diff != "" {
		t.Error(diff)
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

// A cgroup that config.json gives to two containers is neither's own, and its rules stay as they are.
func TestSharedCgroup(t *testing.T) {
	dirs := newCgroup(t, "unit")
	child := catIn(t, dirs[1])
	target := &Target{
		Process:   &state.Process{PID: child.Process.Pid},
		Container: &state.Container{Spec: &specs.Spec{Linux: &specs.Linux{CgroupsPath: "unit"}}},
	}
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
			target := &Target{
				Process:   &state.Process{PID: test.pid},
				Container: &state.Container{Spec: &specs.Spec{Linux: &specs.Linux{CgroupsPath: test.path}}},
			}
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
