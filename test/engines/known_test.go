package engines

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// known makes a podman whose containers gpu-hook knows: the storage is where storage.conf says.
func (s *site) known(b gpuhost.Bundle) *engine.Podman {
	s.t.Helper()
	require.Program(s.t, "podman")
	p, err := s.NewPodman(b)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if _, err := p.Run("rm", "--all", "--force", "--time", "0"); err != nil {
			s.t.Error(err)
		}
		if err := p.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.write("storage.conf", storageConf(p), 0o644)
	s.t.Setenv("CONTAINERS_STORAGE_CONF", s.Host.Path("storage.conf"))
	return p
}

// storageConf is a storage.conf for the storage of a podman.
func storageConf(p *engine.Podman) string {
	argv := p.Command()
	after := func(flag string) string { return argv[slices.Index(argv, flag)+1] }
	return fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", after("--root"), after("--runroot"))
}

// podman runs a command of podman, whose containers read nothing: /dev/null as their input is the host's.
func (s *site) podman(p *engine.Podman, args ...string) outcome {
	s.t.Helper()
	return s.ended(p.Run(args...))
}

// told returns what a command says of a container, as JSON.
func (s *site) told(command, name string) *report.Report {
	s.t.Helper()
	o, err := s.GPUHook(command, "--json", name)
	r := &report.Report{}
	if err != nil || json.Unmarshal([]byte(o.Stdout), r) != nil {
		s.t.Fatalf("gpu-hook %s %s: %v %s", command, name, err, o.Stderr)
	}
	return r
}

// fails checks that a command ends with an error of this text.
func (s *site) fails(want string, args ...string) {
	s.t.Helper()
	if o, err := s.GPUHook(args...); err != nil || o.Status != 1 || !strings.Contains(o.Stderr, want) {
		s.t.Errorf("gpu-hook %v: %v, %d, %s", args, err, o.Status, o.Stderr)
	}
}

// podman's containers are found by their names: never started, running, ended and removed.
func TestKnownByName(t *testing.T) {
	s := newSite(t)
	b := asks("device=0")
	b.Args = []string{"sleep", "1000"}
	b.Flags = []string{"--name", "web"}
	p := s.known(b)
	if o := s.podman(p, append([]string{"create", "--interactive"}, p.Container(b)...)...); o.Status != 0 {
		t.Fatal(o.Stderr)
	}
	s.fails("E-BUNDLE: container web (podman, ", "explain", "web")
	s.fails("fix: podman init web; then: gpu-hook explain web", "last", "web")
	s.fails("did you mean web?", "explain", "wep")

	var id string
	for _, step := range [][]string{{"init", "web"}, {"start", "web"}, {"kill", "web"}} {
		if o := s.podman(p, step...); o.Status != 0 {
			t.Fatal(step, o.Stderr)
		}
		explained, last := s.told("explain", "web"), s.told("last", "web")
		id = last.Container.ID
		if explained.Result != "planned" || explained.Container.ID != id || explained.Container.Engine != "podman" ||
			explained.Container.Name != "web" || len(explained.Unseen) > 0 || len(explained.Errors) > 0 {
			t.Errorf("%v: explain: %+v", step, explained)
		}
		if last.Result != "applied" {
			t.Errorf("%v: last: %+v", step, last)
		}
	}
	if again := s.told("explain", id[:7]); again.Container.ID != id {
		t.Errorf("by id: %+v", again)
	}

	b = gpuhost.Bundle{Args: []string{"true"}, Flags: []string{"--name", "quiet"}}
	if o := s.podman(p, append([]string{"run", "--interactive"}, p.Container(b)...)...); o.Status != 0 {
		t.Fatal(o.Stderr)
	}
	if r := s.told("explain", "quiet"); r.Result != "nothing" {
		t.Errorf("quiet: %+v", r)
	}
	s.fails("it asks for nothing, and of that gpu-hook leaves no record", "last", "quiet")

	if o := s.podman(p, "rm", "--force", "--time", "0", "web"); o.Status != 0 {
		t.Fatal(o.Stderr)
	}
	s.fails("no engine of this host has such a container", "explain", "web")
	for _, name := range []string{id[:7], "web"} {
		if last := s.told("last", name); last.Container.ID != id {
			t.Errorf("%s of one that is gone: %+v", name, last)
		}
	}
}

// explain foresees from outside, in the same words, with what a start ends where something in the container is in the
// way. It foresees nothing for containers that start.
func TestKnownForeseen(t *testing.T) {
	volume := t.TempDir()
	for _, name := range []string{"libcuda.so.", "libnvidia-ml.so."} {
		if err := os.WriteFile(filepath.Join(volume, name+gpuhost.Driver), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty := t.TempDir()
	for _, test := range []struct {
		name   string
		bundle gpuhost.Bundle
		want   string // of the error, or "" if it starts
	}{
		{"plain", gpuhost.Bundle{}, ""},
		{"a volume", gpuhost.Bundle{Flags: []string{"-v", empty + ":" + gpuhost.LibDir}}, "on a volume"},
		{"a volume that has all of it", gpuhost.Bundle{Flags: []string{"-v", volume + ":" + gpuhost.LibDir}}, ""},
		{"a tmpfs", gpuhost.Bundle{Flags: []string{"--tmpfs", "/usr/lib"}}, ""},
		{"read-only", gpuhost.Bundle{Flags: []string{"--read-only"}}, ""},
		{
			"a dangling link",
			gpuhost.Bundle{Links: map[string]string{gpuhost.LibDir: "/nowhere"}},
			"is a link that leads nowhere",
		},
		{"a link", gpuhost.Bundle{Links: map[string]string{gpuhost.LibDir: "/bin"}}, ""},
		{
			"a directory",
			gpuhost.Bundle{Image: map[string]string{gpuhost.LibDir + "/libcuda.so." + gpuhost.Driver + "/x": ""}},
			"cannot mount a directory on a file",
		},
		{"the host's /dev", gpuhost.Bundle{Flags: []string{"-v", "/dev:/dev"}}, "on a volume"},
		{
			"a link to a volume",
			gpuhost.Bundle{
				Flags: []string{"-v", empty + ":/data"}, Links: map[string]string{gpuhost.LibDir: "/data"},
			},
			"on a volume",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			b := test.bundle
			b.Annotations, b.Args = asks("device=0").Annotations, []string{"true"}
			b.Flags = append(b.Flags, "--name", "c")
			p := s.known(b)
			o := s.podman(p, append([]string{"run", "--interactive"}, p.Container(b)...)...)
			last, explained := s.told("last", "c"), s.told("explain", "c")
			if test.want == "" {
				if o.Status != 0 || last.Result != "applied" || explained.Result != "planned" {
					t.Errorf("status %d, last %v, explain %v", o.Status, last.Errors, explained.Errors)
				}
				return
			}
			if o.Status == 0 || len(last.Errors) != 1 || len(explained.Errors) != 1 || explained.Result != "refused" {
				t.Fatalf("status %d, last %v, explain %v", o.Status, last.Errors, explained.Errors)
			}
			if last.Errors[0] != explained.Errors[0] || !strings.Contains(last.Errors[0].Message, test.want) {
				t.Errorf("last: %v\nexplain: %v", last.Errors[0], explained.Errors[0])
			}
		})
	}
}

// A user's containers are found by the user, and by root with the user's rights.
func TestKnownRootless(t *testing.T) {
	s, u := rootless(t)
	b := asks("device=0")
	b.User, b.Args, b.Flags = u, []string{"true"}, []string{"--name", "hers"}
	p := s.known(b)
	if o := s.podman(p, append([]string{"run", "--interactive"}, p.Container(b)...)...); o.Status != 0 {
		t.Fatal(o.Stderr)
	}
	if err := os.Unsetenv("CONTAINERS_STORAGE_CONF"); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(u.Home, ".config/containers/storage.conf")
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(storageConf(p)), 0o644); err != nil {
		t.Fatal(err)
	}
	binary, config := s.Host.Path("bin/gpu-hook"), s.Host.Path("config.toml")
	for _, command := range []string{"explain", "last"} {
		o, err := engine.RunAs(u, u.Home, binary, "--config", config, command, "hers")
		if err != nil || o.Status != 0 || !strings.Contains(o.Stdout, "nvidia.com/gpu=0") {
			t.Errorf("%s: %v %s%s", command, err, o.Stdout, o.Stderr)
		}
	}
	r := s.told("explain", "hers")
	if r.Result != "planned" || r.Container.UID != u.UID || len(r.Unseen) != 1 {
		t.Errorf("as root: %+v", r)
	}
}
