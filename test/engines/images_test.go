package engines

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/test/engine"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// strangers gives an image these annotations. podman 5 does not pass an image's annotations on to containers. There
// they are set on the container itself, which is at least as strong as what an image could do.
func (s *site) strangers(p *engine.Podman, annotations map[string]string, b *gpuhost.Bundle) string {
	s.t.Helper()
	if engine.PodmanMajor() >= 5 {
		b.Annotations = annotations
		return s.image(p, nil, nil)
	}
	var flags []string
	for key, value := range annotations {
		flags = append(flags, "--annotation", key+"="+value)
	}
	return s.image(p, nil, flags)
}

// If annotations are not a source, an image cannot get a GPU by claiming that another engine runs it. The image does
// not decide which engine that is.
func TestImageForgesEngine(t *testing.T) {
	own, err := json.Marshal(map[string]string{"cdi.k8s.io/plugin": "nvidia.com/gpu=all"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range stagings(t) {
		for name, annotations := range map[string]map[string]string{
			"unknown engine": {"io.container.manager": "x", "gpu-hook/gpus": "all", "cdi.k8s.io/own": "nvidia.com/gpu=all"},
			"CRI-O": {
				"io.container.manager": "cri-o", "io.kubernetes.cri-o.Annotations": string(own),
				"cdi.k8s.io/plugin": "nvidia.com/gpu=all",
			},
			"containerd": {
				"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "c",
				"io.kubernetes.cri.sandbox-namespace": "n", "cdi.k8s.io/plugin": "nvidia.com/gpu=all",
				"gpu-hook/gpus": "all",
			},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				s := newSite(t)
				s.spec("with-hooks.yaml")
				s.configure("[engines.podman]\nsources = [\"mount\", \"env\"]\n")
				var b gpuhost.Bundle
				p := s.sessionOf(e, &b)
				image := s.strangers(p, annotations, &b)
				s.untouched(s.begin(p, image, b))
			})
		}
	}
}

// An infra container requests nothing. An image cannot pretend to be one, which would make a user's request be ignored.
func TestImageForgesInfraContainer(t *testing.T) {
	for _, e := range stagings(t) {
		for name, annotations := range map[string]map[string]string{
			"CRI-O":      {"io.kubernetes.cri-o.ContainerType": "sandbox"},
			"containerd": {"io.kubernetes.cri.container-type": "sandbox"},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				s := newSite(t)
				s.spec("with-hooks.yaml")
				b := gpuhost.Bundle{Env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}
				p := s.sessionOf(e, &b)
				image := s.strangers(p, annotations, &b)
				b.Args = []string{"sh", "-c", script}
				o := s.ended(p.Run(append([]string{"run", "--rm", "--interactive"}, p.Of(image, b)...)...))
				if o.Status == 0 {
					o.has(t, "node /dev/nvidia0", library, "open")
				} else if r := s.last(); len(r.Errors) == 0 {
					t.Errorf("status %d without a reason: %s", o.Status, o.Stderr)
				}
			})
		}
	}
}

// The variable of a vendor, which every image may set, requests only devices of that vendor.
func TestImageAsksForAnotherVendor(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.write("cdi/hsm.yaml",
				"cdiVersion: 0.5.0\nkind: acme.com/hsm\ndevices:\n- name: \"0\"\n"+
					"  containerEdits: {deviceNodes: [{path: /dev/hsm0, hostPath: "+s.Host.Path("dev/nvidia0")+"}]}\n", 0o644)
			var b gpuhost.Bundle
			p := s.sessionOf(e, &b)
			image := s.image(p, []string{"ENV NVIDIA_VISIBLE_DEVICES=acme.com/hsm=0"}, nil)
			b.Args = []string{"sh", "-c", "ls /dev"}
			o := s.ended(p.Run(append([]string{"run", "--rm", "--interactive"}, p.Of(image, b)...)...))
			o.hasNot(t, "hsm0")
			if o.Status != 0 && !strings.Contains(o.Stderr, "gpu-hook") {
				t.Errorf("status %d: %s", o.Status, o.Stderr)
			}
		})
	}
}

// The steps of a build get no GPU, and the image contains nothing from gpu-hook, although its base image sets the
// variable as every CUDA image does.
func TestBuild(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			b := gpuhost.Bundle{OwnHooks: true}
			p := s.session(e, &b)
			o := s.ended(p.Build("localhost/gpu-hook-test",
				[]string{"ENV NVIDIA_VISIBLE_DEVICES=all", "RUN " + listNodes + "; echo built"},
				[]string{"--hooks-dir", s.Host.Path("hooks.d")}))
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "built")
			o.hasNot(t, "/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl")
			s.untouched(s.begin(p, "localhost/gpu-hook-test", b))
		})
	}
}

// If the administrator allows it, a build gets the nodes. The image still contains nothing from gpu-hook.
func TestBuildThatMayAsk(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			s.write("config.toml", s.Host.Config()+"[engines.buildah]\nsources = [\"env\"]\n", 0o644)
			b := gpuhost.Bundle{OwnHooks: true}
			p := s.session(e, &b)
			o := s.ended(p.Build("localhost/gpu-hook-test",
				[]string{"ENV NVIDIA_VISIBLE_DEVICES=0", "RUN " + listNodes + "; echo built"},
				[]string{"--hooks-dir", s.Host.Path("hooks.d")}))
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "built", "/dev/nvidia0", "/dev/nvidiactl")
			if r := s.last(); r.Result != plan.ResultApplied || r.Container.Engine != "buildah" || warned(r, "W-SKIPPED") == 0 {
				t.Errorf("record: %s %+v %+v", r.Result, r.Container, r.Warnings)
			}
			s.untouched(s.begin(p, "localhost/gpu-hook-test", b))
		})
	}
}
