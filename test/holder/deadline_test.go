package holder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// silent mounts a file system that never answers, and returns its mount point.
func silent(t *testing.T) string {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		require.Missing(t, "this test needs /dev/fuse")
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "silent")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device.Fd())
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = device.Close() // whoever waits gets an error now
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// onSilent returns a container whose Spec has a file on such a file system, with one second to start.
func onSilent(t *testing.T, options ...option) *container {
	t.Helper()
	c := newBundle(t, options...)
	c.spec(strings.ReplaceAll(`
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    mounts:
    - {hostPath: SILENT/lib, containerPath: /opt/lib, options: [ro, bind]}
`, "SILENT", silent(t)))
	if err := c.host.Write("config.toml", c.host.Config()+"[limits]\ntimeout = \"1s\"\n", 0o644); err != nil {
		t.Fatal(err)
	}
	return c.start()
}

// A host path that never answers, such as one on a lost file server, delays a start by no more than the configured
// time. The request is refused.
func TestPlanningIsBounded(t *testing.T) {
	c := onSilent(t, annotated("device=0"))
	r := c.run()
	r.refused(t, "E-TIMEOUT", "1s", "/silent does not answer")
	if r.report == nil || r.report.Result != "refused" || len(r.report.Requests) != 1 ||
		r.report.Requests[0].Status != "unserved" {
		t.Errorf("record: %+v", r.report)
	}
	c.unchanged()
}

// A wish does not stop the start.
func TestPlanningOfAWishIsBounded(t *testing.T) {
	c := onSilent(t, withEnv("NVIDIA_VISIBLE_DEVICES=all"))
	spec := strings.Replace(readFile(t, c.host.Path("cdi/nvidia.yaml")), `"0"`, "all", 1)
	if err := c.host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
		t.Fatal(err)
	}
	c.before = c.snapshot()
	r := c.run()
	if r.status != 0 || r.stderr != "" {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
	if r.report == nil || len(r.report.Warnings) != 1 || r.report.Warnings[0].Code != "W-WEAK" ||
		!strings.Contains(r.report.Warnings[0].Message, "within 1s") {
		t.Errorf("record: %+v", r.report)
	}
	c.unchanged()
}

func TestPlanningForASpecIsBounded(t *testing.T) {
	c := onSilent(t, annotated("device=0"))
	r := c.runCommand(readFile(t, filepath.Join(c.bundle, "config.json")), require.GPUHook(t),
		"--config", c.host.Path("config.toml"), "precreate")
	if spec := readFile(t, filepath.Join(c.bundle, "config.json")); r.status != 0 || r.stdout != spec {
		t.Errorf("status %d: %s%s", r.status, r.stdout, r.stderr)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Whatever of a start lies on such a file system, the start ends, and its one error names what it waited for.
func TestWhateverHangsIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		config string // of gpu-hook, with DIR for the file system
		spec   string // of the container's device, where it is not the host's
	}{
		"a directory of Specs": {config: "[cdi]\nspec-dirs = [\"DIR/cdi\"]\n"},
		"a link to a Spec":     {},
		"a hook of a Spec":     {spec: "hooks: [{hookName: createRuntime, path: DIR/bin/hook}]"},
		"a node of a Spec":     {spec: "deviceNodes: [{path: /dev/x, hostPath: DIR/dev/x}]"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := silent(t)
			c := newBundle(t, annotated("device=0"))
			config := test.config
			if config == "" {
				config = c.host.Config()
			}
			config = strings.ReplaceAll(config, "DIR", dir) + "[limits]\ntimeout = \"1s\"\n"
			if err := c.host.Write("config.toml", config, 0o644); err != nil {
				t.Fatal(err)
			}
			switch {
			case test.spec != "":
				c.spec(fmt.Sprintf("cdiVersion: \"0.6.0\"\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n"+
					"    %s\n", strings.ReplaceAll(test.spec, "DIR", dir)))
			case test.config == "":
				if err := os.Symlink(dir+"/spec.yaml", c.host.Path("cdi/linked.yaml")); err != nil {
					t.Fatal(err)
				}
			}
			c = c.start()
			c.run().refused(t, "E-TIMEOUT", "1s", dir, "does not answer")
			c.unchanged()
		})
	}
}

// A container that asks for nothing starts although the configuration cannot be read in time; one that asks does not.
func TestConfigurationThatHangs(t *testing.T) {
	t.Parallel() // it takes the default time, half a minute
	dir := silent(t)
	for name, test := range map[string]struct {
		env    string
		status int
	}{
		"nothing is asked for": {"A=b", 0},
		"a device is":          {"NVIDIA_VISIBLE_DEVICES=0", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newBundle(t, withEnv(test.env)).start()
			r := c.runCommand(stateOf(t, c.state()), require.GPUHook(t), "--config", dir+"/config.toml", "createRuntime")
			if r.status != test.status || test.status == 1 && !strings.Contains(r.stderr, dir) {
				t.Errorf("status %d: %s", r.status, r.stderr)
			}
		})
	}
}

// A bundle that does not answer tells nothing about the container, which does not start.
func TestBundleThatHangs(t *testing.T) {
	c := onSilent(t)
	state := c.state()
	state["bundle"] = silent(t) + "/bundle"
	r := c.runCommand(stateOf(t, state), require.GPUHook(t), "--config", c.host.Path("config.toml"), "createRuntime")
	r.refused(t, "E-TIMEOUT", "1s", "/bundle", "does not answer")
}

func stateOf(t *testing.T, state map[string]any) string {
	t.Helper()
	data, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A runtime that does not end what it writes holds nobody for good.
func TestStateThatDoesNotEnd(t *testing.T) {
	c := onSilent(t)
	for stage, want := range map[string]string{
		"createRuntime": "gpu-hook: E-TIMEOUT: state on standard input: it did not end within 1s",
		"precreate":     "gpu-hook: E-TIMEOUT: spec on standard input: it did not end within 1s",
	} {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteString(stateOf(t, c.state())); err != nil {
			t.Fatal(err)
		}
		cmd := c.process("", require.GPUHook(t), "--config", c.host.Path("config.toml"), stage)
		cmd.Stdin = reader
		r := c.runProcess(cmd)
		if r.status != 1 || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%s: status %d: %s%s", stage, r.status, r.stdout, r.stderr)
		}
		_, _ = reader.Close(), writer.Close()
	}
	c.unchanged()
}

// A config.json that is too large to be decoded stops only a container that asks for a device by it.
func TestLargeConfig(t *testing.T) {
	for name, test := range map[string]struct {
		env    string
		status int
	}{
		"nothing":             {"A=b", 0},
		"an explicit nothing": {"NVIDIA_VISIBLE_DEVICES=void", 0},
		"a wish":              {"NVIDIA_VISIBLE_DEVICES=all", 0},
		"a device":            {"NVIDIA_VISIBLE_DEVICES=0", 1},
		"a channel":           {"NVIDIA_IMEX_CHANNELS=0", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBundle(t, withEnv(test.env), edited(func(config map[string]any) {
				config["annotations"] = map[string]string{"x": strings.Repeat("y", limits.Config)}
			})).start()
			r := c.run()
			if test.status == 1 {
				r.refused(t, "E-BUNDLE", "it is larger than gpu-hook reads", "the container asks by", test.env)
			} else if r.status != 0 || r.stderr != "" {
				t.Errorf("status %d: %s", r.status, r.stderr)
			}
			c.unchanged()
		})
	}
}
