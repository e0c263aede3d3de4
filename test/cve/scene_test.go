package cve

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// The two ways in which paths are resolved in a root filesystem.
const (
	kernelResolver = "openat2"
	walkResolver   = "walk"
)

func resolvers() []string { return []string{kernelResolver, walkResolver} }

// scene is a synthetic host with a bundle that is attacked, and what must not change around it.
type scene struct {
	*engine.Site
	t      *testing.T
	attack attack
	venue  venue
	bundle string
	wrong  []string // what must not be
	// prefix is put before the command line of the hook.
	prefix []string
	// env and files are what the hook inherits, in the direct venue alone: a runtime passes on nothing.
	env   []string
	files []*os.File
	shape []string // variables of the holder, in the direct venue
	pid   int      // of the holder
	held  func()   // is called when the holder is ready
	ended func()   // is called when the hook has ended and the holder still is there
}

// looks is what every container runs first: it lists what it has got.
const looks = `for p in /dev/nvidia* /usr/lib/x86_64-linux-gnu/*; do [ -e "$p" ] && echo "has $p"; done
while read -r line; do echo "mount $line"; done </proc/self/mountinfo
for fd in /proc/self/fd/*; do echo "descriptor $(readlink "$fd")"; done
`

// newScene makes the host, the bundle and the surroundings, and plants the attack.
func newScene(t *testing.T, v venue, a attack, resolver string) *scene {
	t.Helper()
	require.Root(t)
	require.Program(t, "busybox")
	// A test's own temporary directory has the case's title in its name, with words that checks look for.
	dir, err := os.MkdirTemp("", "gpu-hook-cve") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	site, err := engine.New(dir, require.GPUHook(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{Site: site, t: t, attack: a, venue: v}
	s.surround()
	if resolver == walkResolver {
		s.prefix = []string{s.link()}
	}
	script := looks + a.script + "\necho started"
	b := gpuhost.Bundle{Args: []string{"/bin/sh", "-c", script}, Annotations: map[string]string{}}
	switch a.asks {
	case "":
		b.Annotations["gpu-hook/gpus"] = "device=0"
	case "-":
	default:
		b.Annotations["gpu-hook/gpus"] = a.asks
	}
	if a.edit != nil {
		a.edit(&b)
	}
	if s.bundle, err = s.Bundle(b); err != nil {
		t.Fatal(err)
	}
	if a.spec != "" {
		s.write("cdi/nvidia.yaml", "cdiVersion: \"0.6.0\"\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n"+
			"  containerEdits:\n"+indented(s.named(a.spec)))
	}
	if a.plant != nil {
		a.plant(s)
	}
	return s
}

// named replaces the names of a case's text by the scene's paths.
func (s *scene) named(text string) string {
	return strings.NewReplacer("HOST", s.Host.Dir, "ROOT", s.rootfs(""), "OUTSIDE", s.outside("")).Replace(text)
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		b.WriteString("    " + line)
	}
	return b.String()
}

// rootfs is a path of the root filesystem, by the host's name.
func (s *scene) rootfs(path string) string { return filepath.Join(s.bundle, "rootfs", path) }

// outside is a path in the directory that attacks lead to.
func (s *scene) outside(path string) string { return filepath.Join(s.Dir, "outside", path) }

// log is where programs of the host write to.
func (s *scene) log() string { return s.Host.Path("run/log") }

func (s *scene) readLog() string {
	s.t.Helper()
	data, err := os.ReadFile(s.log())
	s.must(err)
	return string(data)
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) write(name, text string) {
	s.t.Helper()
	s.must(s.Host.Write(name, text, 0o644))
}

// program installs a script on the host. In it, LOG is the log and the names are replaced.
func (s *scene) program(name, text string) {
	s.t.Helper()
	s.must(s.Host.Write(name, "#!/bin/sh\n"+s.named(strings.ReplaceAll(text, "LOG", s.log())), 0o755))
}

// vendor installs the real nvidia-cdi-hook on the host.
func (s *scene) vendor() {
	s.t.Helper()
	data, err := os.ReadFile(require.Program(s.t, "nvidia-cdi-hook"))
	s.must(err)
	s.must(s.Host.Write("bin/nvidia-cdi-hook", string(data), 0o755))
}

// image puts a file into the root filesystem; its directories are made.
func (s *scene) image(path, text string, mode os.FileMode) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.rootfs(path)), 0o755))
	s.must(os.WriteFile(s.rootfs(path), []byte(text), mode))
}

// symlink makes the path in the root filesystem a link, in place of whatever is there.
func (s *scene) symlink(target, path string) {
	s.t.Helper()
	s.must(os.RemoveAll(s.rootfs(path)))
	s.must(os.MkdirAll(filepath.Dir(s.rootfs(path)), 0o755))
	s.must(os.Symlink(target, s.rootfs(path)))
}

// link returns the name by which the test binary takes openat2(2) away.
func (s *scene) link() string {
	s.t.Helper()
	self, err := os.Executable()
	s.must(err)
	name := s.Host.Path("bin/" + withoutOpenat2)
	s.must(os.Symlink(self, name))
	return name
}

// surround makes the directory that attacks lead to: a file, an empty directory, a FIFO, a private file, libraries and
// a ptmx, with extended attributes.
func (s *scene) surround() {
	s.t.Helper()
	for _, dir := range []string{"empty", "libs"} {
		s.must(os.MkdirAll(s.outside(dir), 0o755))
	}
	for name, mode := range map[string]os.FileMode{
		"marker": 0o644, "private": 0o600, "ptmx": 0o666, "libs/libcuda.so.1": 0o644, "ld.so.cache": 0o644,
	} {
		s.must(os.WriteFile(s.outside(name), []byte("the host's "+name), mode))
		_ = unix.Setxattr(s.outside(name), "trusted.gpu-hook", []byte(name), 0) // not every filesystem has them
	}
	s.must(unix.Mkfifo(s.outside("fifo"), 0o600))
	s.must(unix.Mknod(s.outside("node"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
}

// state is the state that a runtime gives to a hook.
func (s *scene) state() string {
	s.t.Helper()
	data, err := json.Marshal(map[string]any{
		"ociVersion": "1.0.2", "id": s.ID(), "status": "creating", "pid": s.pid, "bundle": s.bundle,
	})
	s.must(err)
	return string(data)
}

// hook returns the command line and environment of the installed hook, behind the prefix.
func (s *scene) hook() (argv, env []string) {
	s.t.Helper()
	raw, err := gpuhost.HookOf(s.Host.Path("hooks.d/gpu-hook.json"))
	s.must(err)
	var h struct {
		Path      string
		Args, Env []string
	}
	s.must(json.Unmarshal(raw, &h))
	return append(append(append([]string{}, s.prefix...), h.Path), h.Args[1:]...), h.Env
}

// wrapHook makes config.json run the hook behind the prefix.
func (s *scene) wrapHook() {
	s.t.Helper()
	if len(s.prefix) == 0 {
		return
	}
	argv, env := s.hook()
	path := filepath.Join(s.bundle, "config.json")
	data, err := os.ReadFile(path)
	s.must(err)
	var config map[string]any
	s.must(json.Unmarshal(data, &config))
	hook := map[string]any{"path": argv[0], "args": argv, "env": env, "timeout": 60}
	config["hooks"] = map[string]any{"createRuntime": []any{hook}}
	data, err = json.Marshal(config)
	s.must(err)
	s.must(os.WriteFile(path, data, 0o600))
}

// start starts the container in the scene's venue.
func (s *scene) start() result {
	s.t.Helper()
	began := time.Now()
	r := s.venue.start(s)
	r.took = time.Since(began)
	return r
}

// result is how a start ended.
type result struct {
	status         int
	stdout, stderr string // stdout is the container's
	took           time.Duration
	memory         int64 // the hook's, in KiB, in the direct venue
}

func (r result) outcome() outcome {
	if r.status == 0 {
		return contained
	}
	return refused
}

// lines returns what follows this word in the lines of the container's output that begin with it.
func (r result) lines(word string) (out []string) {
	for line := range strings.Lines(r.stdout) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok {
			out = append(out, rest)
		}
	}
	return out
}

// judge checks the outcome, and what every container must not have: a mount or descriptor of what is outside.
func (s *scene) judge(r result) {
	s.t.Helper()
	got := r.outcome()
	if s.attack.want != either && got != s.attack.want {
		s.errorf("it is %s, not %s: status %d, %s", got, s.attack.want, r.status, r.stderr)
	}
	if got == contained && !strings.Contains(r.stdout, "started") {
		s.errorf("it did not start: %s%s", r.stdout, r.stderr)
	}
	if got == refused && strings.Contains(r.stdout, "started") {
		s.errorf("it was started: %s", r.stderr)
	}
	if got == refused && s.venue.name == direct && !strings.HasPrefix(r.stderr, "gpu-hook: E-") {
		s.errorf("it does not say why: %s", r.stderr)
	}
	for _, file := range append(r.lines("descriptor"), sources(r.lines("mount"))...) {
		// An absolute link leads to the same path in the root filesystem, which may be there.
		if strings.Contains(file, s.outside("")) && !strings.Contains(file, s.rootfs("")) {
			s.errorf("the container has a file of the host: %s", file)
		}
	}
}

// sources returns what is mounted by lines of mountinfo.
func sources(lines []string) (out []string) {
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 3 {
			out = append(out, fields[3])
		}
	}
	return out
}
