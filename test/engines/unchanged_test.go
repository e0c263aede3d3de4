package engines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// options returns lists of options of podman create, one for each sort of container, that request no device.
func options(s *site) [][]string {
	dir := s.Dir
	return [][]string{
		nil,
		{"--privileged"},
		{"--read-only"},
		{"--env", "A=<&>ü\U0001F600", "--env", `B="quoted" \ back`, "--env", "EMPTY="},
		{"--env", "NVIDIA_VISIBLE_DEVICES=void"},
		{"--env", "NVIDIA_DRIVER_CAPABILITIES=all"},
		{"--volume", dir + ":/data:ro,z", "--volume", dir + ":/a/b/c/d", "--volume", dir + ":/a"},
		{"--mount", "type=bind,src=" + dir + ",dst=/m,ro=true,bind-propagation=rslave"},
		{"--tmpfs", "/t:size=1m,mode=700", "--shm-size", "1m"},
		{"--device", "/dev/null:/dev/other:rw", "--device-cgroup-rule", "c 1:5 rwm"},
		{"--volume", "/dev:/dev"},
		{"--user", "7:8", "--group-add", "9", "--workdir", "/tmp"},
		{"--cap-add", "SYS_ADMIN", "--cap-drop", "CHOWN"},
		{"--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"},
		{"--security-opt", "mask=/proc/cpuinfo", "--security-opt", "unmask=ALL"},
		{"--sysctl", "kernel.msgmax=65536", "--hostname", "host"},
		{"--pid", "host"},
		{"--ipc", "host", "--uts", "host"},
		{"--cgroupns", "host"},
		{"--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536"},
		{"--annotation", "some=thing", "--annotation", "cdi=no", "--label", "gpu-hook/gpus=all"},
		{"--memory", "64m", "--cpu-shares", "100"},
		{"--oom-score-adj", "10", "--stop-signal", "9", "--tz", "UTC"},
		{"--systemd", "always"},
		{"--init=false", "--read-only", "--read-only-tmpfs=false"},
		{"--entrypoint", `["/bin/sh","-c"]`, "--tty", "--interactive"},
		{"--add-host", "a:1.2.3.4", "--no-hosts=false"},
		{"--cgroups", "disabled"},
	}
}

// recordedSpecs returns what podman hands to a precreate hook for containers of these sorts, each a list of options.
func (s *site) recordedSpecs(sorts [][]string) [][]byte {
	s.t.Helper()
	tee, err := exec.LookPath("tee")
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.Dir, "spec")
	definition := fmt.Sprintf(`{"version":"1.0.0","hook":{"path":%q,"args":["tee",%q]},`+
		`"when":{"always":true},"stages":["precreate"]}`, tee, file)
	if err := os.MkdirAll(s.Host.Path("record.d"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Host.Write("record.d/tee.json", definition, 0o644); err != nil {
		s.t.Fatal(err)
	}
	b := withArgs(asks("0"))
	b.Annotations, b.HooksDirs = nil, []string{"record.d"}
	b.Args = []string{"true"}
	p := s.session(starter{}, &b)
	var out [][]byte
	for i, flags := range sorts {
		b.Flags = flags
		_ = os.Remove(file)
		name := fmt.Sprint("c", i)
		// Whether the container can be created does not matter, because the precreate stage comes before that.
		_ = s.ended(p.Run(append([]string{"create", "--name", name}, p.Container(b)...)...))
		_ = s.ended(p.Run("init", name))
		if data, err := os.ReadFile(file); err == nil {
			out = append(out, data)
		}
		_ = s.ended(p.Run("rm", "--force", name))
	}
	return out
}

// variants returns the spec as future engines might write it: with other white space, unknown members and other lists.
func variants(t *testing.T, spec []byte) [][]byte {
	t.Helper()
	out := [][]byte{spec}
	add := func(change func(object map[string]any)) {
		var object map[string]any
		decode(t, spec, &object)
		change(object)
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, spec, "\t", "  "); err != nil {
		t.Fatal(err)
	}
	out = append(out, append(indented.Bytes(), "\r\n \n"...))
	add(func(o map[string]any) {
		o["future"] = map[string]any{"n": json.Number("123456789012345678901234567890.10"), "s": "<&>\u2028"}
	})
	add(func(o map[string]any) { o["linux"].(map[string]any)["futurePolicy"] = []any{nil, 1.5, "x"} })
	add(func(o map[string]any) { o["mounts"] = nil; delete(o, "hooks") })
	add(func(o map[string]any) { delete(o, "annotations"); o["process"].(map[string]any)["env"] = nil })
	add(func(o map[string]any) {
		o["hooks"] = map[string]any{"createRuntime": []any{map[string]any{"path": "/usr/bin/other", "future": true}}}
	})
	add(func(o map[string]any) { delete(o, "linux"); delete(o, "root") })
	return out
}

// A container without a request gets its spec back byte for byte, whatever is in it, and leaves no record. For one with
// a request everything that is not edited stays, including unknown members.
func TestSpecsOfPodman(t *testing.T) {
	s := newSite(t)
	own := s.recordedSpecs(options(s))
	var all [][]byte
	for _, spec := range own {
		all = append(all, variants(t, spec)...)
	}
	if len(own) < 20 || len(all) < 200 {
		t.Fatalf("there are only %d specs, %d of them podman's own", len(all), len(own))
	}
	t.Run("nothing asked", func(t *testing.T) {
		for _, spec := range all {
			if out := s.precreate(t, spec); !bytes.Equal(out, spec) {
				t.Errorf("from\n%s\nto\n%s", spec, out)
			}
		}
		s.noRecord()
	})
	t.Run("asked", func(t *testing.T) {
		for _, spec := range own {
			for _, variant := range variants(t, spec)[:4] {
				s.kept(t, bytes.Replace(variant, []byte(`"io.container.manager"`),
					[]byte(`"gpu-hook/gpus":"device=0","io.container.manager"`), 1))
			}
		}
	})
}

func (s *site) precreate(t *testing.T, spec []byte) []byte {
	t.Helper()
	cmd := exec.Command(s.Host.Path("bin/gpu-hook"), "--config", s.Host.Path("config.toml"), "precreate")
	cmd.Stdin = bytes.NewReader(spec)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, spec)
	}
	return out
}

// kept checks that precreate leaves every value of a spec with a request in its place, and that it edits the spec.
func (s *site) kept(t *testing.T, spec []byte) {
	t.Helper()
	before, after := members(t, spec), members(t, s.precreate(t, spec))
	for path, value := range before {
		if after[path] != value {
			t.Errorf("%s was %s, and is %s", path, value, after[path])
		}
	}
	if !slices.Contains(slices.Collect(maps.Values(after)), "string NVIDIA_VISIBLE_DEVICES=void") {
		t.Errorf("nothing was edited in %s", spec)
	}
}

// decode reads a JSON text with its numbers as they are written.
func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// members lists every value in a JSON text by its path, numbers as they are written.
func members(t *testing.T, text []byte) map[string]string {
	t.Helper()
	var v any
	decode(t, text, &v)
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, member := range v {
				walk(path+"."+key, member)
			}
		case []any:
			for i, member := range v {
				walk(fmt.Sprint(path, ".", i), member)
			}
		default:
			out[path] = fmt.Sprintf("%T %v", v, v)
		}
	}
	walk("", v)
	return out
}
