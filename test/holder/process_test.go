package holder

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// unread is the writing end of a pipe that has no reader.
func unread(t *testing.T) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	t.Cleanup(func() { _ = writer.Close() })
	return writer
}

// A start that fails after edits were made ends with status 1 although nobody reads why. It is not killed by SIGPIPE,
// which the engine would report instead of a refusal, and everything is undone.
func TestRefusalThatNobodyReads(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	c.spec(hookSpec)
	if err := c.host.Write("bin/hook", "#!/bin/sh\nexit 3\n", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := c.start().hook()
	cmd.Stdout, cmd.Stderr = unread(t), unread(t)
	r := c.runProcess(cmd)
	if r.status != 1 {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
	if r.report == nil || r.report.Result != "failed" {
		t.Errorf("record: %+v", r.report)
	}
	c.unchanged()
}

// Nobody reads the spec that precreate prints.
func TestSpecThatNobodyReads(t *testing.T) {
	c := newContainer(t, annotated("device=0"))
	spec := readFile(t, filepath.Join(c.bundle, "config.json"))
	for name, stderr := range map[string]*os.File{"the error is read": nil, "the error is not read": unread(t)} {
		t.Run(name, func(t *testing.T) {
			cmd := c.process(spec, require.GPUHook(t), "--config", c.host.Path("config.toml"), "precreate")
			cmd.Stdout = unread(t)
			if stderr != nil {
				cmd.Stderr = stderr
			}
			r := c.runProcess(cmd)
			if r.status != 1 {
				t.Errorf("it ended with %v", cmd.ProcessState)
			}
			if stderr == nil && !strings.Contains(r.stderr, "write the spec") {
				t.Errorf("standard error: %s", r.stderr)
			}
			c.unchanged()
		})
	}
}

// listsDescriptors is a program that writes to the host's log what its own descriptors are, with its first argument.
const listsDescriptors = `#!/bin/sh
for fd in /proc/$$/fd/*; do echo "$1 $(readlink "$fd")"; done >>HOST/log
`

// A descriptor that the runtime has left open reaches no program that gpu-hook runs, neither on the host nor in the
// container's namespaces. With the descriptor of a directory of the host, a program in the container's namespaces
// reaches the host's files (CVE-2024-21626).
func TestInheritedDescriptors(t *testing.T) {
	for name, test := range map[string]struct {
		gpus, program string
		runs          []string
	}{
		"hooks of a CDI Spec": {"device=0", "bin/hook", []string{"one", "two", "three"}},
		"the delegate":        {"driver=nvidia.runtime-hook", "bin/nvidia-container-runtime-hook", []string{"-config"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBundle(t, annotated(test.gpus))
			c.spec(hookSpec)
			if err := c.host.Write(test.program, strings.ReplaceAll(listsDescriptors, "HOST", c.host.Dir), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := c.start().hook()
			// The hook gets these as 3 and 40.
			cmd.ExtraFiles = []*os.File{0: open(t, c.host.Path("dev")), 37: open(t, c.host.Path("version"))}
			r := c.runProcess(cmd)
			if r.status != 0 {
				t.Fatalf("status %d: %s", r.status, r.stderr)
			}
			log := readFile(t, c.host.Path("log"))
			for _, run := range test.runs {
				if !strings.Contains(log, run+" pipe:") {
					t.Errorf("%s has listed no pipe:\n%s", run, log)
				}
			}
			for line := range strings.Lines(log) {
				_, file, _ := strings.Cut(strings.TrimSpace(line), " ")
				if file == c.host.Path("dev") || file == c.host.Path("version") {
					t.Errorf("a program has got a descriptor: %s", line)
				}
			}
		})
	}
}

// showsIgnored is a program that writes to the host's log, behind its first argument, which signals it ignores.
const showsIgnored = `#!/bin/sh
echo "$1 $(grep SigIgn: /proc/self/status)" >>HOST/log
`

// No program that gpu-hook runs ignores SIGPIPE. It would go on for ever where nobody reads its output.
func TestInheritedSignals(t *testing.T) {
	for name, test := range map[string]struct {
		gpus, program string
		runs          []string
	}{
		"hooks of a CDI Spec": {"device=0", "bin/hook", []string{"one", "two", "three"}},
		"the delegate":        {"driver=nvidia.runtime-hook", "bin/nvidia-container-runtime-hook", []string{"-config"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBundle(t, annotated(test.gpus))
			c.spec(hookSpec)
			program := strings.ReplaceAll(showsIgnored, "HOST", c.host.Dir)
			if err := c.host.Write(test.program, program, 0o755); err != nil {
				t.Fatal(err)
			}
			if r := c.start().run(); r.status != 0 {
				t.Fatalf("status %d: %s", r.status, r.stderr)
			}
			log := readFile(t, c.host.Path("log"))
			for _, run := range test.runs {
				_, ignored, found := strings.Cut(log, run+" SigIgn:\t")
				ignored, _, _ = strings.Cut(ignored, "\n")
				mask, err := strconv.ParseUint(ignored, 16, 64)
				if !found || err != nil || mask&(1<<(unix.SIGPIPE-1)) != 0 {
					t.Errorf("%s ignores SIGPIPE (%v):\n%s", run, err, log)
				}
			}
		})
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}
