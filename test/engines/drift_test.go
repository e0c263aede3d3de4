package engines

import (
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func warned(r *report.Report, code string) (n int) {
	for _, w := range r.Warnings {
		if string(w.Code) == code {
			n++
		}
	}
	return n
}

// An optional edit that cannot be made, whether this is found before the edits are made or while they are, does not
// keep the container from starting. A node that was left out opens no device.
func TestOptionalEditsAreLeftOut(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			spec := strings.NewReplacer("HOST", s.Host.Dir).Replace(`
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits: {deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/full}]}
containerEdits:
  deviceNodes:
  - {path: /dev/nvidia-modeset, hostPath: HOST/dev/nvidia1}
  mounts:
  - {hostPath: HOST/nowhere.json, containerPath: /usr/share/vulkan/icd.d/nvidia_icd.json}
  - {hostPath: HOST/lib/libcuda.so.580.65.06, containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so, options: [ro, bind]}
  hooks:
  - {hookName: createContainer, path: /bin/false, args: [nvidia-cdi-hook, update-application-profile]}
`)
			if err := s.Host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
				t.Fatal(err)
			}
			b := asks("device=0")
			b.Edit = func(config map[string]any) {
				config["linux"].(map[string]any)["devices"] = []specs.LinuxDevice{
					{Path: "/dev/nvidia-modeset", Type: "c", Major: 1, Minor: 3}, // something else stands in its place
					{Path: "/dev/probe", Type: "c", Major: gpuhost.Major, Minor: gpuhost.Minor},
				}
			}
			b.Args = []string{"sh", "-c", script + "; (: >/dev/probe) 2>/dev/null && echo probe open || echo probe denied"}
			o := e.run(s, b)
			o.has(t, "node /dev/nvidia0", library, "probe denied")
			r := s.last()
			if n := warned(r, "W-SKIPPED"); n != 3 || r.Result != "applied" {
				t.Errorf("%s with %d left out: %+v", r.Result, n, r.Warnings)
			}
			for what, status := range map[string]devices.Status{
				"node": r.Edits.DeviceNodes[0].Status, "mount": r.Edits.Mounts[1].Status, "hook": r.Edits.Hooks[0].Status,
			} {
				if status != devices.Skipped {
					t.Errorf("%s: %s", what, status)
				}
			}
		})
	}
}

// The failure that cost a cluster all of its GPU nodes (NVIDIA/nvidia-container-toolkit issue 2026): NVIDIA's own hook
// cannot write its profile. There the reason was a read-only /etc/nvidia, which the hook tolerates since. The container
// starts, and the record says what is missing.
func TestUnwritableApplicationProfile(t *testing.T) {
	hook := require.Program(t, "nvidia-cdi-hook")
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			data, err := os.ReadFile(hook)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Host.Write("bin/nvidia-cdi-hook", string(data), 0o755); err != nil {
				t.Fatal(err)
			}
			command := "  hooks:\n  - {hookName: createContainer, path: " + s.Host.Path("bin/nvidia-cdi-hook") +
				", args: [nvidia-cdi-hook, update-application-profile], env: [NVIDIA_CTK_DEBUG=false]}\n"
			if err := s.Host.Write("cdi/nvidia.yaml", s.Host.Spec()+command, 0o644); err != nil {
				t.Fatal(err)
			}
			b := asks("device=0")
			b.Edit = func(config map[string]any) {
				config["mounts"] = append(config["mounts"].([]any), specs.Mount{
					Destination: "/etc/nvidia", Source: s.Host.Path("version"), Type: "bind", Options: []string{"bind", "ro"},
				})
			}
			e.run(s, b).has(t, "node /dev/nvidia0", library, "open")
			r := s.last()
			if r.Edits.Hooks[0].Status != devices.Skipped || warned(r, "W-SKIPPED") != 1 ||
				!strings.Contains(r.Warnings[len(r.Warnings)-1].Message, "not a directory") {
				t.Errorf("%s: %+v", r.Edits.Hooks[0].Status, r.Warnings)
			}
		})
	}
}

// A Spec that was written for another driver is not used. NVIDIA's own hook serves the request or, if it is not
// installed, the start fails.
func TestStaleSpec(t *testing.T) {
	stale := func(t *testing.T) *site {
		t.Helper()
		s := newSite(t)
		if err := s.Host.Write("version", "590.48.01\n", 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(s.Host.Path("lib/libcuda.so." + gpuhost.Driver)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, e := range starters(t) {
		t.Run(e.name, func(t *testing.T) {
			s := stale(t)
			o := e.run(s, asks("device=0"))
			for _, part := range []string{
				"E-STALE", "written for driver 580.65.06, the host runs 590.48.01", "1 of its 2 host files",
			} {
				if said := s.said(e, o); o.Status == 0 || !strings.Contains(said, part) {
					t.Errorf("status %d, no %q in: %s", o.Status, part, said)
				}
			}
			spec, err := os.ReadFile(s.Host.Path("cdi/nvidia.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			s.delegate()
			if err := s.Host.Write("cdi/nvidia.yaml", string(spec), 0o644); err != nil {
				t.Fatal(err)
			}
			e.run(s, asks("device=0")).has(t, "node /dev/nvidia0", "put here by the delegate", "open")
			if r := s.last(); warned(r, "W-FALLBACK") != 1 || r.Grants[0].Driver != "nvidia.runtime-hook" {
				t.Errorf("record: %+v", r)
			}
		})
	}
}
