package holder

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func annotations(m map[string]string) option {
	return func(_ *container, b *gpuhost.Bundle) { b.Annotations = m }
}

// For a container that requests nothing, gpu-hook reads only its state, its config.json and gpu-hook's configuration.
// It opens no other file, writes none, runs no program and joins no namespace.
func TestNothingAskedNothingDone(t *testing.T) {
	strace := require.Program(t, "strace")
	for _, test := range []struct {
		name   string
		option option
	}{
		{"nothing", withEnv()},
		{"void", withEnv("NVIDIA_VISIBLE_DEVICES=void")},
		{"empty", withEnv("NVIDIA_VISIBLE_DEVICES=")},
		{"the infra container of a pod", func(_ *container, b *gpuhost.Bundle) {
			b.Annotations = map[string]string{"io.kubernetes.container.name": "POD", "gpu-hook/gpus": "all"}
			b.Edit = func(config map[string]any) { config["linux"].(map[string]any)["cgroupsPath"] = "/pod/crio-test" }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, test.option)
			trace := filepath.Join(t.TempDir(), "trace")
			state := `{"ociVersion":"1.0.2","id":"test","status":"creating","pid":1,"bundle":"` + c.bundle + `"}`
			r := c.runCommand(state, strace, "-f", "-o", trace,
				"-e", "trace=%file,%network,setns,unshare,bpf,clone,fork,vfork",
				require.GPUHook(t), "--config", c.host.Path("config.toml"), "createRuntime")
			if r.status != 0 || r.stdout+r.stderr != "" || r.report != nil {
				t.Errorf("status %d: %s%s", r.status, r.stdout, r.stderr)
			}
			data, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			calls := strings.Split(string(data), "execve(")
			paths := regexp.MustCompile(`"(/[^"]*)"`)
			allowed := map[string]bool{filepath.Join(c.bundle, "config.json"): true, c.host.Path("config.toml"): true}
			// The caller, and its arguments; what Go's runtime (for GOMAXPROCS) and the TOML library (for its local times) read
			// before main; the process's identity.
			before := regexp.MustCompile(`^(/proc/[0-9]+/(cmdline|stat)|/proc/self/(cgroup|cmdline|mountinfo|uid_map)` +
				`|/sys/fs/cgroup/.*|/sys/kernel/mm/.*|/etc/localtime)$`)
			for line := range strings.Lines(calls[len(calls)-1]) {
				name, rest, _ := strings.Cut(strings.TrimLeft(line, "0123456789 "), "(")
				switch name {
				case "setns", "unshare", "bpf", "fork", "vfork", "socket", "connect", "mkdirat", "mknodat", "unlinkat", "renameat":
					t.Errorf("it calls %s", line)
				}
				m := paths.FindStringSubmatch(rest)
				if strings.HasPrefix(name, "openat") && m != nil && !allowed[m[1]] && !before.MatchString(m[1]) {
					t.Errorf("it opens %s", m[1])
				}
			}
			c.unchanged()
			if _, err := os.Stat(c.host.Path("run/records")); err == nil {
				t.Error("there is a record")
			}
		})
	}
}

// An image sets just "all". If nothing can serve that, the container starts without devices.
func TestWeakAll(t *testing.T) {
	c := newBundle(t, withEnv("NVIDIA_VISIBLE_DEVICES=all"))
	if err := os.RemoveAll(c.host.Path("cdi")); err != nil {
		t.Fatal(err)
	}
	r := c.start().run()
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("status %d: %s", r.status, r.stderr)
	}
	if r.report == nil || r.report.Result != "nothing" || r.report.Requests[0].Status != "unserved" ||
		r.report.Warnings[0].Code != "W-WEAK" {
		t.Errorf("record: %+v", r.report)
	}
	c.unchanged()
}

func TestRecordsAreBoundedAndNeverInTheWay(t *testing.T) {
	c := newBundle(t, annotated("device=0"))
	if err := c.host.Write(
		"config.toml", strings.Replace(c.host.Config(), "[record]\n", "[record]\nkeep = 2\n", 1), 0o644,
	); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.host.Path("run/records"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := c.host.Write("run/records/"+name+".json", "{}", 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.start().run().applied(t)
	entries, err := os.ReadDir(c.host.Path("run/records"))
	if err != nil || len(entries) != 3 { // that of this container, which runs, besides two
		t.Errorf("%d records are left of 4, %v", len(entries), err)
	}
	if err := os.RemoveAll(c.host.Path("run")); err != nil {
		t.Fatal(err)
	}
	if err := c.host.Write("run", "in the way", 0o600); err != nil {
		t.Fatal(err)
	}
	if r := c.run(); r.status != 0 || r.stderr != "" {
		t.Errorf("without a place for records: status %d: %s", r.status, r.stderr)
	}
}
