// Package holder runs the real binary on synthetic states. A process holds a mount namespace as a runtime leaves it
// when it calls a createRuntime hook: the root filesystem is bound on itself, and a tmpfs is on its /dev. The test
// process is the parent of both, as the runtime is.
package holder

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// holdEnv is the variable that makes the test binary the holder.
const holdEnv = "GPU_HOOK_TEST_HOLD"

func TestMain(m *testing.M) {
	if root := os.Getenv(holdEnv); root != "" {
		hold(root)
	}
	if os.Getuid() == 0 && os.Getenv(aloneEnv) == "" {
		os.Exit(alone())
	}
	os.Exit(m.Run())
}

// aloneEnv is the variable that says that the tests have a mount namespace of their own.
const aloneEnv = "GPU_HOOK_TEST_ALONE"

// alone runs the tests in a mount namespace of their own, so that mounts of other processes are not taken for leaks.
// Descriptors that the tests' caller left open are closed, so that a hook gets none, as from a runtime.
func alone() int {
	must(unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC))
	argv := append([]string{"-c", `mount --make-rprivate / && exec "$0" "$@"`, "/proc/self/exe"}, os.Args[1:]...)
	cmd := exec.Command("/bin/sh", argv...)
	self, err := os.Executable()
	must(err)
	cmd.Args[3] = self
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		must(err)
	}
	return cmd.ProcessState.ExitCode()
}

// hold makes the mounts, except for a root filesystem that is shared with the host, and waits until its standard input
// ends. Every line that it reads is a path. It answers with what is there in the container's own view.
func hold(root string) {
	if os.Getenv("GPU_HOOK_TEST_SHARED") == "" {
		must(unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""))
		must(unix.Mount("", root, "", unix.MS_PRIVATE, ""))
		if info, err := os.Lstat(root + "/dev"); err == nil && info.IsDir() {
			must(unix.Mount("tmpfs", root+"/dev", "tmpfs", unix.MS_NOSUID, "mode=755"))
			must(unix.Mount("proc", root+"/proc", "proc", 0, ""))
		}
	}
	if volume := os.Getenv("GPU_HOOK_TEST_VOLUME"); volume != "" {
		source, destination, _ := strings.Cut(volume, ":")
		must(unix.Mount(source, root+destination, "", unix.MS_BIND, ""))
	}
	if os.Getenv("GPU_HOOK_TEST_READ_ONLY") != "" {
		must(unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(look(filepath.Join(root, lines.Text())))
	}
	os.Exit(0)
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// look returns one line about what is at path: "missing", or its mode, numbers and content.
func look(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "missing"
	}
	s := fmt.Sprintf("%06o %d:%d uid=%d gid=%d", st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev), st.Uid, st.Gid)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		data, _ := os.ReadFile(path)
		s += " " + strings.TrimSpace(string(data))
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err != nil {
			s += " (read-only)"
		} else {
			_ = f.Close()
		}
	}
	return s
}

// container is a bundle with a holder, on a synthetic host.
type container struct {
	t      *testing.T
	host   *gpuhost.Host
	bundle string
	pid    int
	stdin  io.WriteCloser
	stdout *bufio.Reader
	before string // the root filesystem and its surroundings before the hook ran
	env    []string
	clone  uintptr // further namespaces of the holder's own
	ids    []syscall.SysProcIDMap
}

type option func(*container, *gpuhost.Bundle)

func annotated(gpus string) option {
	return func(_ *container, b *gpuhost.Bundle) { b.Annotations = map[string]string{"gpu-hook/gpus": gpus} }
}

func withEnv(env ...string) option {
	return func(_ *container, b *gpuhost.Bundle) { b.Env = env }
}

func edited(edit func(config map[string]any)) option {
	return func(_ *container, b *gpuhost.Bundle) { b.Edit = edit }
}

func shared(c *container, _ *gpuhost.Bundle) { c.env = append(c.env, "GPU_HOOK_TEST_SHARED=1") }

func readOnly(c *container, _ *gpuhost.Bundle) { c.env = append(c.env, "GPU_HOOK_TEST_READ_ONLY=1") }

// volume binds a directory of the test, which the option makes, to a directory of the root filesystem.
func volume(destination string) option {
	return func(c *container, _ *gpuhost.Bundle) {
		c.env = append(c.env, "GPU_HOOK_TEST_VOLUME="+c.volume()+":"+destination)
	}
}

func (c *container) volume() string { return filepath.Join(filepath.Dir(c.bundle), "volume") }

// newBundle makes the host and the bundle. start makes the holder.
func newBundle(t *testing.T, options ...option) *container {
	t.Helper()
	require.Root(t)
	require.Program(t, "runc")
	require.Program(t, "busybox")
	dir := t.TempDir()
	host, err := gpuhost.New(filepath.Join(dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	c := &container{t: t, host: host, bundle: filepath.Join(dir, "bundle")}
	b := gpuhost.Bundle{Args: []string{"true"}}
	for _, o := range options {
		o(c, &b)
	}
	if err := gpuhost.WriteBundle(c.bundle, b); err != nil {
		t.Fatal(err)
	}
	return c
}

func newContainer(t *testing.T, options ...option) *container {
	t.Helper()
	return newBundle(t, options...).start()
}

func (c *container) rootfs(path string) string { return filepath.Join(c.bundle, "rootfs", path) }

func (c *container) start() *container {
	c.t.Helper()
	c.t.Cleanup(c.begin())
	return c
}

// begin starts the holder, and returns what ends it.
func (c *container) begin() (end func()) {
	c.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(c.env, holdEnv+"="+c.rootfs(""))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | c.clone, UidMappings: c.ids, GidMappings: c.ids,
	}
	if c.ids != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{NoSetGroups: true} // its root
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	end = func() { _ = stdin.Close(); _ = cmd.Wait() }
	c.pid, c.stdin, c.stdout = cmd.Process.Pid, stdin, bufio.NewReader(stdout)
	if line := c.line(); line != "ready" {
		end()
		c.t.Fatalf("the holder says %q", line)
	}
	c.before = c.snapshot()
	return end
}

func (c *container) line() string {
	c.t.Helper()
	line, err := c.stdout.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the holder has ended: %v", err)
	}
	return strings.TrimSpace(line)
}

// sees asks the holder what is at path in the container.
func (c *container) sees(path string) string {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.stdin, path); err != nil {
		c.t.Fatal(err)
	}
	return c.line()
}

// snapshot describes everything about the bundle's directory and its surroundings that a refusal must not change.
func (c *container) snapshot() string {
	c.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(filepath.Dir(c.bundle), func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == c.host.Path("run") {
			return filepath.SkipDir
		}
		b.WriteString(path + " " + described(path, entry) + "\n")
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		c.t.Fatal(err)
	}
	return b.String() + string(mounts)
}

// described is look in one line, without what the caller may do. Of a large file the time is looked at, not the content.
func described(path string, entry os.DirEntry) string {
	const large = 64 << 10
	if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && info.Size() > large {
		return fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
	}
	return strings.ReplaceAll(strings.TrimSuffix(look(path), " (read-only)"), "\n", "\\n")
}

func (c *container) unchanged() {
	c.t.Helper()
	if after := c.snapshot(); after != c.before {
		c.t.Errorf("something was left behind or changed:\n%s", diff(c.before, after))
	}
}

func diff(a, b string) string {
	have := map[string]bool{}
	for line := range strings.Lines(a) {
		have[line] = true
	}
	var out strings.Builder
	for line := range strings.Lines(b) {
		if !have[line] {
			out.WriteString("+ " + line)
		}
		delete(have, line)
	}
	for line := range have {
		out.WriteString("- " + line)
	}
	return out.String()
}

func (c *container) state() map[string]any {
	return map[string]any{"ociVersion": "1.0.2", "id": "test", "status": "creating", "pid": c.pid, "bundle": c.bundle}
}

// result is a run of the hook.
type result struct {
	status         int
	stdout, stderr string
	report         *report.Report // its record, or nil
}

// run runs the hook on the container's own state.
func (c *container) run() result {
	c.t.Helper()
	return c.runProcess(c.hook())
}

// hook prepares a run of the hook on the container's own state.
func (c *container) hook() *exec.Cmd {
	c.t.Helper()
	data, err := json.Marshal(c.state())
	if err != nil {
		c.t.Fatal(err)
	}
	return c.hookOn(string(data))
}

func (c *container) hookOn(state string) *exec.Cmd {
	c.t.Helper()
	return c.process(state, require.GPUHook(c.t), "--config", c.host.Path("config.toml"), "createRuntime")
}

func (c *container) runOn(state string) result {
	c.t.Helper()
	return c.runProcess(c.hookOn(state))
}

func (c *container) runCommand(state string, argv ...string) result {
	c.t.Helper()
	return c.runProcess(c.process(state, argv...))
}

// process prepares a run of a program with an environment that it must not trust.
func (c *container) process(state string, argv ...string) *exec.Cmd {
	c.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=.:/nowhere", "NVIDIA_VISIBLE_DEVICES=all", "GOTRACEBACK=none"}
	if argv[0] == require.GPUHook(c.t) {
		cmd.Env = append(cmd.Env, "LD_PRELOAD=/nowhere/evil.so")
	}
	cmd.Stdin = strings.NewReader(state)
	return cmd
}

// runProcess runs a program. Its output is in the result unless it already goes elsewhere.
func (c *container) runProcess(cmd *exec.Cmd) result {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	r := result{status: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if last, err := report.Last(c.host.Path("run"), "test"); err == nil {
		r.report = last
	}
	return r
}

// applied checks that the run succeeded and left a record that says so.
func (r result) applied(t *testing.T) {
	t.Helper()
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("status %d, stderr: %s", r.status, r.stderr)
	}
	if r.report == nil || r.report.Result != "applied" {
		t.Fatalf("record: %+v", r.report)
	}
}

// refused checks that the run was a refusal: status 1, one line that holds every part, one fix, and none of the
// phrases that podman rewrites.
func (r result) refused(t *testing.T, parts ...string) {
	t.Helper()
	if r.status != 1 {
		t.Errorf("status %d, not 1", r.status)
	}
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	if len(lines) == 3 && strings.HasPrefix(lines[2], "gpu-hook: more: gpu-hook last ") {
		lines = lines[:2] // a run without an id leaves no record
	}
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "gpu-hook: E-") ||
		!strings.HasPrefix(lines[1], "gpu-hook: fix: ") {
		t.Fatalf("not one line, one fix and where to read more:\n%s", r.stderr)
	}
	for _, part := range parts {
		if !strings.Contains(lines[0], part) {
			t.Errorf("no %q in: %s", part, lines[0])
		}
	}
	for _, phrase := range []string{
		"no such file or directory", "permission denied", "operation not permitted", "executable file not found",
	} {
		if strings.Contains(strings.ToLower(r.stderr), phrase) {
			t.Errorf("podman would rewrite this: %s", r.stderr)
		}
	}
}
