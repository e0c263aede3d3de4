package engines

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// wish is an environment that requests devices without naming one, as that of many images does.
var wish = []string{"NVIDIA_VISIBLE_DEVICES=all"}

// A wish that fails while it is applied is undone, and the container starts as it would without gpu-hook.
func TestWishThatFails(t *testing.T) {
	const target = gpuhost.LibDir + "/libcuda.so." + gpuhost.Driver
	for _, e := range stagings(t) {
		for _, test := range []struct {
			name string
			// prepare returns the container and the directory of the host that must stay empty, or "".
			prepare func(s *site) (gpuhost.Bundle, string)
		}{
			{"volume on the libraries", func(s *site) (gpuhost.Bundle, string) {
				dir := s.folder("volume")
				return gpuhost.Bundle{Flags: []string{"--volume", dir + ":" + gpuhost.LibDir}}, dir
			}},
			{"read-only volume above the libraries", func(s *site) (gpuhost.Bundle, string) {
				dir := s.folder("volume", "lib")
				return gpuhost.Bundle{Flags: []string{"--volume", dir + ":/usr:ro"}}, filepath.Join(dir, "lib")
			}},
			{"dangling link in a library's place", func(*site) (gpuhost.Bundle, string) {
				return gpuhost.Bundle{Links: map[string]string{target: "/nowhere/library"}}, ""
			}},
			{"hook of the Spec", func(s *site) (gpuhost.Bundle, string) {
				s.write("cdi/nvidia.yaml", s.Host.Spec()+"  hooks: [{hookName: createContainer, path: "+
					s.Host.Path("bin/hookfail")+", args: [hookfail]}]\n", 0o644)
				return gpuhost.Bundle{}, ""
			}},
		} {
			t.Run(e.name+"/"+test.name, func(t *testing.T) {
				s := newSite(t)
				s.spec("with-hooks.yaml")
				b, dir := test.prepare(s)
				before := s.found(e, b)
				b.Env = wish
				p := s.sessionOf(e, &b)
				c := s.begin(p, "", b)
				if after := s.ask(c, listOurs); after != before {
					t.Errorf("in the container there is %q, and was %q", after, before)
				}
				if dir != "" {
					empty(t, dir)
				}
				s.warnedOfWish()
			})
		}
	}
}

// A wish that fails opens no device, because its device rules come after everything that can fail.
func TestWishThatFailsOpensNothing(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.write("cdi/nvidia.yaml",
				s.Host.Spec()+"  hooks: [{hookName: createContainer, path: /bin/false, args: [\"false\"]}]\n", 0o644)
			b := gpuhost.Bundle{Env: wish, Edit: func(config map[string]any) {
				config["linux"].(map[string]any)["devices"] = []specs.LinuxDevice{
					{Path: "/dev/probe", Type: "c", Major: gpuhost.Major, Minor: gpuhost.Minor},
				}
			}}
			b.Args = []string{"sh", "-c", "(: >/dev/probe) 2>/dev/null && echo probe open || echo probe denied"}
			e.run(s, b).has(t, "probe denied")
			s.warnedOfWish()
		})
	}
}

// found returns what listOurs finds in a container without gpu-hook.
func (s *site) found(e starter, b gpuhost.Bundle) string {
	s.t.Helper()
	p := s.session(e, &b)
	c := s.begin(p, "", b)
	found := s.ask(c, listOurs)
	if err := c.End(); err != nil {
		s.t.Fatal(err)
	}
	return found
}

// warnedOfWish checks that gpu-hook last shows a wish that was not granted.
func (s *site) warnedOfWish() {
	s.t.Helper()
	o, err := s.GPUHook("last")
	if err != nil || o.Status != 0 || !strings.Contains(o.Stdout, "W-WEAK") {
		s.t.Errorf("gpu-hook last: %v %s%s", err, o.Stdout, o.Stderr)
	}
}

// On read-only media no mount points can be made, so a wish is not granted.
func TestWishOnReadOnlyMedia(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := gpuhost.Bundle{Env: wish, Args: []string{"sh", "-c", script + "; echo started"}}
			b.Edit = func(config map[string]any) { config["root"] = map[string]any{"path": s.media(), "readonly": true} }
			o := e.run(s, b)
			o.has(t, "started")
			o.hasNot(t, "node /dev/nvidia0", library)
			s.warnedOfWish()
		})
	}
}

// media makes a root filesystem on a read-only mount and returns its path.
func (s *site) media() string {
	s.t.Helper()
	rootfs := filepath.Join(s.Dir, "media")
	for _, err := range []error{
		gpuhost.RootFS(rootfs),
		unix.Mount(rootfs, rootfs, "", unix.MS_BIND, ""),
		unix.Mount("", rootfs, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""),
	} {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Cleanup(func() { _ = unix.Unmount(rootfs, unix.MNT_DETACH) })
	return rootfs
}

// A device that podman was told to give takes precedence over every wish and over the environment. This also holds if
// the Spec, as many do, leaves the variable as the image set it.
func TestEnginesCDIAboveEnvironment(t *testing.T) {
	for _, e := range stagings(t) {
		// The last is that of a legacy image, which requests devices by this variable alone.
		for _, variable := range []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=1", "CUDA_VERSION=9.0"} {
			t.Run(e.name+"/"+variable, func(t *testing.T) {
				s := newSite(t)
				s.spec("no-void.yaml")
				b := withArgs(gpuhost.Bundle{Env: []string{variable}, Flags: []string{"--device", "nvidia.com/gpu=0"}})
				p := s.sessionOf(e, &b)
				o, err := privately(s.Dir, s.enginesSpecs(),
					p.Command(append([]string{"run", "--rm", "--interactive"}, p.Container(b)...)...)...)
				if err != nil || o.Status != 0 {
					t.Fatalf("%v, status %d: %s", err, o.Status, o.Stderr)
				}
				o.has(t, "node /dev/nvidia0", "node /dev/nvidiactl", library, "open")
				o.hasNot(t, "node /dev/nvidia1")
			})
		}
	}
}

// enginesSpecs returns the shell commands that show the host's Specs to podman in a mount namespace of its own. podman
// of that version looks only in two fixed directories.
func (s *site) enginesSpecs() string {
	return fmt.Sprintf("mount -t tmpfs none /run; mkdir /run/cdi; cp %s/* /run/cdi", s.Host.Path("cdi"))
}
