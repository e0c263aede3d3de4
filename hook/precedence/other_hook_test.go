package precedence

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

const ownHook = "/usr/bin/nvidia-container-runtime-hook"

// besides is a container whose config.json also runs NVIDIA's own hook, which goes by this environment.
func besides(env ...string) *state.Container {
	c := engineless()
	c.Spec.Process.Env = env
	c.Spec.Hooks = &specs.Hooks{Prestart: []specs.Hook{{Path: ownHook}}} //nolint:staticcheck // as NVIDIA's tools write it
	return c
}

// What NVIDIA's own hook serves is left to it and reported. A request for something else beside it is an error, and so
// is one for nothing.
func TestOtherHook(t *testing.T) {
	const (
		left   = "overridden: left to " + ownHook + ", which config.json runs too (prestart)"
		serves = `NVIDIA_VISIBLE_DEVICES=0`
		anyway = "W-HOOK config.json: it also runs " + ownHook + " (prestart), which will serve " + serves +
			" whatever is decided here"
		beside = "config.json also runs nvidia-container-runtime-hook, which will serve " + serves
	)
	leftTo := func(r string) string {
		return "W-HOOK " + r + ": left to " + ownHook + ", which config.json runs too (prestart)"
	}
	by := func(driver string) *request.Request {
		r := ask(annotation(), "0")
		r.Pin = driver
		return r
	}
	capable := func(capabilities ...string) *request.Request {
		r := ask(annotation(), "0")
		r.Asked = devices.Request{Capabilities: [][]string{capabilities}}
		return r
	}
	amd := askOf(request.Env("AMD_VISIBLE_DEVICES"), vendors("amd"), "0")
	noAMD := nothing(request.Env("AMD_VISIBLE_DEVICES"))
	noAMD.Vendors = vendors("amd")
	visible := "NVIDIA_VISIBLE_DEVICES=0"
	for _, test := range []struct {
		contested
		env []string // nil for one GPU
	}{
		{
			contested{"it serves nothing", requests{ask(annotation(), "0"), void(env())}, nil, []string{"wins", "empty"}},
			[]string{"NVIDIA_VISIBLE_DEVICES=void"},
		},
		{contested{"it was not asked", requests{ask(annotation(), "0")}, nil, []string{"wins"}}, []string{"A=b"}},
		{contested{"the same", requests{ask(env(), "0")}, nil, []string{left, leftTo(envText)}}, nil},
		{contested{"the same by another source", requests{ask(annotation(), "0"), ask(env(), "0")}, nil, []string{
			left, byAnnotation, leftTo(annotationText),
		}}, nil},
		{contested{"something else", requests{ask(annotation(), "1"), ask(env(), "0")}, nil, []string{
			"refused: " + beside, byAnnotation, lost(envText, annotationText), "E-CONFLICT " + annotationText + ": " + beside,
		}}, nil},
		{contested{"more", requests{ask(annotation(), "0", "1")}, nil, []string{
			"refused: " + beside, "E-CONFLICT " + annotationText + ": " + beside,
		}}, nil},
		{contested{"nothing", requests{nothing(annotation()), ask(env(), "0")}, nil, []string{
			"refused: " + beside, byAnnotation, lost(envText, annotationText), "E-CONFLICT " + annotationText + ": " + beside,
		}}, nil},
		{contested{"a wish for something else", requests{files(mount())}, nil, []string{
			"overridden: config.json runs " + ownHook + " too (prestart), which will serve " + serves, anyway,
		}}, nil},
		{
			contested{"the files, as it serves them", requests{files(env())}, nil, []string{left, leftTo(envText)}},
			[]string{"NVIDIA_VISIBLE_DEVICES=none"},
		},
		{contested{"a refused request", requests{ask(env(), "0").Refuse("policy")}, nil, []string{
			"refused: policy", "W-REFUSED " + envText + ": policy", anyway,
		}}, nil},
		{contested{"nobody's request", nil, nil, []string{anyway}}, nil},
		{contested{"another vendor's", requests{amd}, nil, []string{"wins", anyway}}, nil},
		{contested{"nothing of another vendor's", requests{noAMD}, nil, []string{"empty", anyway}}, nil},
		{contested{"an IMEX channel", requests{channel(env(), "0")}, nil, []string{"wins", anyway}}, nil},
		{contested{"the same, by CDI", requests{by("nvidia.cdi")}, nil, []string{
			"refused: " + beside, "E-CONFLICT " + annotationText + ": " + beside,
		}}, nil},
		{contested{"the same, by the runtime hook", requests{by("nvidia.runtime-hook")}, nil, []string{
			left, leftTo(annotationText),
		}}, nil},
		{contested{"the same parts of the driver", requests{capable("video", "gpu", "compute")}, nil, []string{
			left, leftTo(annotationText),
		}}, []string{visible, "NVIDIA_DRIVER_CAPABILITIES=compute,video"}},
		{contested{"other parts of the driver", requests{capable("video", "gpu")}, nil, []string{
			"refused: " + beside, "E-CONFLICT " + annotationText + ": " + beside,
		}}, []string{visible, "NVIDIA_DRIVER_CAPABILITIES=compute,video"}},
		{contested{"no word of parts of the driver", requests{capable("gpu")}, nil, []string{
			left, leftTo(annotationText),
		}}, []string{visible, "NVIDIA_DRIVER_CAPABILITIES=compute,video"}},
	} {
		if test.env == nil {
			test.env = []string{visible}
		}
		test.run(t, besides(test.env...))
	}
	_, warnings, err := Contest(config.Defaults(), besides(visible), requests{ask(env(), "0")})
	want := "remove the other hook's definition, or set NVIDIA_VISIBLE_DEVICES=void to have gpu-hook serve it"
	if err != nil || len(warnings) != 1 || warnings[0].Hint() != want {
		t.Errorf("%v %v", warnings, err)
	}
}

// It goes by mounts where NVIDIA's configuration says so.
func TestOtherHookByMounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte("accept-nvidia-visible-devices-as-volume-mounts = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	container := besides("NVIDIA_VISIBLE_DEVICES=1")
	container.Spec.Mounts = []specs.Mount{{Source: "/dev/null", Destination: "/var/run/nvidia-container-devices/0"}}
	contested{"the same", requests{ask(mount(), "0")}, func(c *config.Config) {
		c.NVIDIA.RuntimeConfig, c.Self.Owner = file, trust.Owner{UID: uint32(os.Getuid())}
	}, []string{
		"overridden: left to " + ownHook + ", which config.json runs too (prestart)",
		"W-HOOK " + mountText + ": left to " + ownHook + ", which config.json runs too (prestart)",
	}}.run(t, container)
	contested{"nobody", nil, func(c *config.Config) {
		c.NVIDIA.RuntimeConfig, c.Self.Owner = file, trust.Owner{UID: uint32(os.Getuid())}
	}, []string{
		"W-HOOK config.json: it also runs " + ownHook + ` (prestart), which will serve mount 0 whatever is decided here`,
	}}.run(t, container)
}

func TestOtherHookIsThere(t *testing.T) {
	for name, test := range map[string]struct {
		container *state.Container
		want      bool
	}{
		"none":           {engineless(), false},
		"one":            {besides("NVIDIA_VISIBLE_DEVICES=0"), true},
		"one that rests": {besides("NVIDIA_VISIBLE_DEVICES=void"), true},
	} {
		if got := OtherHook(config.Defaults(), test.container); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
