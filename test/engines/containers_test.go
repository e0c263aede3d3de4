package engines

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

func asks(gpus string) gpuhost.Bundle {
	return gpuhost.Bundle{Annotations: map[string]string{"gpu-hook/gpus": gpus}}
}

// The main purpose: a container that requests a GPU gets its nodes, which it can open, and the driver's libraries, and
// the record says so.
func TestGives(t *testing.T) {
	for _, e := range starters(t) {
		for _, test := range []struct {
			name     string
			bundle   gpuhost.Bundle
			has, not []string
		}{
			{
				"annotation", asks("device=0"),
				[]string{"node /dev/nvidia0", "node /dev/nvidiactl", library, "open"},
				[]string{"node /dev/nvidia1"},
			},
			{"all", asks("all"), []string{"node /dev/nvidia0", "node /dev/nvidia1", library, "open"}, nil},
			{
				"environment",
				gpuhost.Bundle{Env: []string{"NVIDIA_VISIBLE_DEVICES=0"}},
				[]string{"node /dev/nvidia0", library, "open"},
				[]string{"node /dev/nvidia1"},
			},
			{
				"CDI annotation",
				gpuhost.Bundle{Annotations: map[string]string{"cdi.k8s.io/gpu": "nvidia.com/gpu=0"}},
				[]string{"node /dev/nvidia0", library, "open"},
				[]string{"node /dev/nvidia1"},
			},
		} {
			t.Run(e.name+"/"+test.name, func(t *testing.T) {
				s := newSite(t)
				o := e.run(s, test.bundle)
				if o.Status != 0 {
					t.Fatalf("status %d: %s", o.Status, o.Stderr)
				}
				o.has(t, test.has...)
				o.hasNot(t, append(test.not, "denied")...)
				r := s.last()
				if r.Result != "applied" || r.Requests[0].Status != "granted" || r.Grants[0].Driver == "" {
					t.Errorf("record: %+v", r)
				}
				for _, w := range r.Warnings {
					if w.Code != "W-LATE" {
						t.Errorf("warning %+v", w)
					}
				}
			})
		}
	}
}

// The opposite for device rules: without a request, the same node cannot be opened, although it is in the container.
func TestDeniedWithoutRequest(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			o := e.run(s, gpuhost.Bundle{Edit: func(config map[string]any) {
				config["linux"].(map[string]any)["devices"] = []specs.LinuxDevice{
					{Path: "/dev/nvidia0", Type: "c", Major: gpuhost.Major, Minor: gpuhost.Minor},
				}
			}})
			o.has(t, "node /dev/nvidia0", "denied")
			s.noRecord()
		})
	}
}

// A node that config.json lists without a device rule for it can be opened.
func TestPresentNodeIsOpened(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := asks("device=0")
			b.Edit = func(config map[string]any) {
				config["linux"].(map[string]any)["devices"] = []specs.LinuxDevice{
					{Path: "/dev/nvidia0", Type: "c", Major: gpuhost.Major, Minor: gpuhost.Minor},
				}
			}
			e.run(s, b).has(t, "node /dev/nvidia0", "open")
		})
	}
}

// Device rules allow what the Spec states and nothing more.
func TestPermissions(t *testing.T) {
	for _, e := range starters(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			spec := strings.ReplaceAll(s.Host.Spec(), "- path: /dev/nvidia0\n", "- path: /dev/nvidia0\n      permissions: r\n")
			spec = strings.ReplaceAll(spec, "- path: /dev/nvidiactl\n", "- path: /dev/nvidiactl\n    permissions: none\n")
			if err := s.Host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
				t.Fatal(err)
			}
			e.run(s, asks("device=0")).has(t, "node /dev/nvidia0", "denied")
		})
	}
}

func TestNothingAsked(t *testing.T) {
	for _, e := range starters(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			// Even a Spec that would fail a container with a request is not read.
			if err := s.Host.Write("cdi/nvidia.yaml", "kind: [", 0o644); err != nil {
				t.Fatal(err)
			}
			o := e.run(s, gpuhost.Bundle{Args: []string{"sh", "-c", script + "; echo started"}})
			o.has(t, "started")
			o.hasNot(t, "node /dev/nvidia0", library)
			s.noRecord()
		})
	}
}

// If CDI cannot serve the request, NVIDIA's own hook does. It runs with the request's variables, in its legacy mode,
// without cgroups, and from a bundle that is removed afterwards. The nodes that it made in /dev can be opened.
func TestDelegates(t *testing.T) {
	for _, e := range starters(t) {
		for _, test := range []struct {
			name   string
			bundle gpuhost.Bundle
			device string
			caps   []string
		}{
			{"annotation over environment", gpuhost.Bundle{
				Annotations: map[string]string{"gpu-hook/gpus": `"device=0,nvidia.com/gpu=1","capabilities=compute,utility"`},
				Env:         []string{"NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_DRIVER_CAPABILITIES=video", "LD_PRELOAD=/evil.so"},
			}, "--device=0,1", []string{"--compute", "--utility"}},
			{
				"environment",
				gpuhost.Bundle{Env: []string{"NVIDIA_VISIBLE_DEVICES=GPU-1", "NVIDIA_DRIVER_CAPABILITIES=video"}},
				"--device=GPU-1",
				[]string{"--video"},
			},
		} {
			t.Run(e.name+"/"+test.name, func(t *testing.T) {
				s := newSite(t)
				s.delegate()
				o := e.run(s, test.bundle)
				if o.Status != 0 {
					t.Fatalf("status %d: %s", o.Status, o.Stderr)
				}
				o.has(t, "node /dev/nvidia0", "put here by the delegate", "open")
				args := s.recorded("args")
				for _, want := range append(test.caps, "configure", test.device, "--no-cgroups", "--load-kmods") {
					if !slices.Contains(args, want) {
						t.Errorf("nvidia-container-cli was not told %q: %q", want, args)
					}
				}
				if slices.Contains(args, "--video") != slices.Contains(test.caps, "--video") {
					t.Errorf("capabilities: %q", args)
				}
				for _, v := range s.recorded("env") {
					if name, _, _ := strings.Cut(v, "="); name != "PATH" && name != "PWD" && name != "SHLVL" && name != "_" {
						t.Errorf("nvidia-container-cli was run with %s", v)
					}
				}
				s.delegated()
			})
		}
	}
}

func (s *site) recorded(name string) []string {
	s.t.Helper()
	data, err := os.ReadFile(s.Host.Path("recorded/" + name))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func (s *site) delegated() {
	s.t.Helper()
	r := s.last()
	if len(r.Attempts) != 2 || r.Attempts[0].Status != "failed" || r.Attempts[0].Reason == "" ||
		r.Attempts[1].Status != "chosen" {
		s.t.Errorf("attempts: %+v", r.Attempts)
	}
	if r.Grants[0].Delegate == nil || !strings.Contains(r.Grants[0].Delegate.Output, "legacy") ||
		r.Warnings[0].Code != "W-FALLBACK" || len(r.Warnings) != 1 {
		s.t.Errorf("record: %+v %+v", r.Grants, r.Warnings)
	}
	n := r.Edits.DeviceNodes
	if len(n) != 1 || n[0].Path != "/dev/nvidia0" || n[0].Major != gpuhost.Major || n[0].Status != devices.Applied {
		s.t.Errorf("nodes in the record: %+v", n)
	}
	if left, _ := filepath.Glob(s.Host.Path("run/delegate-*")); len(left) > 0 {
		s.t.Errorf("left behind: %v", left)
	}
}

func TestRefused(t *testing.T) {
	for _, e := range starters(t) {
		t.Run(e.name+"/unknown device", func(t *testing.T) {
			s := newSite(t)
			o := e.run(s, asks("device=7"))
			s.refused(e, o, "E-NAME", "nvidia.com/gpu=7")
		})
		t.Run(e.name+"/missing node", func(t *testing.T) {
			s := newSite(t)
			if err := os.Remove(s.Host.Path("dev/nvidia0")); err != nil {
				t.Fatal(err)
			}
			o := e.run(s, asks("driver=cdi,device=nvidia.com/gpu=0"))
			s.refused(e, o, "E-NODE", "nvidia0", "missing on this host")
		})
		t.Run(e.name+"/delegate that fails", func(t *testing.T) {
			s := newSite(t)
			s.delegate()
			if err := os.MkdirAll(s.Host.Path("recorded"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := s.Host.Write("recorded/FAIL", "", 0o644); err != nil {
				t.Fatal(err)
			}
			o := e.run(s, asks("device=0"))
			s.refused(e, o, "E-DELEGATE", "exit status 1", "driver rpc error: access is denied")
		})
	}
}

// refused checks that the container did not start, that the engine shows the whole of gpu-hook's message, and that the
// record has it.
func (s *site) refused(e starter, o outcome, parts ...string) {
	s.t.Helper()
	if o.Status == 0 || strings.Contains(o.Stdout, "node") {
		s.t.Errorf("the container started: status %d, %s", o.Status, o.Stdout)
	}
	for _, part := range parts {
		if !e.mute && !strings.Contains(o.Stderr, strings.ReplaceAll(part, `"`, `\"`)) {
			s.t.Errorf("the engine does not show %q:\n%s", part, o.Stderr)
		}
	}
	r := s.last()
	if len(r.Errors) != 1 || string(r.Errors[0].Code) != parts[0] {
		s.t.Fatalf("record: %+v", r.Errors)
	}
	for _, part := range parts[1:] {
		if !strings.Contains(r.Errors[0].Message, part) {
			s.t.Errorf("the record does not have %q: %s", part, r.Errors[0].Message)
		}
	}
}

// Under CRI-O everybody who may create a pod writes its annotations and environment. They do not count, and the
// container starts without devices. CRI-O itself serves what the kubelet has put among the container's own annotations.
func TestCRIODefaults(t *testing.T) {
	own, err := json.Marshal(map[string]string{"cdi.k8s.io/plugin": "nvidia.com/gpu=1"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	t.Cleanup(func() {
		if err := engine.RemoveCgroups("/" + s.ID()); err != nil {
			t.Error(err)
		}
	})
	o := starters(t)[0].run(s, gpuhost.Bundle{
		Annotations: map[string]string{
			"io.container.manager": "cri-o", "io.kubernetes.cri-o.Annotations": string(own), "gpu-hook/gpus": "all",
			"cdi.k8s.io/plugin": "nvidia.com/gpu=1", "cdi.k8s.io/pod": "nvidia.com/gpu=0",
		},
		Env: []string{"NVIDIA_VISIBLE_DEVICES=0"},
		Edit: func(config map[string]any) {
			config["linux"].(map[string]any)["cgroupsPath"] = "/" + s.ID() + "/crio-" + s.ID()
		},
	})
	o.hasNot(t, "node /dev/nvidia0", "node /dev/nvidia1")
	var status []string
	for _, r := range s.last().Requests {
		status = append(status, r.Source+" "+r.Status)
	}
	slices.Sort(status)
	want := []string{
		"annotation:cdi.k8s.io/plugin present", "annotation:cdi.k8s.io/pod refused", "annotation:gpu-hook/gpus refused",
		"env:NVIDIA_VISIBLE_DEVICES refused",
	}
	if !slices.Equal(status, want) {
		t.Errorf("requests: %q", status)
	}
}
