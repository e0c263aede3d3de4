package state

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// padded returns the text with blanks after it, n bytes in all.
func padded(text string, n int) string { return text + strings.Repeat(" ", n-len(text)) }

func wantError(t *testing.T, err error, code fault.Code, text string) {
	t.Helper()
	if !fault.Is(err, code) || err.Error() != text {
		t.Errorf("got %v\nwant %s %s", err, code, text)
	}
}

func TestRead(t *testing.T) {
	const valid = `{"ociVersion":"1.0.2","id":"c","status":"creating","pid":7,"bundle":"/b"}`
	full := State{State: specs.State{Version: "1.0.2", ID: "c", Status: specs.StateCreating, Pid: 7, Bundle: "/b"}}
	crun := full
	crun.Root = "/b/rootfs"
	for _, test := range []struct {
		name, in string
		want     State
		err      string
	}{
		{"runc's", valid, full, ""},
		{"crun's, with root", strings.Replace(valid, "{", `{"root":"/b/rootfs",`, 1), crun, ""},
		{"white space and unknown fields", "\n" + strings.Replace(valid, "{", `{"x":[1],`, 1) + " \n\t", full, ""},
		{"as large as can be", padded(valid, limits.State), full, ""},
		{"a byte larger", padded(valid, limits.State+1), State{}, "it is larger than gpu-hook reads"},
		{"empty", "", State{}, "it is empty"},
		{"blank", " \n", State{}, "unexpected end of JSON input"},
		{"something follows", valid + "{}", State{}, "invalid character '{' after top-level value"},
		{"null", "null", State{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Read(strings.NewReader(test.in))
			if test.err != "" {
				wantError(t, err, fault.State, "state on standard input: "+test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Raw) != test.in {
				t.Error("Raw is another")
			}
			got.Raw = nil // which takes long to compare
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An input without an end is refused instead of being read into memory.
func TestReadIsBounded(t *testing.T) {
	in := io.MultiReader(strings.NewReader(padded("{", limits.State+1)), iotest.ErrReader(errors.New("it read on")))
	_, err := Read(in)
	wantError(t, err, fault.State, "state on standard input: it is larger than gpu-hook reads")
}

func TestLoad(t *testing.T) {
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	const valid = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"x":1}`
	for _, test := range []struct {
		name string
		put  func(path string) error
		err  string
	}{
		{"valid", write(valid), ""},
		{"as large as can be", write(padded(valid, limits.Config)), ""},
		{"a byte larger", write(padded(valid, limits.Config+1)), "it is larger than gpu-hook reads"},
		{"a link", func(path string) error {
			return os.Symlink("other", path)
		}, ""},
		{"empty", write(""), "it is empty"},
		{"null", write("null"), "it holds null"},
		{"something follows", write(valid + "x"), "invalid character 'x' after top-level value"},
		{"missing", func(string) error { return nil }, "no such file or directory"},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }, "it is not a regular file"},
		{"a FIFO", func(path string) error { return unix.Mkfifo(path, 0o600) }, "it is not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bundle := t.TempDir()
			path := filepath.Join(bundle, "config.json")
			if err := write(valid)(filepath.Join(bundle, "other")); err != nil {
				t.Fatal(err)
			}
			if err := test.put(path); err != nil {
				t.Fatal(err)
			}
			s := State{State: specs.State{ID: "c", Bundle: bundle}}
			got, err := Load(s)
			if test.err != "" {
				wantError(t, err, fault.Bundle, path+": "+test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := &Container{State: s, Spec: &specs.Spec{Version: "1.0.2", Root: &specs.Root{Path: "rootfs"}}}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Container{}, identity{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEnv(t *testing.T) {
	env := []string{"A=1", "B=", "A=2", "A", "AB=3", "C=x=y", "=z"}
	for _, test := range []struct {
		name, want string
		set        bool
	}{
		{"A", "2", true},
		{"B", "", true},
		{"AB", "3", true},
		{"C", "x=y", true},
		{"", "", false},
		{"D", "", false},
		{"a", "", false},
	} {
		c := &Container{Spec: &specs.Spec{Process: &specs.Process{Env: env}}}
		if got, set := c.Env(test.name); got != test.want || set != test.set {
			t.Errorf("%q: got %q %v, want %q %v", test.name, got, set, test.want, test.set)
		}
	}
	if got, set := (&Container{Spec: &specs.Spec{}}).Env("A"); got != "" || set {
		t.Errorf("without a process: %q %v", got, set)
	}
}

func TestPrivileged(t *testing.T) {
	const admin = "CAP_SYS_ADMIN"
	for _, test := range []struct {
		name    string
		process *specs.Process
		want    bool
	}{
		{"no process", nil, false},
		{"no capabilities", &specs.Process{}, false},
		{"bounding", &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", admin}}}, true},
		{"another", &specs.Process{Capabilities: &specs.LinuxCapabilities{
			Bounding: []string{"CAP_CHOWN", "CAP_SYS_ADMINS"},
		}}, false},
		{"everywhere but bounding", &specs.Process{Capabilities: &specs.LinuxCapabilities{
			Effective: []string{admin}, Permitted: []string{admin}, Inheritable: []string{admin}, Ambient: []string{admin},
		}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := (&Container{Spec: &specs.Spec{Process: test.process}}).Privileged(); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestRoot(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(top, "bundle")
	for _, dir := range []string{"bundle/rootfs", "other", "bundle/merged"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"bundle/link": "../other", "bundle/host": "/", "bundle/nothing": "nowhere", "bundle/loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bundle, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, stated string
		want, err          string
	}{
		{"relative", "rootfs", "", "@/bundle/rootfs", ""},
		{"absolute", "@/other", "", "@/other", ""},
		{"a link", "link", "", "@/other", ""},
		{"out of the bundle", "../other", "", "@/other", ""},
		{"crun says the same", "rootfs", "@/bundle/rootfs", "@/bundle/rootfs", ""},
		{"crun says the same, resolved", "link", "@/other", "@/other", ""},
		{
			"crun says another", "rootfs", "@/bundle/merged", "",
			`root filesystem: the state says "@/bundle/merged", config.json says "@/bundle/rootfs"`,
		},
		{"crun says the host's", "rootfs", "/", "", "root filesystem /: it is the root of the host itself"},
		{"the host's", "/", "", "", "root filesystem /: it is the root of the host itself"},
		{"a link to the host's", "host", "", "", "root filesystem @/bundle/host: it is the root of the host itself"},
		{
			"the host's by its process", "/proc/self/root", "", "",
			"root filesystem /proc/self/root: it is the root of the host itself",
		},
		{"a file", "file", "", "", "root filesystem @/bundle/file: it is not a directory"},
		{"missing", "nowhere", "", "", "root filesystem @/bundle/nowhere: no such file or directory"},
		{"a link to nothing", "nothing", "", "", "root filesystem @/bundle/nothing: no such file or directory"},
		{"a loop", "loop", "", "", "root filesystem @/bundle/loop: EvalSymlinks: too many links"},
		{"no path", "", "@/other", "", "@/bundle/config.json: it has no root"},
	} {
		t.Run(test.name, func(t *testing.T) {
			at := func(s string) string { return strings.ReplaceAll(s, "@", top) }
			c := &Container{
				State: State{State: specs.State{Bundle: bundle}, Root: at(test.stated)},
				Spec:  &specs.Spec{Process: &specs.Process{}, Root: &specs.Root{Path: at(test.path)}},
			}
			got, err := c.Root()
			if test.err != "" {
				wantError(t, err, fault.Bundle, at(test.err))
			} else if err != nil || got != at(test.want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	c := &Container{State: State{State: specs.State{Bundle: "/b"}}, Spec: &specs.Spec{Process: &specs.Process{}}}
	_, err = c.Root()
	wantError(t, err, fault.Bundle, "/b/config.json: it has no root")
	c.Spec = &specs.Spec{Root: &specs.Root{Path: bundle}}
	_, err = c.Root()
	wantError(t, err, fault.Bundle, "/b/config.json: it has no process")
}

func TestCheckNamespaces(t *testing.T) {
	namespaces := func(types ...specs.LinuxNamespaceType) *specs.Linux {
		linux := &specs.Linux{}
		for _, ns := range types {
			linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: ns})
		}
		return linux
	}
	for _, test := range []struct {
		name  string
		linux *specs.Linux
		err   string
	}{
		{"nothing said", nil, ""},
		{"its own", namespaces("pid", "mount"), ""},
		{"none", namespaces(), "the container has no mount namespace of its own: every edit would land on the host"},
		{
			"others", namespaces("pid", "network"),
			"the container has no mount namespace of its own: every edit would land on the host",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := (&Container{
				State: State{State: specs.State{Bundle: "/b"}},
				Spec:  &specs.Spec{Linux: test.linux},
			}).CheckNamespaces()
			if test.err != "" {
				wantError(t, err, fault.State, "/b/config.json: "+test.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A process can choose its own name, which comes before its parent in /proc/PID/stat.
func TestParentOf(t *testing.T) {
	before, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile("/proc/self/comm", before, 0) })
	for _, comm := range []string{"plain", "two words", ") S 1 (", "a) Z 1 2 3", "))))", "new\nline", "("} {
		if err := os.WriteFile("/proc/self/comm", []byte(comm), 0); err != nil {
			t.Fatal(err)
		}
		if got, err := parentOf(os.Getpid()); err != nil || got != os.Getppid() {
			t.Errorf("%q: got %d, %v; want %d", comm, got, err, os.Getppid())
		}
	}
}

func TestParentOfZombie(t *testing.T) {
	child := start(t, &syscall.SysProcAttr{})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := parentOf(child.Process.Pid); err == nil {
		t.Errorf("its parent is %d", got)
	}
	_ = child.Wait()
	if got, err := parentOf(child.Process.Pid); err == nil {
		t.Errorf("after it was waited for its parent is %d", got)
	}
}

// start starts a child that lives until the test ends.
func start(t *testing.T, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	child := exec.Command("/bin/cat")
	attr.Pdeathsig = 0
	child.SysProcAttr = attr
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		require.Missing(t, "this test needs a process with the clone flags %#x: %v", attr.Cloneflags, err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	return child
}

func TestOpenProcess(t *testing.T) {
	require.Root(t)
	shared := start(t, &syscall.SysProcAttr{}).Process.Pid
	own := start(t, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}).Process.Pid
	ended := start(t, &syscall.SysProcAttr{})
	_ = ended.Process.Kill()
	_ = ended.Wait()
	// The hook is a sibling of the container's process; this test is its parent.
	parent := strconv.Itoa(os.Getpid()) + ", not of the runtime that runs this hook (" + strconv.Itoa(os.Getppid()) + ")"
	for _, test := range []struct {
		name        string
		pid         int
		status      specs.ContainerState
		checkParent bool
		err         string
	}{
		{"creating", own, specs.StateCreating, false, ""},
		{"created", own, specs.StateCreated, false, ""},
		{"running", own, specs.StateRunning, false, `the container's status is "running", not creating or created`},
		{"no status", own, "", false, `the container's status is "", not creating or created`},
		{"another's child", own, specs.StateCreating, true, "it is a child of process " + parent},
		{
			"our mount namespace", shared, specs.StateCreating, false,
			"the container has no mount namespace of its own: every edit would land on the host",
		},
		{"ended", ended.Process.Pid, specs.StateCreating, false, "it is gone: no such process"},
		{"init", 1, specs.StateCreating, false, "it cannot be a container's process"},
		{"none", 0, specs.StateCreating, false, "it cannot be a container's process"},
		{"negative", -1, specs.StateCreating, false, "it cannot be a container's process"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &Container{State: State{State: specs.State{Pid: test.pid, Status: test.status}}, Spec: &specs.Spec{}}
			p, err := c.OpenProcess(test.checkParent)
			if test.err != "" {
				wantError(t, err, fault.State, "process "+strconv.Itoa(test.pid)+" of the state: "+test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.Alive(); err != nil || p.PID != test.pid {
				t.Errorf("pid %d: %v", p.PID, err)
			}
		})
	}
}

func TestRawIsNotWritten(t *testing.T) {
	data, err := json.Marshal(State{Raw: []byte("x"), Root: "/r"})
	if err != nil || strings.Contains(string(data), "Raw") || !strings.Contains(string(data), `"root":"/r"`) {
		t.Errorf("%s, %v", data, err)
	}
}
