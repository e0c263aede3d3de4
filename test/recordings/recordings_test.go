// Package recordings holds what CRI-O 1.37 with runc and crun, and containerd 2.4 with its NRI hook-injector, have
// written for containers that request GPUs in the ways of NVIDIA's device plugin: the state and the config.json that a
// hook got.
package recordings

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

type object = map[string]any

// recording is a container as its engine has written it.
type recording struct{ state, config object }

func read(t *testing.T, path string) object {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out object
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// open reads a recording. An infra container has no state, because CRI-O runs no hook for it. It gets the state that it
// would have.
func open(t *testing.T, name string) *recording {
	t.Helper()
	r := &recording{config: read(t, filepath.Join("testdata", name+".config.json"))}
	file := filepath.Join("testdata", name+".state.json")
	if _, err := os.Stat(file); err == nil {
		r.state = read(t, file)
		return r
	}
	cgroup := r.config["linux"].(object)["cgroupsPath"].(string)
	_, id, _ := strings.Cut(filepath.Base(cgroup), "crio-")
	r.state = object{
		"ociVersion": "1.0.2", "id": id, "status": "creating", "pid": 1, "annotations": r.config["annotations"],
	}
	return r
}

// forge sets an annotation.
func (r *recording) forge(key, value string) {
	r.config["annotations"].(object)[key] = value
	r.state["annotations"] = r.config["annotations"]
}

// explain returns what the real binary makes of a recording, whose bundle and root filesystem are moved into temporary
// directories.
func (r *recording) explain(t *testing.T, host *gpuhost.Host, args ...string) *report.Report {
	t.Helper()
	bundle := t.TempDir()
	root := filepath.Join(bundle, "rootfs")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	r.state["bundle"] = bundle
	r.config["root"].(object)["path"] = root
	if _, stated := r.state["root"]; stated {
		r.state["root"] = root
	}
	for name, what := range map[string]object{"config.json": r.config, "state.json": r.state} {
		data, err := json.Marshal(what)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bundle, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{
		"--config", host.Path("config.toml"), "explain", "--json", "--state", filepath.Join(bundle, "state.json"),
	}, args...)
	out, err := exec.Command(require.GPUHook(t), args...).Output()
	got := &report.Report{}
	if jsonErr := json.Unmarshal(out, got); jsonErr != nil || err != nil {
		t.Fatalf("%v %v\n%s", err, jsonErr, out)
	}
	return got
}

// requests returns the requests of a report, each with its status.
func requests(r *report.Report) []string {
	out := []string{}
	for _, q := range r.Requests {
		out = append(out, fmt.Sprintf("%s %s: %s", q.Source, strings.Join(q.Devices, ","), q.Status))
	}
	return out
}

func newHost(t *testing.T) *gpuhost.Host {
	t.Helper()
	require.Root(t)
	host, err := gpuhost.New(filepath.Join(t.TempDir(), "host"))
	if err != nil {
		t.Fatal(err)
	}
	return host
}

const gpu1 = "GPU-00000001-1111-2222-3333-444455556666"

// expectations returns, by recording, the requests of a container and their statuses under the defaults.
func expectations() map[string][]string {
	out := map[string][]string{
		"containerd/envvar": {"env:NVIDIA_VISIBLE_DEVICES all: refused"},
		"runc-infra-real":   {},
	}
	for _, runtime := range []string{"runc", "crun"} {
		for name, want := range map[string][]string{
			"none": {}, "user": {}, "infra-p": {}, "infra-pg": {}, "infra-pu": {},
			"cdi-annotation":      {"annotation:cdi.k8s.io/nvidia-device-plugin_6c1b nvidia.com/gpu=0: present"},
			"cdidevices":          {},
			"envvar":              {"env:NVIDIA_VISIBLE_DEVICES " + gpu1 + ": refused"},
			"envvar-device-specs": {"env:NVIDIA_VISIBLE_DEVICES " + gpu1 + ": refused"},
			"pod-annotations": {
				"annotation:cdi.k8s.io/mine nvidia.com/gpu=0: refused", "annotation:gpu-hook/gpus 0: refused",
				"annotation:gpu-hook/gpus.main 1: refused",
			},
			"userns":        {"mount 0: granted"},
			"volume-mounts": {"mount " + gpu1 + ": granted"},
		} {
			out[runtime+"-"+name] = want
		}
	}
	return out
}

// Every recording is explained as expected.
func TestAll(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/*.config.json", "testdata/*/*.config.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	want := expectations()
	if len(files) != len(want) {
		t.Errorf("%d recordings, %d expectations", len(files), len(want))
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".config.json")
		if want[name] == nil {
			t.Errorf("nobody looks at %s", name)
		}
	}
}

func engineOf(name string) string {
	if strings.HasPrefix(name, "containerd/") {
		return "containerd"
	}
	return "cri-o"
}

func TestRecordings(t *testing.T) {
	host := newHost(t)
	for name, want := range expectations() {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{nil, {"--engine", engineOf(name)}} {
				r := open(t, name).explain(t, host, args...)
				if r.Container.Engine != engineOf(name) {
					t.Errorf("%v: engine %q", args, r.Container.Engine)
				}
				got := slices.DeleteFunc(requests(r), func(q string) bool {
					return strings.HasPrefix(q, "env:") && len(want) > 0 && strings.HasPrefix(want[0], "mount")
				})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%v: %s", args, diff)
				}
				for _, w := range r.Warnings {
					if w.Code == "W-ENGINE" || w.Code == "W-DUP" {
						t.Errorf("%v: %s: %s", args, w.Code, w.Message)
					}
				}
			}
		})
	}
}

// Forged annotations do not free a container from a policy. What the policy closes stays closed, and what it refuses is
// never granted.
func TestForged(t *testing.T) {
	host := newHost(t)
	forgeries := map[string]map[string]string{
		"podman":  {"io.container.manager": "libpod"},
		"another": {"io.container.manager": "x"},
		"none":    {"io.container.manager": ""},
		"CRI-O":   {"io.container.manager": "cri-o"},
		"infra":   {"io.kubernetes.cri-o.ContainerType": "sandbox"},
		"own": {
			"io.kubernetes.cri-o.Annotations": `{"cdi.k8s.io/mine":"nvidia.com/gpu=0","gpu-hook/gpus":"1",` +
				`"cdi.k8s.io/forged":"nvidia.com/gpu=0"}`,
			"cdi.k8s.io/forged": "nvidia.com/gpu=0",
		},
		"containerd": {
			"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-namespace": "kube-system",
		},
		"its sandbox": {"io.kubernetes.cri.container-type": "sandbox"},
	}
	for name := range expectations() {
		before := open(t, name).explain(t, host)
		for forgery, keys := range forgeries {
			t.Run(name+"/"+forgery, func(t *testing.T) {
				r := open(t, name)
				for key, value := range keys {
					r.forge(key, value)
				}
				after := r.explain(t, host)
				for _, device := range after.CDIDevices {
					if !slices.Contains(before.CDIDevices, device) {
						t.Errorf("%s is given: %v", device, requests(after))
					}
				}
				ofCRIO := engineOf(name) == "cri-o" && !strings.Contains(name, "infra")
				if ofCRIO && len(after.Requests) < len(before.Requests) {
					t.Errorf("requests have vanished: %v, before %v", requests(after), requests(before))
				}
			})
		}
	}
}
