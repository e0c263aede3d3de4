package inject

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestRun(t *testing.T) {
	t.Setenv("GPU_HOOK_TEST_LEAK", "leak")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	shell := func(script string) command {
		return command{path: "/bin/sh", args: []string{"sh", "-c", script}, dir: dir}
	}
	with := func(c command, f func(*command)) command {
		f(&c)
		return c
	}
	for _, test := range []struct {
		name    string
		command command
		err     string
	}{
		{"it ends well", shell("echo hello"), ""},
		{"a status", shell("exit 3"), "exit status 3"},
		{
			"both outputs, on one line", shell("echo ' a  b'; printf 'c\\n\\t\"d' >&2; exit 1"),
			`exit status 1; it said: "a b c \"d"`,
		},
		{"nothing of our environment", shell(`echo "<$GPU_HOOK_TEST_LEAK>"; exit 1`), `exit status 1; it said: "<>"`},
		{
			"its own environment", with(shell(`echo "<$A>"; exit 1`), func(c *command) { c.env = []string{"A=1"} }),
			`exit status 1; it said: "<1>"`,
		},
		{"its working directory", shell("pwd; exit 1"), `exit status 1; it said: "` + dir + `"`},
		{
			"its standard input", with(shell("cat; exit 1"), func(c *command) { c.stdin = []byte("state") }),
			`exit status 1; it said: "state"`,
		},
		{"input that it does not read", with(shell("exit 0"), func(c *command) { c.stdin = make([]byte, 1<<20) }), ""},
		{
			"its name",
			command{path: "/bin/sh", args: []string{"other name", "-c", `echo "$0"; exit 1`}},
			`exit status 1; it said: "other name"`,
		},
		{
			"much output", shell("head -c 300000 /dev/zero | tr '\\0' x; echo ' end'; exit 1"),
			`exit status 1; it said: "…` + strings.Repeat("x", maxQuoted-4) + ` end"`,
		},
		{"a signal", shell("echo a; kill -TERM $$"), `signal: terminated; it said: "a"`},
		{"missing", command{path: "/nowhere/x", args: []string{"x"}}, "fork/exec /nowhere/x: no such file or directory"},
		{
			"no time at all", with(shell("sleep 30"), func(c *command) { c.timeout = time.Millisecond }),
			"it did not end in time and was killed",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			said, err := test.command.run(t.Context())
			if want := unquoted(test.err); said != want && test.err != "" {
				t.Errorf("it said %q, not %q", said, want)
			}
			if (err == nil) != (test.err == "") || (err != nil && err.Error() != test.err) {
				t.Errorf("got %v\nwant %s", err, test.err)
			}
		})
	}
	if said, err := shell("echo a; echo ' b'").run(t.Context()); said != "a b" || err != nil {
		t.Errorf("of a program that ends well: %q, %v", said, err)
	}
}

// unquoted is what the text of an error says that the program said.
func unquoted(text string) string {
	_, quoted, _ := strings.Cut(text, "it said: ")
	said, _ := strconv.Unquote(quoted)
	return said
}

// patience is at an end only where a test fails.
const patience = time.Minute

// A program is killed with all that it has started: its grandchild holds a FIFO open until it is dead.
func TestRunKillsTheGroup(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name string
		end  func(context.Context) (context.Context, func())
		err  string
	}{
		{"told to end", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			return ctx, cancel
		}, `it was killed, because gpu-hook was told to end; it said: "begun"`},
		{"out of time", func(ctx context.Context) (context.Context, func()) {
			d := &deadline{Context: ctx, done: make(chan struct{})}
			return d, func() { close(d.done) }
		}, `it did not end in time and was killed; it said: "begun"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			fifo := filepath.Join(dir, test.name)
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			reader, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			ctx, end := test.end(t.Context())
			result := make(chan error, 1)
			go func() {
				const script = `echo begun; sh -c 'echo ready; sleep 100; true' >"$1" & wait`
				c := command{path: "/bin/sh", args: []string{"sh", "-c", script, "sh", fifo}, env: []string{searchPath}}
				_, err := c.run(ctx)
				result <- err
			}()
			if err := reader.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			awaitLine(t, reader, "ready\n")
			end()
			if err := <-result; err == nil || err.Error() != test.err {
				t.Errorf("got %v, want %s", err, test.err)
			}
			if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
				t.Errorf("what it had started lives on: read %q, %v", rest, err)
			}
		})
	}
}

// A program that leaves another behind, with its output open, is done all the same.
func TestRunLeavesDaemonsAlone(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		c := command{path: "/bin/sh", args: []string{"sh", "-c", `cat "$1" & exit 0`, "sh", fifo}, env: []string{searchPath}}
		_, err := c.run(t.Context())
		result <- err
	}()
	select {
	case err := <-result:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it waits for the output to be closed")
	}
	// Waits for cat to open it, and lets it end.
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
}

// deadline is a context whose deadline is when the test says.
type deadline struct {
	context.Context
	done chan struct{}
}

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// awaitLine reads until the other end has opened the FIFO and written line.
func awaitLine(t *testing.T, reader *os.File, line string) {
	t.Helper()
	var got []byte
	for string(got) != line {
		chunk := make([]byte, len(line)-len(got))
		n, err := reader.Read(chunk)
		got = append(got, chunk[:n]...)
		if errors.Is(err, io.EOF) {
			time.Sleep(time.Millisecond) // nobody has it open yet
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTail(t *testing.T) {
	full, quoted := strings.Repeat("x", maxOutput), strings.Repeat("x", maxQuoted)
	for _, test := range []struct {
		name   string
		writes []string
		kept   string
		line   string
	}{
		{"nothing", nil, "", ""},
		{"blanks", []string{" \n\t"}, " \n\t", ""},
		{"one line", []string{"a\nb", "  c\n"}, "a\nb  c\n", "a b c"},
		{"control characters", []string{"a\x1b[31mb\x00"}, "a\x1b[31mb\x00", "a\x1b[31mb\x00"},
		{"as long as is quoted", []string{quoted}, quoted, quoted},
		{"longer", []string{"y" + quoted}, "y" + quoted, "…" + quoted},
		{"more than is kept", []string{"head", full, "end"}, full[3:] + "end", "…" + quoted[3:] + "end"},
		{"more than is kept at once", []string{"head" + full}, full, "…" + quoted},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out tail
			for _, w := range test.writes {
				if n, err := out.Write([]byte(w)); n != len(w) || err != nil {
					t.Errorf("wrote %d of %d, %v", n, len(w), err)
				}
			}
			if string(out.kept) != test.kept || out.line() != test.line {
				t.Errorf("kept %d bytes, line %q", len(out.kept), out.line())
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, test := range []struct {
		name     string
		in, want []string
	}{
		{"none", nil, []string{searchPath}},
		{"no PATH", []string{"A=1", "XPATH=/x"}, []string{searchPath, "A=1", "XPATH=/x"}},
		{"its own PATH", []string{"A=1", "PATH=/x"}, []string{"A=1", "PATH=/x"}},
		{"an empty PATH", []string{"PATH="}, []string{"PATH="}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, environment(test.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The hooks of stages that a createRuntime hook stands for run by stage, then by their order, and only those planned.
func TestRunHooks(t *testing.T) {
	dir, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	hook := func(stage, name, script string, status devices.Status) *devices.Hook {
		script += "; echo \"" + name + " $(pwd) $(cat) $PATH\" >>" + log
		return &devices.Hook{
			HookName: stage, Path: "/bin/sh", Args: []string{"sh", "-c", script}, Status: status,
			Env: []string{"PATH=/bin:/usr/bin"},
		}
	}
	target := &Target{
		Container: &state.Container{State: state.State{State: specs.State{Bundle: dir}}}, Root: "/r",
		StateJSON: []byte(`{"x":[1.50],"status":"created","id":"a"}`),
	}
	hooks := []*devices.Hook{
		hook("createRuntime", "a", "true", devices.Apply),
		hook("prestart", "b", "true", devices.Apply),
		hook("prestart", "c", "true", devices.Present),
		hook("startContainer", "d", "true", devices.Late),
		hook("prestart", "e", "true", devices.Apply),
		hook("createRuntime", "f", "echo no >&2; exit 9", devices.Apply),
		hook("createRuntime", "g", "true", devices.Apply),
	}
	err := target.runHooks(t.Context(), hooks, state.User{}, &Result{})
	failed := `createRuntime hook /bin/sh of the CDI Spec: exit status 9; it said: "no"`
	if err == nil || err.Error() != failed {
		t.Errorf("got %v", err)
	}
	var statuses []devices.Status
	for _, h := range hooks {
		statuses = append(statuses, h.Status)
	}
	want := []devices.Status{
		devices.Applied, devices.Applied, devices.Present, devices.Late, devices.Applied, devices.Failed, devices.Apply,
	}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Error(diff)
	}
	// The state is whole, with the status of these stages and the root filesystem.
	line := func(name string) string {
		return name + " " + dir + ` {"id":"a","root":"/r","status":"creating","x":[1.50]} /bin:/usr/bin` + "\n"
	}
	if got, err := os.ReadFile(log); err != nil || string(got) != line("b")+line("e")+line("a") {
		t.Errorf("%s, %v", got, err)
	}
}

// The delegate gets a private bundle, the state with that bundle, and nothing of our environment.
func TestRunDelegate(t *testing.T) {
	t.Setenv("GPU_HOOK_TEST_LEAK", "leak")
	out := filepath.Join(t.TempDir(), "out")
	top := t.TempDir()
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(top, "a", "b")
	given := specs.State{Version: "1.0.2", ID: "c", Status: specs.StateCreating, Pid: 7, Bundle: "/b"}
	target := &Target{
		RunDir: run, Owner: us(), Container: &state.Container{State: state.State{State: given}},
	}
	script := `{ cat; echo; pwd; cat config.json; stat -c '%a %n' . *; echo "<$GPU_HOOK_TEST_LEAK> $PATH"; } >` +
		out + "; echo done"
	for _, test := range []struct{ name, script, err string }{
		{"it ends well", script, ""},
		{"it fails", script + "; exit 2", `exit status 2; it said: "done"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			said, err := target.runDelegate(t.Context(), Delegate{
				Path: "/bin/sh", Args: []string{"nvidia", "-c", test.script},
				Files: map[string][]byte{"config.json": []byte("{spec}\n"), "config.toml": nil},
			})
			if said != "done" || (err == nil) != (test.err == "") || (err != nil && err.Error() != test.err) {
				t.Errorf("it said %q, %v", said, err)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(data), "\n")
			bundle := lines[1]
			if filepath.Dir(bundle) != run {
				t.Errorf("the private bundle is %s", bundle)
			}
			want := []string{
				`{"ociVersion":"1.0.2","id":"c","status":"creating","pid":7,"bundle":"` + bundle + `"}`,
				bundle, "{spec}", "700 .", "600 config.json", "600 config.toml",
				"<> " + strings.TrimPrefix(searchPath, "PATH="), "",
			}
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Error(diff)
			}
			if left, err := os.ReadDir(run); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// Whoever may write beside the private bundle could put another in its place.
func TestRunDelegateInSomeonesDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	target := &Target{RunDir: dir, Owner: us(), Container: &state.Container{}}
	_, err := target.runDelegate(t.Context(), Delegate{Path: "/bin/sh", Args: []string{"sh"}})
	if !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("got %v", err)
	}
}

func us() trust.Owner { return trust.Owner{UID: uint32(os.Getuid())} }

// rootIn is a root filesystem on the ground of the host, where the container has mounted nothing.
func rootIn(t *testing.T, dir string) *rootfs {
	t.Helper()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return rootOf(t, root)
}

// rootWithDev is rootIn with a tmpfs of the container's own on /dev; see alone.
func rootWithDev(t *testing.T, dir string) *rootfs {
	t.Helper()
	r := rootIn(t, dir)
	dev := filepath.Join(dir, "dev")
	if err := errors.Join(os.MkdirAll(dev, 0o755), unix.Mount("tmpfs", dev, "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	if err := r.ground.adopt(handle(t, dev)); err != nil {
		t.Fatal(err)
	}
	return r
}

// rootOf is the root filesystem of this handle, on the ground of the calling thread's mount namespace.
func rootOf(t *testing.T, root *os.File) *rootfs {
	t.Helper()
	host, err := readMounts()
	if err != nil {
		t.Fatal(err)
	}
	r := &rootfs{root: root, ground: ground{host: host}}
	if err := r.ground.learn(r.root); err != nil {
		t.Fatal(err)
	}
	return r
}

// Character devices are found by their numbers, whatever stands beside them, and no link is followed.
func TestNodes(t *testing.T) {
	alone(t)
	top := onMemory(t)
	if got, err := rootIn(t, top).devNodes(); err != nil || len(got) > 0 {
		t.Errorf("without /dev: %v, %v", got, err)
	}
	r := rootWithDev(t, top)
	for _, dir := range []string{"dev/dri", "dev/sub/pts", "etc"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []struct {
		path         string
		kind         uint32
		major, minor uint32
	}{
		{"dev/nvidia0", unix.S_IFCHR, 195, 0},
		{"dev/dri/renderD128", unix.S_IFCHR, 226, 128},
		{"dev/many", unix.S_IFCHR, 7, 300},
		{"dev/block", unix.S_IFBLK, 7, 0},
		{"dev/fifo", unix.S_IFIFO, 0, 0},
		{"dev/sub/pts/0", unix.S_IFCHR, 1, 2},
		{"etc/x", unix.S_IFCHR, 1, 1},
	} {
		if err := unix.Mknod(filepath.Join(top, n.path), n.kind|0o600, int(unix.Mkdev(n.major, n.minor))); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"dev/link": "nvidia0", "dev/etc": "../etc", "dev/self": "."} {
		if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]number{
		"/dev/nvidia0": {195, 0}, "/dev/dri/renderD128": {226, 128}, "/dev/many": {7, 300}, "/dev/sub/pts/0": {1, 2},
	}
	got, err := r.devNodes()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(number{})); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if err := os.MkdirAll(top+"/dev/1/2/3/4", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := r.devNodes(); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(top+"/dev/1/2/3/4/5", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := r.devNodes(); err == nil || err.Error() != `"/dev/1/2/3/4/5" is too deep or too full to look through` {
		t.Errorf("too deep: %v", err)
	}
}

// What a delegate leaves in /dev, new or in the place of another, is what needs a rule.
func TestDelegatedNodes(t *testing.T) {
	alone(t)
	top, run := onMemory(t), t.TempDir()
	if err := os.Chmod(run, 0o755); err != nil {
		t.Fatal(err)
	}
	r := rootWithDev(t, top)
	mknod := `cd ` + top + `/dev && mknod `
	for _, node := range []string{"old c 1 3", "changed c 1 5"} {
		if out, err := exec.Command("/bin/sh", "-c", mknod+node).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	target := &Target{RunDir: run, Container: &state.Container{}}
	got, said, err := target.delegate(t.Context(), r, Delegate{
		Path: "/bin/sh", Args: []string{"sh", "-c", mknod + "nvidia1 c 195 1 && mknod nvidia0 c 195 0 && rm changed && " +
			"mknod changed c 1 7 && echo done"},
	})
	made := func(path string, major, minor int64) *devices.DeviceNode {
		return &devices.DeviceNode{
			Path: path, Type: "c", Major: major, Minor: minor, Permissions: "rw", Status: devices.Applied,
		}
	}
	want := []*devices.DeviceNode{made("/dev/changed", 1, 7), made("/dev/nvidia0", 195, 0), made("/dev/nvidia1", 195, 1)}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || said != "done" {
		t.Error(err, said, diff)
	}
	_, _, err = target.delegate(t.Context(), r, Delegate{
		Path: "/bin/sh", Args: []string{"sh", "-c", "echo no GPU; exit 1"},
	})
	if want := `delegate /bin/sh: exit status 1; it said: "no GPU"`; err == nil || err.Error() != want {
		t.Error(err)
	}
}

// What the runtime has left in our inheritable and ambient capabilities does not reach the programs that we run.
func TestRunInheritsNoCapabilities(t *testing.T) {
	require.Root(t)
	runtime.LockOSThread() // for good: the thread ends with the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	err := unix.Capget(&header, &sets[0])
	sets[0].Inheritable = 1 << unix.CAP_CHOWN
	err = errors.Join(err, unix.Capset(&header, &sets[0]),
		unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_CHOWN, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	c := command{path: "/bin/sh", args: []string{"sh", "-c", "grep -E 'Cap(Inh|Amb)' /proc/self/status"}}
	said, err := c.run(t.Context())
	if want := "CapInh: 0000000000000000 CapAmb: 0000000000000000"; err != nil || said != want {
		t.Errorf("%q, %v", said, err)
	}
}
