package request

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// asking is a container that requests something, and what of the configuration is not the default.
type asking struct {
	engine      string
	annotations map[string]string
	env         []string
	null        []string // what /dev/null is mounted on, below the folder of the mounts
	privileged  bool
	flag        string // "" for none
	configure   func(*config.Config)
}

func (a asking) container() *state.Container {
	process := &specs.Process{Env: a.env, Capabilities: &specs.LinuxCapabilities{}}
	if a.privileged {
		process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"}
	}
	c := &state.Container{Spec: &specs.Spec{Process: process, Annotations: a.annotations}}
	for _, below := range a.null {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{
			Source: "/dev/null", Destination: "/var/run/nvidia-container-devices/" + below,
		})
	}
	c.Identify(a.engine, nil)
	return c
}

func (a asking) config() *config.Config {
	c := config.Defaults()
	if a.configure != nil {
		a.configure(c)
	}
	return c
}

func (a asking) gather() []*Request {
	var flag *string
	if a.flag != "" {
		flag = &a.flag
	}
	return Gather(a.config(), a.container(), flag)
}

// line is a request as the tables write it: the source, the vendors that it may go to, what it is for, and what is
// known of it.
func line(r *Request) string {
	var vendors []string
	for _, v := range r.Vendors {
		vendors = append(vendors, v.Name)
	}
	words := []string{r.Source + ":", cmp.Or(strings.Join(vendors, "|"), r.Vendor, "nobody")}
	if r.Part != "" {
		words = append(words, "part "+r.Part)
	}
	words = append(words, r.IDs...)
	if r.Pin != "" {
		words = append(words, "by "+r.Pin)
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{r.Files, "files"},
		{r.Void, "void"},
		{r.Weak, "wish"},
		{r.Replaced, "replaced"},
		{r.Engine, "engine"},
	} {
		if flag.set {
			words = append(words, flag.name)
		}
	}
	switch {
	case r.Err != nil:
		words = append(words, "("+string(r.Err.Code())+": "+r.Err.Unwrap().Error()+")")
	case r.Status != "":
		words = append(words, "("+r.Status+": "+r.Reason+")")
	}
	return strings.Join(words, " ")
}

func lines(requests []*Request) []string {
	var out []string
	for _, r := range requests {
		out = append(out, line(r))
	}
	return out
}

// gathering is a table of containers and of the requests that they make.
type gathering []struct {
	name string
	asking
	want []string
}

func (table gathering) run(t *testing.T) {
	t.Helper()
	for _, test := range table {
		t.Run(test.name, func(t *testing.T) {
			if diff := gocmp.Diff(test.want, lines(test.gather()), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func annotated(pairs ...string) asking {
	a := asking{annotations: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		a.annotations[pairs[i]] = pairs[i+1]
	}
	return a
}

// under is the same container of an engine.
func (a asking) under(engine string) asking {
	a.engine = engine
	return a
}

// with is the same container under a configuration.
func (a asking) with(configure func(*config.Config)) asking {
	a.configure = configure
	return a
}

// What a report shows of a container's own words is bounded, and has no control characters.
func TestNewBoundsWhatIsShown(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"short":               {"all", "all"},
		"as long as is shown": {strings.Repeat("a", 512), strings.Repeat("a", 512)},
		"longer":              {strings.Repeat("a", 513), strings.Repeat("a", 512) + "…"},
		"cut in a character":  {strings.Repeat("a", 511) + "äb", strings.Repeat("a", 511) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(config.Source{Kind: config.SourceAnnotation, UnsafeKey: "gpu-hook/gpus.a\nb"}, test.in)
			if r.Value != test.want || r.Source != "annotation:gpu-hook/gpus.a; b" {
				t.Errorf("%s %q", r.Source, r.Value)
			}
		})
	}
}

// A refused request shows sixteen devices at most; one that is not refused shows all of them.
func TestRefuseBoundsDevices(t *testing.T) {
	for n, want := range map[int]int{0: 0, 16: 16, 17: 17, 4096: 17} {
		var ids []string
		for i := range n {
			ids = append(ids, strings.Repeat("x", i+1))
		}
		r := New(Env("X"), "").With(nil, ids)
		if len(r.Devices) != n {
			t.Errorf("%d devices are shown as %d", n, len(r.Devices))
		}
		r.Err = fault.New(fault.Request, "", "it makes no sense")
		r.Refuse("because of %s", "policy")
		if len(r.Devices) != want || n > 16 && r.Devices[16] != "…" || len(r.IDs) != n {
			t.Errorf("%d devices, refused: %q", n, r.Devices)
		}
		// What does not count is not read for mistakes.
		if r.Status != "refused" || r.Reason != "because of policy" || r.Err != nil {
			t.Errorf("%s %q %v", r.Status, r.Reason, r.Err)
		}
	}
}

// A mistake has the code and the hint of the error that is its reason, and else those of a request that makes no sense.
func TestMistake(t *testing.T) {
	const hint = `ask for example for "all", for "2", for "device=0,1" or, in CDI's names, for "device=nvidia.com/gpu=0"`
	for _, test := range []struct {
		err  error
		code fault.Code
		hint string
	}{
		{errors.New("why"), fault.Request, hint},
		{fault.New(fault.Policy, "", "why"), fault.Policy, hint},
		{fault.New(fault.Policy, "", "why").WithHint("do this"), fault.Policy, "do this"},
	} {
		r := New(Env("X"), "0").mistake(test.err)
		if r.Err.Code() != test.code || r.Err.Hint() != test.hint || r.Err.Error() != `X=0: why` || r.Status != "" {
			t.Errorf("%s %v, hint %s", r.Err.Code(), r.Err, r.Err.Hint())
		}
	}
}

func TestStop(t *testing.T) {
	r := New(Env("X"), "0")
	err := r.Stop(fault.New(fault.Name, "what", "no\nsuch"))
	if err.Error() != "what: no\nsuch" || r.Status != "refused" || r.Reason != "no; such" {
		t.Errorf("%v, %s %q", err, r.Status, r.Reason)
	}
}

// With makes a copy that shares nothing with the request, in which each device is named once.
func TestWith(t *testing.T) {
	c := config.Defaults()
	r := New(Env("X"), "0").With([]*config.Vendor{&c.Vendors[0]}, []string{"0", "1", "0"})
	r.Capabilities = []string{"gpu"}
	other := r.With([]*config.Vendor{&c.Vendors[1], &c.Vendors[2]}, []string{"2"})
	other.Devices[0], other.Capabilities[0] = "changed", "changed"
	got, shared := line(r), !slices.Equal(r.Devices, []string{"0", "1"}) || r.Capabilities[0] != "gpu"
	if got != "env:X: nvidia 0 1" || r.Vendor != "nvidia" || shared {
		t.Errorf("%s %+v", got, r)
	}
	if got := line(other); got != "env:X: amd|intel 2" || other.Vendor != "amd" {
		t.Errorf("%s %+v", got, other)
	}
	if none := r.With(nil, nil); none.Devices == nil || none.Vendor != "nvidia" {
		t.Errorf("without vendors and ids: %+v", none)
	}
}

// Each vendor is decided for separately, and so is each part of a vendor's contract.
func TestParties(t *testing.T) {
	c := config.Defaults()
	nvidia, amd := &c.Vendors[0], &c.Vendors[1]
	part := New(Env("X"), "").With([]*config.Vendor{nvidia}, nil)
	part.Part = "imex"
	unknown := New(Env("X"), "").With(nil, nil)
	unknown.Vendor = "acme.com"
	for _, test := range []struct {
		r    *Request
		want []string
	}{
		{New(Env("X"), "").With([]*config.Vendor{nvidia}, nil), []string{"nvidia/"}},
		{New(Env("X"), "").With([]*config.Vendor{nvidia, amd}, nil), []string{"nvidia/", "amd/"}},
		{part, []string{"nvidia/imex"}},
		{unknown, []string{"acme.com/"}},
	} {
		if got := test.r.Parties(); !slices.Equal(got, test.want) {
			t.Errorf("%v, want %v", got, test.want)
		}
	}
}

func TestSameDevices(t *testing.T) {
	c := config.Defaults()
	nvidia, amd := []*config.Vendor{&c.Vendors[0]}, []*config.Vendor{&c.Vendors[1]}
	ids := func(vendors []*config.Vendor, ids ...string) *Request { return New(Env("X"), "").With(vendors, ids) }
	files := ids(nvidia)
	files.Files = true
	channel := ids(nvidia, "0")
	channel.PartKind = "nvidia.com/imex-channel"
	for name, test := range map[string]struct {
		a, b *Request
		want bool
	}{
		"the same":                    {ids(nvidia, "0"), ids(nvidia, "0"), true},
		"in another order":            {ids(nvidia, "0", "1"), ids(nvidia, "1", "0"), true},
		"by the qualified name":       {ids(nvidia, "0"), ids(nil, "nvidia.com/gpu=0"), true},
		"one more":                    {ids(nvidia, "0"), ids(nvidia, "0", "1"), false},
		"another vendor's":            {ids(nvidia, "0"), ids(amd, "0"), false},
		"all, and one":                {ids(nvidia, "all"), ids(nvidia, "0"), false},
		"the files, and nothing":      {files, ids(nvidia).nothing("void"), false},
		"the files, and no devices":   {files, ids(nvidia), false},
		"nothing twice":               {ids(nvidia).nothing("void"), ids(nvidia).nothing("empty"), true},
		"a list without ids, nothing": {ids(nvidia), ids(nvidia).nothing("empty"), false},
		"a channel, and a GPU":        {channel, ids(nvidia, "0"), false},
		"a MIG device in NVIDIA's form": {
			ids(nvidia, "MIG-GPU-a/1/0"), ids(nvidia, "MIG-GPU-a/1/0"), true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := SameDevices(test.a, test.b); got != test.want || SameDevices(test.b, test.a) != test.want {
				t.Errorf("%s, %s: %v", line(test.a), line(test.b), got)
			}
		})
	}
}
