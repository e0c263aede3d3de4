package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// fixture returns a file of testdata, adapted to this host.
func (s *site) fixture(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "HOST", s.Host.Dir)
}

// spec replaces the host's Spec with one of testdata. It installs the hooks that such Specs name: the real
// nvidia-cdi-hook, and one that always fails.
func (s *site) spec(name string) {
	s.t.Helper()
	hook, err := os.ReadFile(require.Program(s.t, "nvidia-cdi-hook"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("bin/nvidia-cdi-hook", string(hook), 0o755)
	s.write("bin/hookfail", s.fixture("hookfail"), 0o755)
	s.write("cdi/nvidia.yaml", s.fixture(name), 0o644)
}

func (s *site) write(name, text string, mode os.FileMode) {
	s.t.Helper()
	if err := s.Host.Write(name, text, mode); err != nil {
		s.t.Fatal(err)
	}
}

// configure appends to gpu-hook's configuration.
func (s *site) configure(text string) {
	s.t.Helper()
	s.write("config.toml", s.Host.Config()+text, 0o644)
}

// begin starts a container that answers commands, from the image if one is named and otherwise from the root
// filesystem. It fails the test if the container does not start.
func (s *site) begin(p *engine.Podman, image string, b gpuhost.Bundle) *engine.Running {
	s.t.Helper()
	b.Args = []string{"sh", "-c", engine.Evaluates}
	described := p.Container(b)
	if image != "" {
		described = p.Of(image, b)
	}
	c, err := engine.Start(s.Dir, p.Command(append([]string{"run", "--rm", "--interactive"}, described...)...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.End() })
	if got := s.ask(c, "echo started"); got != "started" {
		s.t.Fatalf("the container answers %q", got)
	}
	return c
}

func (s *site) ask(c *engine.Running, command string) string {
	s.t.Helper()
	answer, err := c.Ask(command)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

const (
	listNodes   = `for d in /dev/nvidia*; do [ -e "$d" ] && echo "$d"; done`
	showLibrary = `cat ` + gpuhost.LibDir + `/libcuda.so`
	// listOurs finds all that the host's Specs, their hooks and gpu-hook could have left in a container.
	listOurs = `find /usr /etc /opt -name "*cuda*" -o -name "*nvidia*" -o -name "*ld.so*" 2>/dev/null; ` + listNodes +
		`; grep -e /dev/nvidia -e libcuda /proc/self/mountinfo`
)

// served checks a container that begin started: it has only GPU 0, which it can open, and the library under the name
// that a hook of the Spec gave it.
func (s *site) served(c *engine.Running) {
	s.t.Helper()
	for command, want := range map[string]string{
		listNodes: "/dev/nvidia0 /dev/nvidiactl", showLibrary: library, `(: >/dev/nvidia0) && echo open`: "open",
	} {
		if got := s.ask(c, command); got != want {
			s.t.Errorf("in the container %s is %q, not %q", command, got, want)
		}
	}
}

// untouched checks that a container that begin started has nothing from gpu-hook.
func (s *site) untouched(c *engine.Running) {
	s.t.Helper()
	if got := s.ask(c, listOurs); got != "" {
		s.t.Errorf("in the container there is %s", got)
	}
}

// empty checks that a directory of the host is empty.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("in the host's %s there is %v, %v", dir, entries, err)
	}
}

// folder makes a directory on the host, with subdirectories.
func (s *site) folder(name string, sub ...string) string {
	s.t.Helper()
	dir := s.Host.Path(name)
	for _, d := range append(sub, ".") {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// image builds an image from the root filesystem and further lines of a Containerfile.
func (s *site) image(p *engine.Podman, lines, flags []string) string {
	s.t.Helper()
	const name = "localhost/gpu-hook-test"
	if o := s.ended(p.Build(name, lines, flags)); o.Status != 0 {
		s.t.Fatalf("podman build: status %d: %s", o.Status, o.Stderr)
	}
	return name
}

// privately runs a command in a mount namespace of its own, after shell commands that prepare the namespace.
func privately(dir, prepare string, argv ...string) (outcome, error) {
	cmd := exec.Command("unshare",
		append([]string{"--mount", "--propagation", "private", "sh", "-euc", prepare + "\nexec \"$@\"", "sh"}, argv...)...)
	cmd.Dir = dir
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return outcome{}, err
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
}

// stagings returns podman with each runtime of this machine, with createRuntime alone and with precreate too.
func stagings(t *testing.T) []starter {
	t.Helper()
	return append(podmans(t), precreates(t)...)
}

// sessionOf is session with the stages of the starter.
func (s *site) sessionOf(e starter, b *gpuhost.Bundle) *engine.Podman {
	s.t.Helper()
	if strings.HasPrefix(e.name, "precreate") {
		*b = precreated(*b)
	}
	return s.session(e, b)
}

// mapped returns podman's flags for a container whose root is mappedRoot.
func mapped() []string {
	ids := fmt.Sprintf("0:%d:65536", mappedRoot)
	return []string{"--uidmap", ids, "--gidmap", ids}
}
