package devices

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// The runtime runs a late hook as root, so its program must be trusted as that of an early one. A startContainer hook
// runs inside the container.
func TestRunBy(t *testing.T) {
	missing := t.TempDir() + "/missing"
	for _, stage := range []string{"poststart", "poststop"} {
		h := &Hook{HookName: stage, Path: missing, Status: Late}
		if err := h.RunBy(trust.Root()); !fault.Is(err, fault.Hook) {
			t.Errorf("%s: %v", stage, err)
		}
	}
	if err := (&Hook{HookName: "startContainer", Path: missing}).RunBy(trust.Root()); err != nil {
		t.Error(err)
	}
}

// An edit that an earlier stage or the engine has made is Present, also a late one.
func TestCompleteFindsLate(t *testing.T) {
	e := &Edits{
		Env: []*Env{{"A=1", Late}, {"B=1", Late}},
		Hooks: []*Hook{
			hook("startContainer", "/s", []string{"s"}, nil), hook("poststart", "/s", nil, nil),
			hook("poststop", "/p", nil, nil),
		},
		AdditionalGIDs: []*GID{{1, Late}}, IntelRdt: []*IntelRdt{{"x", Late, nil}},
	}
	for _, h := range e.Hooks {
		h.Status = Late
	}
	_, err := e.Complete(&specs.Spec{
		Process: &specs.Process{Env: []string{"A=1", "A=2", "B=2", "B=1"}, User: specs.User{AdditionalGids: []uint32{1}}},
		Hooks: &specs.Hooks{
			StartContainer: []specs.Hook{{Path: "/s", Args: []string{"s"}}}, Poststop: []specs.Hook{{Path: "/p"}},
			CreateRuntime: []specs.Hook{{Path: "/s"}},
		},
		Linux: &specs.Linux{IntelRdt: &specs.LinuxIntelRdt{ClosID: "x"}},
	}, "", trust.Root(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []Status
	for _, s := range e.Statuses() {
		got = append(got, *s)
	}
	if want := []Status{Late, Present, Present, Late, Present, Present, Present}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestAllowed(t *testing.T) {
	n := func(i int64) *int64 { return &i }
	for _, test := range []struct {
		name        string
		permissions string
		rules       []specs.LinuxDeviceCgroup
		want        bool
	}{
		{"no rules", "rw", nil, false},
		{"no rule wanted", "", nil, true},
		{"its own", "rw", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(1), Minor: n(2), Access: "rwm"}}, true},
		{"less", "rw", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(1), Minor: n(2), Access: "r"}}, false},
		{
			"another's", "rw",
			[]specs.LinuxDeviceCgroup{
				{Allow: true, Type: "c", Major: n(1), Minor: n(3), Access: "rw"}, {Allow: true, Type: "b", Access: "rw"},
			},
			false,
		},
		{
			"all minors", "rw",
			[]specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: n(1), Minor: n(-1), Access: "rw"}},
			true,
		},
		{"all, then none", "rw", []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}, {Access: "rwm"}}, false},
		{"none, then all", "rw", []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "a", Access: "rwm"}}, true},
		{"a part taken away", "rw", []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}, {Type: "c", Access: "w"}}, false},
		{
			"another part taken away", "r",
			[]specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}, {Type: "c", Access: "w"}},
			true,
		},
	} {
		d := &DeviceNode{Type: "c", Major: 1, Minor: 2, Permissions: test.permissions}
		if got := d.Allowed(test.rules); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
