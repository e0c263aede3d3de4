package cve

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// rollbackAttacks are those on a start that fails half way.
func rollbackAttacks() []attack {
	return []attack{
		{
			number: "S26", title: "CVE-2025-0750: undoing a wish takes another mount away", want: contained, asks: "-",
			edit: func(b *gpuhost.Bundle) { b.Env = []string{"NVIDIA_VISIBLE_DEVICES=all"} },
			spec: mountOn(library) + "\nhooks: [{hookName: createContainer, path: HOST/bin/hook}]\n",
			plant: func(s *scene) {
				s.write("cdi/nvidia.yaml", strings.Replace(readFile(s, "cdi/nvidia.yaml"), `"0"`, "all", 1))
				s.image(libraries+"/other", "", 0o644)
				// The hook mounts on our mount and moves ours away, as a racing process could, and then fails.
				s.program("bin/hook", "mount --bind HOST/version ROOT"+library+" && mount --bind HOST/version ROOT"+
					libraries+"/other\necho $? >>LOG\nexit 7")
			},
			script: "cat " + libraries + "/other",
			check: func(s *scene, r result) {
				if s.readLog() != "0\n" {
					s.errorf("the hook did not mount: %s", s.readLog())
				}
				if !strings.Contains(r.stdout, gpuhost.Driver) {
					s.errorf("a mount that is not ours is gone: %s", r.stdout)
				}
				for _, line := range r.lines("mount") {
					if strings.Contains(line, s.Host.Path("lib/")) {
						s.errorf("a mount of the wish is left: %s", line)
					}
				}
			},
		},
		{
			number: "S32", title: "nvcgo: killed at each bpf(2), the device policy is never wider", want: contained,
			edit: func(b *gpuhost.Bundle) {
				b.Edit = func(config map[string]any) {
					config["linux"].(map[string]any)["cgroupsPath"] = "CGROUP"
				}
			},
			run:    func(s *scene) result { return s.killed() },
			venues: []string{direct},
		},
	}
}

func readFile(s *scene, name string) string {
	s.t.Helper()
	data, err := os.ReadFile(s.Host.Path(name))
	s.must(err)
	return string(data)
}

// configure replaces a name in config.json.
func (s *scene) configure(name, value string) {
	s.t.Helper()
	path := filepath.Join(s.bundle, "config.json")
	data, err := os.ReadFile(path)
	s.must(err)
	s.must(os.WriteFile(path, []byte(strings.ReplaceAll(string(data), name, value)), 0o600))
}

// maxCalls bounds how many calls of bpf(2) a start may make.
const maxCalls = 60

// killed starts the container again and again, each time killing the hook at one call of bpf(2) more than before, until
// a start ends by itself. After each, the policy of the container's cgroup is looked at.
func (s *scene) killed() result {
	s.t.Helper()
	group := "/gpu-hook-test-" + s.ID()
	s.configure("CGROUP", group)
	dir := "/sys/fs/cgroup" + group
	for call := 1; call <= maxCalls; call++ {
		s.must(os.Mkdir(dir, 0o755))
		s.restrict(dir)
		s.prefix = []string{
			require.Program(s.t, "strace"), "-D", "-f", "-qq", "-o", os.DevNull, "-e", "trace=bpf",
			"-e", fmt.Sprintf("inject=bpf:signal=KILL:when=%d", call),
		}
		s.shape = []string{"GPU_HOOK_TEST_CGROUP=" + dir}
		s.held = nil
		r := s.startIn(dir, call)
		s.removeCgroup(dir)
		if r.status >= 0 {
			if call < 3 {
				s.errorf("it ended by itself with call %d: %+v", call, r)
			}
			return r
		}
	}
	s.t.Fatalf("more than %d calls", maxCalls)
	return result{}
}

// startIn starts the container in the cgroup and checks its device policy afterwards.
func (s *scene) startIn(dir string, call int) result {
	s.t.Helper()
	var opens []string
	s.ended = func() {
		for _, minor := range []string{"3", "5", "11"} {
			if s.canOpen(dir, minor) {
				opens = append(opens, minor)
			}
		}
	}
	r := s.start()
	want := [][]string{{"3"}, {"3", "11"}} // before, and with the device that was requested
	if r.status == 0 {
		want = want[1:]
	}
	if !slices.ContainsFunc(want, func(w []string) bool { return slices.Equal(w, opens) }) {
		s.errorf("killed at call %d (status %d), the container can open the devices %v", call, r.status, opens)
	}
	return r
}

// restrict attaches a program that allows 1:3 alone.
func (s *scene) restrict(dir string) {
	s.t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 4, asm.Word), asm.LoadMem(asm.R3, asm.R1, 8, asm.Word),
			asm.Mov.Imm(asm.R0, 0), asm.JNE.Imm(asm.R2, 1, "end"), asm.JNE.Imm(asm.R3, 3, "end"),
			asm.Mov.Imm(asm.R0, 1), asm.Return().WithSymbol("end"),
		},
	})
	s.must(err)
	defer program.Close()
	cgroup, err := os.Open(dir)
	s.must(err)
	defer cgroup.Close()
	s.must(link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(cgroup.Fd()), Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI,
	}))
}

// canOpen reports whether a process in the cgroup can open the device 1:minor.
func (s *scene) canOpen(dir, minor string) bool {
	s.t.Helper()
	node := s.Host.Path("run/node" + minor)
	script := `[ -e "$2" ] || mknod "$2" c 1 "$3"; echo $$ >"$1/cgroup.procs"; : <"$2"`
	return exec.Command("/bin/sh", "-c", script, "sh", dir, node, minor).Run() == nil
}

// removeCgroup removes the cgroup once its last process has ended.
func (s *scene) removeCgroup(dir string) {
	s.t.Helper()
	var err error
	for range 500 {
		if err = unix.Rmdir(dir); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("remove %s: %v", dir, err)
}
