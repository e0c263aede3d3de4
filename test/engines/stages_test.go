package engines

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// A Spec as nvidia-ctk writes it, with createContainer hooks, serves every sort of container, with and without the
// precreate stage.
func TestSpecWithHooks(t *testing.T) {
	for _, e := range stagings(t) {
		for _, test := range []struct {
			name   string
			bundle gpuhost.Bundle
		}{
			{"uidmap", gpuhost.Bundle{Flags: mapped(), Owner: mappedRoot}},
			{"uidmap and an overlay", gpuhost.Bundle{Flags: mapped(), Owner: mappedRoot, Overlay: true}},
			{"read-only", gpuhost.Bundle{Flags: []string{"--read-only"}}},
			{
				"namespaces of the host",
				gpuhost.Bundle{Flags: []string{"--network", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"}},
			},
		} {
			t.Run(e.name+"/"+test.name, func(t *testing.T) {
				s := newSite(t)
				s.spec("with-hooks.yaml")
				b := test.bundle
				b.Annotations = asks("device=0").Annotations
				p := s.sessionOf(e, &b)
				s.served(s.begin(p, "", b))
				unchangedNode(t, s.Host.Path("dev/nvidia0"))
				if r := s.last(); r.Result != plan.ResultApplied {
					t.Errorf("record: %s %+v", r.Result, r.Errors)
				}
			})
		}
	}
}

// podman itself chooses the ids, from those of a user that its storage configuration names.
func TestSpecWithHooksInChosenNamespace(t *testing.T) {
	u := ordinary(t)
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			s.write("storage.conf", fmt.Sprintf("[storage]\ndriver = \"vfs\"\nrunroot = %q\ngraphroot = %q\n"+
				"[storage.options]\nroot-auto-userns-user = %q\n", s.Host.Path("r"), s.Host.Path("g"), u.Name), 0o644)
			t.Setenv("CONTAINERS_STORAGE_CONF", s.Host.Path("storage.conf"))
			b := asks("device=0")
			b.Flags = []string{"--userns", "auto:size=4096"}
			p := s.sessionOf(e, &b)
			s.served(s.begin(p, s.image(p, nil, nil), b))
			unchangedNode(t, s.Host.Path("dev/nvidia0"))
		})
	}
}

// A hook that is optional, as this one is by default, is optional in every stage.
func TestOptionalHookFails(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("optional-hook.yaml")
			b := asks("device=0")
			p := s.sessionOf(e, &b)
			s.served(s.begin(p, "", b))
			if r := s.last(); warned(r, "W-SKIPPED") != 1 || r.Result != plan.ResultApplied {
				t.Errorf("record: %s %+v", r.Result, r.Warnings)
			}
		})
	}
}

// Nothing is made on a volume. The request is refused with a message that the user sees if the engine shows it, and the
// host's directory does not change.
func TestVolumeOnLibraries(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("with-hooks.yaml")
			dir := s.folder("volume")
			b := withArgs(asks("device=0"))
			b.Flags = []string{"--volume", dir + ":" + gpuhost.LibDir}
			s.refusedAloud(e, e.run(s, b), "E-MOUNT")
			empty(t, dir)
		})
	}
}

// refusedAloud checks that the container did not start and that the user of podman sees why: the whole message with
// runc and, with crun, which discards what a hook writes, at least where to find it.
func (s *site) refusedAloud(e starter, o outcome, parts ...string) {
	s.t.Helper()
	if o.Status == 0 {
		s.t.Errorf("the container started: %s", o.Stdout)
	}
	if strings.HasSuffix(e.name, "crun") {
		if !strings.Contains(o.Stderr, "gpu-hook last") && !strings.Contains(o.Stderr, parts[0]) {
			s.t.Errorf("podman does not say where the reason is: %s", o.Stderr)
		}
	} else {
		for _, part := range parts {
			if !strings.Contains(o.Stderr, part) {
				s.t.Errorf("podman does not show %q: %s", part, o.Stderr)
			}
		}
	}
	if r := s.last(); len(r.Errors) != 1 || string(r.Errors[0].Code) != parts[0] {
		s.t.Errorf("record: %+v", r.Errors)
	}
}

func TestRefusalIsSeen(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.refusedAloud(e, e.run(s, asks("device=7")), "E-NAME", "nvidia.com/gpu=7", "gpu-hook: fix: ")
		})
	}
}

// precreate leaves everything that createRuntime can make to that stage.
func TestPrecreateWritesTheRestAlone(t *testing.T) {
	s := newSite(t)
	s.whole()
	asked := strings.Replace(string(s.recordedSpecs([][]string{nil})[0]), `"io.container.manager"`,
		`"gpu-hook/gpus":"device=0","io.container.manager"`, 1)
	before, after := parsed(t, []byte(asked)), parsed(t, s.precreate(t, []byte(asked)))
	if n, m := len(before.Mounts), len(after.Mounts); n != m {
		t.Errorf("%d mounts became %d: %+v", n, m, after.Mounts)
	}
	if n, m := len(before.Linux.Devices), len(after.Linux.Devices); n != m {
		t.Errorf("%d devices became %d: %+v", n, m, after.Linux.Devices)
	}
	// gpu-hook's own hook is in the spec already.
	was, h := before.Hooks, after.Hooks
	for stage, n := range map[string]int{
		"prestart":        len(h.Prestart) - len(was.Prestart), //nolint:staticcheck // deprecated, but CDI has it
		"createRuntime":   len(h.CreateRuntime) - len(was.CreateRuntime),
		"createContainer": len(h.CreateContainer) - len(was.CreateContainer),
	} {
		if n != 0 {
			t.Errorf("%d hooks more of %s", n, stage)
		}
	}
	if len(h.StartContainer) != 1 || len(h.Poststart) != 1 || len(h.Poststop) != 1 {
		t.Errorf("hooks of later stages: %+v", h)
	}
	if gids := after.Process.User.AdditionalGids; len(gids) != 1 || gids[0] != 4321 {
		t.Errorf("additional groups: %v", gids)
	}
	env := strings.Join(after.Process.Env, "\n")
	if !strings.Contains(env, "FROM_SPEC=it is") || !strings.Contains(env, "NVIDIA_VISIBLE_DEVICES=void") {
		t.Errorf("environment: %s", env)
	}
}

func parsed(t *testing.T, text []byte) *specs.Spec {
	t.Helper()
	spec := &specs.Spec{Hooks: &specs.Hooks{}}
	decode(t, text, spec)
	return spec
}

// The variable that requested devices keeps its value, because the container's programs may read it. A container that
// requested devices in another way gets the Spec's value.
func TestAskingVariableKeepsItsValue(t *testing.T) {
	for _, e := range precreates(t) {
		for name, test := range map[string]struct {
			bundle gpuhost.Bundle
			want   string
		}{
			"environment": {gpuhost.Bundle{Env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}, "0"},
			"annotation":  {asks("device=0"), "void"},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				s := newSite(t)
				s.spec("with-hooks.yaml")
				b := test.bundle
				p := s.sessionOf(e, &b)
				c := s.begin(p, "", b)
				s.served(c)
				if got := s.ask(c, "echo $NVIDIA_VISIBLE_DEVICES"); got != test.want {
					t.Errorf("NVIDIA_VISIBLE_DEVICES is %q, not %q", got, test.want)
				}
			})
		}
	}
}

// NVIDIA's toolkit 1.20.2 writes a mount that tells its own runtime to do nothing. gpu-hook treats it as any other
// edit, and not as a request.
func TestSpecWithVoidMount(t *testing.T) {
	for _, e := range stagings(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.spec("void-mount.yaml")
			b := asks("device=0")
			p := s.sessionOf(e, &b)
			c := s.begin(p, "", b)
			if got := s.ask(c, listNodes); got != "/dev/nvidia0" {
				t.Errorf("nodes: %s", got)
			}
			if got := s.ask(c, "[ -e /var/run/nvidia-container-devices/void ] && echo mounted"); got != "mounted" {
				t.Error("the Spec's mount is missing")
			}
			if r := s.last(); r.Result != plan.ResultApplied || len(r.Warnings) > 0 || len(r.Grants) != 1 {
				t.Errorf("record: %s %+v %+v", r.Result, r.Warnings, r.Requests)
			}
		})
	}
}

// The podman of an ordinary user, where namespaces may already be the user's own: they are not joined, and every
// request is served.
func TestRootlessWithHooks(t *testing.T) {
	s, u := rootless(t)
	s.spec("with-hooks.yaml")
	for _, stage := range []string{"podman", "precreate by podman"} {
		for _, flags := range [][]string{
			nil,
			{"--network", "host"},
			{"--ipc", "host"},
			{"--uts", "host"},
			{"--cgroupns", "host"},
			{"--pid", "host"},
			{"--userns", "keep-id"},
			{"--userns", "keep-id", "--network", "host", "--ipc", "host", "--cgroupns", "host"},
		} {
			t.Run(stage+"/"+strings.Join(flags, " "), func(t *testing.T) {
				s.t = t
				b := asks("device=0")
				b.User, b.Flags, b.Args = u, flags, []string{"sh", "-c", script}
				if strings.HasPrefix(stage, "precreate") {
					b = precreated(b)
				}
				o := s.ended(s.Podman(b))
				if o.Status != 0 {
					t.Fatalf("status %d: %s", o.Status, o.Stderr)
				}
				o.has(t, "node /dev/nvidia0", "node /dev/nvidiactl", library, "open")
				unchangedNode(t, s.Host.Path("dev/nvidia0"))
			})
		}
	}
}

// A device that podman adds to a container with a user namespace: crun loses its working directory and states "/" as
// every bundle. A container without a request starts, and one with a request is served.
func TestDeviceInUserNamespace(t *testing.T) {
	for _, e := range stagings(t) {
		for name, env := range map[string][]string{"nothing asked": nil, "asked": {"NVIDIA_VISIBLE_DEVICES=0"}} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				s := newSite(t)
				s.spec("with-hooks.yaml")
				b := gpuhost.Bundle{Env: env, Owner: mappedRoot, Flags: append(mapped(), "--device", "/dev/fuse")}
				p := s.sessionOf(e, &b)
				c := s.begin(p, "", b)
				if env != nil {
					s.served(c)
					return
				}
				s.untouched(c)
				s.noRecord()
			})
		}
	}
}
