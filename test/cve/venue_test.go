package cve

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// direct is the venue in which the test is the runtime, and a shell the container's process.
const direct = "direct"

// venue is a way to start a container.
type venue struct {
	name  string
	start func(s *scene) result
}

func venues(t *testing.T) []venue {
	t.Helper()
	require.Program(t, "nsenter")
	runc := require.Program(t, "runc")
	crun, memlock := require.Program(t, "crun"), require.Program(t, "memlock.so")
	return []venue{
		{direct, func(s *scene) result { return s.byHolder() }},
		{"runc", func(s *scene) result { return s.byRuntime(runc) }},
		{"crun", func(s *scene) result {
			path, err := s.Crun(crun, memlock)
			s.must(err)
			return s.byRuntime(path)
		}},
	}
}

// byRuntime runs the container to its end by a real runtime.
func (s *scene) byRuntime(runtime string) result {
	s.t.Helper()
	s.wrapHook()
	argv := s.RuncCommand(runtime, "run", s.ID())
	var stdout, stderr strings.Builder
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.bundle
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return result{status: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}

// holds prepares a mount namespace as runtimes leave it at this stage, and keeps it until its input ends. A directory
// that the image has replaced by a link is left alone: runtimes refuse such an image or make nothing there.
const holds = `
if [ -z "$GPU_HOOK_TEST_SHARED" ]; then
	mount --rbind "$1" "$1"
	mount --make-private "$1"
fi
[ -L "$1/proc" ] || [ -n "$GPU_HOOK_TEST_BARE" ] || mount -t proc proc "$1/proc"
[ -L "$1/dev" ] || [ -n "$GPU_HOOK_TEST_BARE" ] || mount -t tmpfs -o nosuid,mode=755 tmpfs "$1/dev"
[ -z "$GPU_HOOK_TEST_VOLUME" ] || mount --bind "$GPU_HOOK_TEST_VOLUME" "$1/volume"
[ -z "$GPU_HOOK_TEST_CGROUP" ] || echo $$ >"$GPU_HOOK_TEST_CGROUP/cgroup.procs"
echo ready
read -r line
`

// byHolder runs the hook on a holder of namespaces and, if it succeeds, the container's script in them.
func (s *scene) byHolder() result {
	s.t.Helper()
	defer s.hold()()
	if s.held != nil {
		s.held()
	}
	var stdout, stderr strings.Builder
	argv, env := s.hook()
	hook := exec.Command(argv[0], argv[1:]...)
	hook.Env = append(env, s.env...)
	hook.Stdin, hook.Stdout, hook.Stderr = strings.NewReader(s.state()), &stdout, &stderr
	hook.ExtraFiles = s.files
	if err := hook.Run(); err != nil && hook.ProcessState == nil {
		s.t.Fatal(err)
	}
	usage, _ := hook.ProcessState.SysUsage().(*syscall.Rusage)
	r := result{status: hook.ProcessState.ExitCode(), stderr: stderr.String(), memory: usage.Maxrss}
	if s.ended != nil {
		s.ended()
	}
	if stdout.Len() > 0 {
		s.errorf("the hook prints %s", stdout.String())
	}
	if r.status == 0 {
		r.stdout = s.inside(looks + s.attack.script + "\necho started")
	}
	return r
}

// inside runs a script in the holder's namespaces and root filesystem, and returns its output.
func (s *scene) inside(script string) string {
	s.t.Helper()
	cmd := exec.Command(require.Program(s.t, "nsenter"), "--target", strconv.Itoa(s.pid), "--mount", "--pid", "--",
		"chroot", s.rootfs(""), "/bin/sh", "-c", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		s.t.Fatal(err)
	}
	return string(out)
}

// hold starts the holder, and returns what ends it.
func (s *scene) hold() (end func()) {
	s.t.Helper()
	cmd := exec.Command("/bin/sh", "-ec", holds, "sh", s.rootfs(""))
	cmd.Env = append(os.Environ(), s.shape...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
		syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	stdin, err := cmd.StdinPipe()
	s.must(err)
	stdout, err := cmd.StdoutPipe()
	s.must(err)
	s.must(cmd.Start())
	s.pid = cmd.Process.Pid
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		s.t.Fatalf("the holder says %q, %v", line, err)
	}
	return func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
}
