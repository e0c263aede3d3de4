package systemd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

const gpu = "/dev/nvidia0"

type scenario struct {
	name string
	run  func(*testing.T, *site)
}

// Some device rules survive systemd's daemon-reload, and some do not.
func TestDaemonReload(t *testing.T) {
	both := []scenario{
		{"a container of podman keeps its GPU", keeps},
		{"so does one whose nodes the delegate made", delegateKeeps},
		{"so does one whose spec podman had edited before", precreateKeeps},
		{"rules set behind systemd's back are lost", behindItsBack},
		{"systemd cannot be told", untold},
		{"a start that fails leaves nothing", failedStart},
	}
	t.Run("version 1", func(t *testing.T) {
		require.Root(t)
		if !mounted("--types", "cgroup", "--options", "devices") ||
			!mounted("--types", "cgroup", "--options", "name=systemd") {
			t.Log("this machine has no devices controller of version 1, and none to lose devices by")
			return
		}
		play(t, boot(t, "1"), both)
	})
	t.Run("version 2", func(t *testing.T) {
		play(t, boot(t, "2"), append(both, scenario{"a program that is pinned", pinned},
			scenario{"a program that is pinned for others too", pinnedForOthers}))
	})
}

func play(t *testing.T, m *machine, scenarios []scenario) {
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) { s.run(t, newSite(t, m, strconv.Itoa(i))) })
	}
}

// site is a synthetic GPU host on the machine.
type site struct {
	*engine.Site
	*machine
	t    *testing.T
	more []string // of podman's own flags
}

func newSite(t *testing.T, m *machine, name string) *site {
	t.Helper()
	s, err := engine.New(filepath.Join(m.dir, name), require.GPUHook(t))
	if err != nil {
		t.Fatal(err)
	}
	return &site{s, &machine{t: t, dir: m.dir, v1: m.v1, pid: m.pid}, t, nil}
}

// podman starts a container by podman that runs [engine.Tries].
func (s *site) podman(args ...string) *engine.Running {
	s.t.Helper()
	rootfs := filepath.Join(s.Dir, "rootfs")
	if err := gpuhost.RootFS(rootfs); err != nil {
		s.t.Fatal(err)
	}
	argv := append(s.inside("podman", "--root", s.Dir+"/s", "--runroot", s.Dir+"/r", "--tmpdir", s.Dir+"/t",
		"--storage-driver", "vfs", "--cgroup-manager", "systemd", "--runtime", "runc",
		"--hooks-dir", s.Host.Path("hooks.d")), s.more...)
	argv = append(argv, "run", "--rm", "--interactive", "--network", "none",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--pids-limit", "0")
	argv = append(argv, args...)
	return s.start(append(argv, "--rootfs", rootfs, "sh", "-c", engine.Tries))
}

func (s *site) start(argv []string) *engine.Running {
	s.t.Helper()
	c, err := engine.Start(s.Dir, append([]string{"nsenter"}, argv...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.End() })
	return c
}

// is checks what the container says about opening its GPU.
func (s *site) is(c *engine.Running, when, want string) {
	s.t.Helper()
	got, err := c.Ask(gpu)
	if err != nil {
		s.t.Fatal(err)
	}
	if got != want {
		s.t.Errorf("%s the GPU is %s", when, got)
	}
}

// scope returns the only scope of a podman container.
func (s *site) scope() string {
	s.t.Helper()
	units := s.do("systemctl", "list-units", "--plain", "--no-legend", "--no-pager", "--full", "libpod-*.scope")
	for line := range strings.Lines(units) {
		if name := strings.Fields(line)[0]; !strings.HasPrefix(name, "libpod-conmon-") {
			return name
		}
	}
	s.t.Fatal("podman has made no scope")
	return ""
}

// gone waits until systemd has forgotten the scope and everything that it kept for it.
func (s *site) gone(scope string) {
	s.t.Helper()
	await(s.t, "the end of "+scope, func() bool { return len(s.kept(scope)) == 0 })
}

func (s *site) last() *report.Report {
	s.t.Helper()
	o, err := s.GPUHook("last", "--json")
	if err != nil || o.Status != 0 {
		s.t.Fatalf("gpu-hook last: %v %s", err, o.Stderr)
	}
	r := &report.Report{}
	if err := json.Unmarshal([]byte(o.Stdout), r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// warns checks whether the record warns that access will be lost.
func (s *site) warns(want bool) {
	s.t.Helper()
	found := false
	for _, w := range s.last().Warnings {
		if w.Code == "W-CGROUP" {
			found = true
			s.t.Logf("%s: %s (%s)", w.Code, w.Message, w.Hint)
		}
	}
	if found != want {
		s.t.Errorf("the record warns of the loss: %v", found)
	}
}

func keeps(t *testing.T, s *site) { s.keeps() }

func delegateKeeps(t *testing.T, s *site) {
	if err := s.Delegate(require.Program(t, "nvidia-container-runtime-hook")); err != nil {
		t.Fatal(err)
	}
	s.keeps()
	if r := s.last(); len(r.Grants) != 1 || r.Grants[0].Delegate == nil {
		t.Errorf("the delegate did not run: %+v", r.Grants)
	}
}

// With both stages the devices stay open too, whichever stage has told systemd.
func precreateKeeps(t *testing.T, s *site) {
	s.more = []string{"--hooks-dir", s.Host.Path("precreate.d")}
	c := s.podman("--annotation", "gpu-hook/gpus=device=0")
	s.is(c, "at first", "open")
	scope := s.scope()
	for range 2 {
		s.do("systemctl", "daemon-reload")
		s.is(c, "after daemon-reload", "open")
	}
	r := s.last()
	if r.Result != plan.ResultApplied || len(r.Warnings) > 0 || len(r.Edits.DeviceNodes) == 0 {
		t.Errorf("record: %s %+v", r.Result, r.Warnings)
	}
	for _, d := range r.Edits.DeviceNodes {
		if d.Status != devices.Applied {
			t.Errorf("%s is %s", d.Path, d.Status)
		}
	}
	if err := c.End(); err != nil {
		t.Error(err)
	}
	s.gone(scope)
}

// keeps starts a container that requests a GPU, reloads systemd twice, and ends the container.
func (s *site) keeps() {
	s.t.Helper()
	c := s.podman("--annotation", "gpu-hook/gpus=device=0")
	s.is(c, "at first", "open")
	scope := s.scope()
	programs := s.programs(s.group(scope))
	s.do("systemctl", "daemon-reload")
	s.is(c, "after daemon-reload", "open")
	s.do("systemctl", "daemon-reload")
	s.is(c, "after another", "open")
	if now := s.programs(s.group(scope)); len(now) != len(programs) {
		s.t.Errorf("the scope had programs %v, and has %v: systemd does not know its own any more", programs, now)
	}
	list := s.do("systemctl", "show", "--property", "DeviceAllow", scope)
	if strings.Count(list, "/dev/char/1:11 rw\n") != 1 && !strings.HasSuffix(list, "/dev/char/1:11 rw") {
		s.t.Errorf("systemd has %s", list)
	}
	s.warns(false)
	if err := c.End(); err != nil {
		s.t.Error(err)
	}
	s.gone(scope)
}

// The best-known failure of hooks that set device rules, as a control of this test.
func behindItsBack(t *testing.T, s *site) {
	c := s.podman("--cap-add", "MKNOD")
	s.is(c, "before it is made", "open") // a file
	scope := s.scope()
	s.node(scope)
	s.is(c, "at first", "denied")
	s.open(s.group(scope))
	s.is(c, "with its rules changed", "open")
	s.do("systemctl", "daemon-reload")
	s.is(c, "after daemon-reload", "denied")
}

// If systemd does not answer, the start does not fail. The GPU can be opened, and the record says for how long.
func untold(t *testing.T, s *site) {
	definition := s.Host.Path("hooks.d/gpu-hook.json")
	data, err := os.ReadFile(definition)
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.Replace(string(data), `"env": [`, `"env": ["DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/none", `, 1))
	if err := os.WriteFile(definition, data, 0o644); err != nil {
		t.Fatal(err)
	}
	// systemctl and podman use the other bus.
	s.do("mv", "/run/systemd/private", "/run/systemd/away")
	t.Cleanup(func() { s.do("mv", "/run/systemd/away", "/run/systemd/private") })
	c := s.podman("--annotation", "gpu-hook/gpus=device=0")
	s.is(c, "at first", "open")
	s.warns(true)
	s.do("systemctl", "daemon-reload")
	s.is(c, "after daemon-reload", "denied")
}

// systemd is told, and then the start fails. What systemd keeps for the scope is removed.
func failedStart(t *testing.T, s *site) {
	spec := s.Host.Spec() + `  hooks:
  - hookName: createContainer
    path: ` + s.Host.Path("bin/fails") + "\n"
	if err := s.Host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
		t.Fatal(err)
	}
	kept := s.Host.Path("kept")
	if err := s.Host.Write(
		"bin/fails", "#!/bin/sh\ngrep -rl 1:11 /run/systemd/transient >"+kept+"\nexit 1\n", 0o755,
	); err != nil {
		t.Fatal(err)
	}
	if _, err := s.podman("--annotation", "gpu-hook/gpus=device=0").Ask(gpu); err == nil {
		t.Fatal("it started")
	}
	drop, err := os.ReadFile(kept)
	if err != nil || !strings.Contains(string(drop), "DeviceAllow.conf") {
		t.Errorf("systemd was not told before: %q %v", drop, err)
	}
	await(t, "the end of the drop-in", func() bool {
		left, _ := filepath.Glob(s.path("/run/systemd/transient/libpod-*/50-DeviceAllow.conf"))
		return len(left) == 0
	})
}
