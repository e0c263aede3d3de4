package early

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/idmap"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestParse(t *testing.T) {
	create := command{stage: "createRuntime"}
	configured := command{stage: "createRuntime", config: "/c"}
	for line, want := range map[string]command{
		"createRuntime":                               create,
		"precreate":                                   {stage: "precreate"},
		"--config /c createRuntime":                   configured,
		"-config=/c createRuntime":                    configured,
		"--config /b --config /c createRuntime":       configured,
		"--cdi-spec-dir /d --config=/c createRuntime": configured,
		"--config /c --cdi-spec-dir=/d createRuntime": configured,
		"createRuntime --engine crio":                 create,
		"createRuntime -engine=podman":                create,
		"precreate --engine podman":                   {stage: "precreate"},
		"":                                            {},
		"--config":                                    {},
		"--config /c":                                 {},
		"--config= createRuntime":                     {},
		"prestart":                                    {},
		"explain":                                     {},
		"-- createRuntime":                            {},
		"- createRuntime":                             {},
		"--help createRuntime":                        {},
		"createRuntime x":                             {},
		"createRuntime --engine":                      {},
		"createRuntime --engine docker":               {},
		"createRuntime --engine crio x":               {},
		"createRuntime --config /c":                   {},
		"createRuntime --engine=crio --engine=podman": {},
	} {
		c, ok := parse(strings.Fields(line))
		if ok != (want.stage != "") || ok && c != want {
			t.Errorf("%q: %+v, %v", line, c, ok)
		}
	}
}

// The names here are those of the packages that this one cannot import.
func TestNames(t *testing.T) {
	for _, engine := range append(state.Engines(), "crio") {
		if !isEngine(engine) {
			t.Errorf("engine %s is not known", engine)
		}
	}
	if defaultConfig != config.DefaultPath {
		t.Errorf("the default configuration is %s", config.DefaultPath)
	}
}

// A file server that is gone holds nobody here: package hook waits for it, as long as the configuration says.
func TestFileServerThatIsGone(t *testing.T) {
	require.Root(t)
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		require.Missing(t, "this test needs /dev/fuse")
	}
	dir := t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device.Fd())
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = device.Close() // whoever waits gets an error now
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	failed := make(chan error, 1)
	go func() {
		_, err := readFile(dir+"/config.toml", 1)
		failed <- err
	}()
	select {
	case err := <-failed:
		if err == nil || errors.Is(err, unix.ENOENT) {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
}

// run runs the program as an engine runs its hooks, and returns what it writes. traced is the initialisation of
// packages.
func run(t *testing.T, input string, args ...string) (stdout, stderr, traced string, status int) {
	t.Helper()
	cmd := exec.Command(require.GPUHook(t), args...)
	cmd.Env = []string{"GODEBUG=inittrace=1"}
	cmd.Stdin = strings.NewReader(input)
	var out, all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &all
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(all.String()) {
		if strings.HasPrefix(line, "init ") {
			traced += line
		} else {
			stderr += line
		}
	}
	return out.String(), stderr, traced, cmd.ProcessState.ExitCode()
}

// isEarly reports whether no package but Go's own was initialised.
func isEarly(traced string) bool {
	for line := range strings.Lines(traced) {
		path := strings.Fields(line)[1]
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") || path == "main" {
			return false
		}
	}
	return traced != ""
}

// bundle makes a bundle with this environment and returns the state of its container and its config.json.
func bundle(t *testing.T, env ...string) (state, spec string) {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(map[string]any{"ociVersion": "1.0.2", "process": map[string]any{"env": env}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"ociVersion":"1.0.2","id":"x","status":"creating","pid":1,"bundle":%q}`, dir), string(data)
}

// The process ends before any library is initialised if nothing is requested, and else it goes on.
func TestBeforeLibraries(t *testing.T) {
	state, spec := bundle(t, "PATH=/bin")
	asking, askingSpec := bundle(t, "NVIDIA_VISIBLE_DEVICES=none")
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, input, stage, stdout, stderr string
		early                              bool
		status                             int
	}{
		{"a quiet container", state, "createRuntime", "", "", true, 0},
		{"a quiet spec", spec, "precreate", spec, "", true, 0},
		{"a request", asking, "createRuntime", "", "", false, 0},
		{"a spec's request", askingSpec, "precreate", askingSpec, "", false, 0},
		{"no state", "", "createRuntime", "", "E-STATE", false, 1},
		{"a large state", state + strings.Repeat(" ", 2*maxState), "createRuntime", "", "", false, 0},
		{"a state that is too large", state + strings.Repeat(" ", 16<<20), "createRuntime", "", "E-STATE", false, 1},
		{"a large spec", spec + strings.Repeat("\n", 4<<20), "precreate", spec + strings.Repeat("\n", 4<<20), "", false, 0},
		{"a spec that is none", "{", "precreate", "{", "", false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, traced, status := run(t, test.input, "--config", config, test.stage)
			if status != test.status || stdout != test.stdout || !strings.Contains(stderr, test.stderr) {
				t.Errorf("status %d, %d bytes, stderr %q", status, len(stdout), stderr)
			}
			if isEarly(traced) != test.early {
				t.Errorf("early is %v:\n%s", !test.early, traced)
			}
		})
	}
}

// A spec that nobody reads, or that cannot be written at once, is left to main, which says what is wrong.
func TestSpecThatCannotBeWritten(t *testing.T) {
	_, spec := bundle(t, "PATH=/bin")
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		flags  int
		read   bool
		status int
		stderr string
	}{
		"nobody reads it":   {0, false, 1, "write the spec"},
		"it does not block": {unix.O_NONBLOCK, true, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fds := make([]int, 2)
			if err := unix.Pipe2(fds, unix.O_CLOEXEC|test.flags); err != nil {
				t.Fatal(err)
			}
			reader, writer := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
			defer writer.Close()
			defer reader.Close()
			if !test.read {
				_ = reader.Close()
			}
			cmd := exec.Command(require.GPUHook(t), "--config", config, "precreate")
			cmd.Env = []string{"GODEBUG=inittrace=1"}
			var stderr bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(spec), writer, &stderr
			if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if cmd.ProcessState.ExitCode() != test.status || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("%v: %s", cmd.ProcessState, &stderr)
			}
			if !strings.Contains(stderr.String(), "init main ") {
				t.Error("main has not begun")
			}
		})
	}
}

// A configuration has its triggers, a user's own too.
func TestConfigurations(t *testing.T) {
	state, _ := bundle(t, "ACME=all")
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte("[requests]\npreferred-env = [\"ACME\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, traced, _ := run(t, state, "--config", file, "createRuntime"); isEarly(traced) {
		t.Error("a trigger of the configuration is missed")
	}
	if _, _, traced, _ := run(t, state, "--config", dir, "createRuntime"); isEarly(traced) {
		t.Error("a folder is taken for a configuration")
	}
	for _, test := range []struct{ name, value, want string }{
		{"XDG_CONFIG_HOME", "/x", "/x/gpu-hook/config.toml"},
		{"HOME", "/h", "/h/.config/gpu-hook/config.toml"},
	} {
		t.Setenv("XDG_CONFIG_HOME", "")
		t.Setenv("HOME", "")
		t.Setenv(test.name, test.value)
		if files := filesOfUser(); len(files) != 1 || files[0] != test.want {
			t.Errorf("%s: %v", test.name, files)
		}
		if files := userFiles(); os.Getuid() == 0 && trust.Identify().Rootless == (len(files) == 0) {
			t.Errorf("%s: root has the files %v", test.name, files)
		}
	}
}

// The host's own user namespace is known by its map, as package idmap knows it.
func TestIsInitial(t *testing.T) {
	for _, text := range []string{
		"         0          0 4294967295\n", "", "0 0 4294967295", "         0       1000          1\n",
		"         0          0 4294967294\n", "         1          0 4294967295\n", "0 0 4294967295\n0 0 1\n",
		"         0       1000          1\n         1     100000      65536\n",
	} {
		m, err := idmap.Parse(text)
		if want := err == nil && m.Initial(); isInitial([]byte(text)) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

// Package config cleans the path of a configuration before it opens the file, so that the file that the kernel finds at
// a path with ".." may be another, or missing.
func TestConfigurationAboveALink(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	if err := errors.Join(
		os.WriteFile(file, []byte("[requests]\npreferred-env = [\"ACME\"]\n"), 0o600),
		os.MkdirAll(filepath.Join(dir, "other", "folder"), 0o700),
		os.WriteFile(filepath.Join(dir, "other", "config.toml"), nil, 0o600),
		os.Symlink("other/folder", filepath.Join(dir, "link")),
	); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir + "/missing/../config.toml", dir + "/link/../config.toml"} {
		_, _ = os.ReadFile(path) // so that the kernel has looked the path up
		if _, ok := triggersOf(command{config: path}); ok {
			t.Errorf("%s: the triggers are those of another file", path)
		}
	}
	for path, want := range map[string]bool{
		"/etc/x": false, "..": true, "../x": true, "/x/..": true, "/x/../y": true, "/x/..y/y..": false, "/x/.../y": false,
	} {
		if climbs(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
