package precedence

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// requests are those of one container.
type requests = []*request.Request

// Sources of requests, as the tables have them.
func annotation() config.Source {
	return config.Source{Kind: config.SourceAnnotation, UnsafeKey: "gpu-hook/gpus"}
}

func forOne() config.Source {
	return config.Source{Kind: config.SourceAnnotation, UnsafeKey: "gpu-hook/gpus.main"}
}

func cdi() config.Source {
	return config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: "cdi.k8s.io/x"}
}
func mount() config.Source { return config.Source{Kind: config.SourceMount} }
func flag() config.Source  { return config.Source{Kind: config.SourceFlag} }
func env() config.Source   { return request.Env("NVIDIA_VISIBLE_DEVICES") }

// vendors returns the built-in vendors of these names.
func vendors(names ...string) []*config.Vendor {
	var out []*config.Vendor
	for _, name := range names {
		out = append(out, config.Defaults().Vendor(name))
	}
	return out
}

// ask returns a request of NVIDIA's devices.
func ask(source config.Source, ids ...string) *request.Request {
	return askOf(source, vendors("nvidia"), ids...)
}

func askOf(source config.Source, of []*config.Vendor, ids ...string) *request.Request {
	r := request.New(source, "").With(of, ids)
	r.Value = r.Origin.Kind // so that messages tell the requests apart
	return r
}

// nothing is an explicit request for nothing.
func nothing(source config.Source) *request.Request {
	r := ask(source)
	r.Status = plan.Empty
	return r
}

// void is the nothing that engines and Specs write by themselves.
func void(source config.Source) *request.Request {
	r := nothing(source)
	r.Void = true
	return r
}

// wish is what images request without anybody having asked.
func wish(ids ...string) *request.Request {
	r := ask(env(), ids...)
	r.Weak = true
	return r
}

// files is the wish for the driver's files, without a device.
func files(source config.Source) *request.Request {
	r := ask(source)
	r.Weak, r.Files = true, true
	return r
}

func mistake(source config.Source) *request.Request {
	r := ask(source)
	r.Err = fault.New(fault.Request, r.String(), "it makes no sense")
	return r
}

// served is what the engine serves by itself.
func served() *request.Request {
	r := ask(cdi(), "0")
	r.Engine, r.Status = true, plan.Present
	return r
}

func channel(source config.Source, ids ...string) *request.Request {
	r := ask(source, ids...)
	r.Part, r.PartKind = "imex", "nvidia.com/imex-channel"
	return r
}

// decided is what became of each request, and then every warning and the error.
func decided(all, winners requests, warnings []*fault.Error, err error) []string {
	var out []string
	for _, r := range all {
		word := r.Status
		switch {
		case slices.Contains(winners, r):
			word = "wins"
		case r.Status == plan.Overridden || r.Status == plan.Refused:
			word += ": " + r.Reason
		}
		out = append(out, word)
	}
	for _, f := range warnings {
		out = append(out, string(f.Code())+" "+f.Error())
	}
	if f := fault.From(err); f != nil {
		out = append(out, string(f.Code())+" "+f.Error())
	}
	return out
}

// contested is a row of a table: what is requested, and what is decided.
type contested struct {
	name      string
	requests  requests
	configure func(*config.Config)
	want      []string
}

func (test contested) run(t *testing.T, container *state.Container) {
	t.Helper()
	t.Run(test.name, func(t *testing.T) {
		c := config.Defaults()
		c.NVIDIA.RuntimeConfig = "/nowhere/config.toml"
		if test.configure != nil {
			test.configure(c)
		}
		winners, warnings, err := Contest(c, container, test.requests)
		if diff := cmp.Diff(test.want, decided(test.requests, winners, warnings, err), cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

// engineless is a container of a bare runtime, for which every source counts.
func engineless() *state.Container {
	return &state.Container{Spec: &specs.Spec{Process: &specs.Process{}}}
}
