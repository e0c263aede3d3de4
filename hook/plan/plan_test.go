package plan

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// planned is a plan with one request that was asked for and two wishes. Each has a node; the first wish has a hook that
// ran, too.
func planned() Plan {
	part := func(request int, node string) Part {
		edits := devices.NewEdits()
		edits.DeviceNodes = []*devices.DeviceNode{{Path: node, Status: devices.Apply}}
		return Part{Requests: []int{request}, Edits: edits}
	}
	p := Plan{
		Requests: []Request{
			{Source: "flag", Value: "1"}, {Source: "env:X", Value: "all"}, {Source: "env:Y", Value: "enabled"},
		},
		Grants: []Grant{
			{Request: 0, CDIDevices: []string{"a.com/b=0", "a.com/b=1"}},
			{Request: 1, CDIDevices: []string{"a.com/b=1", "c.com/d=0"}},
			{Request: 2, CDIDevices: []string{}},
		},
		Asked: part(0, "/dev/a"), Wishes: []Part{part(1, "/dev/b"), part(2, "/dev/c")},
	}
	p.Wishes[0].Edits.Hooks = []*devices.Hook{{HookName: "createRuntime", Path: "/h", Status: devices.Applied}}
	return p
}

func statuses(e *devices.Edits) (out []string) {
	for edit := range e.All() {
		out = append(out, edit.Label()+" "+string(*edit.State()))
	}
	return out
}

func TestEdits(t *testing.T) {
	p := planned()
	want := []string{"node /dev/a apply", "node /dev/b apply", "node /dev/c apply", "createRuntime hook /h applied"}
	if diff := cmp.Diff(want, statuses(p.Edits())); diff != "" {
		t.Error(diff)
	}
	// Its elements are those of the parts, and its lists are not.
	all := p.Edits()
	all.DeviceNodes[2].Status, all.DeviceNodes = devices.Applied, all.DeviceNodes[:1]
	if p.Wishes[1].Edits.DeviceNodes[0].Status != devices.Applied || len(p.Asked.Edits.DeviceNodes) != 1 {
		t.Error("the edits are not those of the parts")
	}
	p.Asked.Edits, p.Wishes = nil, nil
	if got := p.Edits(); len(statuses(got)) > 0 || got.Env == nil {
		t.Errorf("without parts: %+v", got)
	}
}

// A plan is not changed once it is made: who carries it out works on a copy.
func TestCopyChangesNothing(t *testing.T) {
	p := planned()
	before := statuses(p.Edits())
	c := p.Copy()
	if diff := cmp.Diff(before, statuses(c.Edits())); diff != "" {
		t.Error("the copy is another plan:", diff)
	}
	for e := range c.Edits().All() {
		*e.State() = devices.Failed
	}
	c.Asked.Edits.DeviceNodes = nil
	c.Wishes[0].Forgone, c.Wishes[1].Edits = true, nil
	if diff := cmp.Diff(before, statuses(p.Edits())); diff != "" || p.Wishes[0].Forgone {
		t.Error("carrying out the copy has changed the plan:", diff)
	}
}

// Each name is there once, in the order of the grants.
func TestNames(t *testing.T) {
	if got := Names(planned().Grants); !slices.Equal(got, []string{"a.com/b=0", "a.com/b=1", "c.com/d=0"}) {
		t.Errorf("%q", got)
	}
	if got := Names(nil); got == nil || len(got) > 0 {
		t.Errorf("without grants: %#v", got)
	}
}

func TestReadyAndFailed(t *testing.T) {
	failed := []*fault.Error{fault.New(fault.Policy, "", "x")}
	for name, test := range map[string]struct {
		plan          Plan
		ready, failed bool
	}{
		"nothing is granted":       {Plan{}, false, false},
		"something is granted":     {planned(), true, false},
		"it must not start":        {Plan{Errors: failed}, false, true},
		"it must not, with grants": {Plan{Errors: failed, Grants: []Grant{{}}}, false, true},
	} {
		if test.plan.Ready() != test.ready || test.plan.Failed() != test.failed {
			t.Errorf("%s: ready %v, failed %v", name, test.plan.Ready(), test.plan.Failed())
		}
	}
}

// A wish that came to nothing is unserved, with a warning, and what was not done of its edits never is. What was done,
// and everything else, stays.
func TestForgo(t *testing.T) {
	p, o := planned(), NewOutcome()
	why := fault.New(fault.Hook, "hook /h", "it failed").WithHint("look at it")
	o.Forgo(p, p.Wishes[0], why)
	want := []string{"node /dev/a apply", "node /dev/b skipped", "node /dev/c apply", "createRuntime hook /h applied"}
	if diff := cmp.Diff(want, statuses(p.Edits())); diff != "" {
		t.Error(diff)
	}
	if len(o.Forgone) != 1 || o.Forgone[1] != why || len(o.Warnings) != 1 || o.Result != ResultApplied {
		t.Errorf("%+v", o)
	}
	f := o.Warnings[0]
	text := `X=all: the container starts without: hook /h: it failed`
	if f.Code() != fault.Weak || f.Error() != text || f.Hint() != "look at it" {
		t.Errorf("%s %v, hint %s", f.Code(), f, f.Hint())
	}
}

// Skip concerns what was to be done alone.
func TestSkip(t *testing.T) {
	edits := devices.NewEdits()
	all := []devices.Status{
		devices.Apply, devices.Applied, devices.Present, devices.Late, devices.Skipped, devices.Failed,
	}
	for _, status := range all {
		edits.DeviceNodes = append(edits.DeviceNodes, &devices.DeviceNode{Status: status})
	}
	Skip(edits)
	all[0] = devices.Skipped
	for i, d := range edits.DeviceNodes {
		if d.Status != all[i] {
			t.Errorf("%s, want %s", d.Status, all[i])
		}
	}
}

func TestNothing(t *testing.T) {
	why := fault.New(fault.Hook, "", "x")
	for name, test := range map[string]struct {
		forgone []int
		want    bool
	}{
		"all was done":       {nil, false},
		"a wish is forgone":  {[]int{1}, false},
		"all wishes are":     {[]int{1, 2}, false},
		"everything is":      {[]int{0, 1, 2}, true},
		"something else too": {[]int{7}, false},
	} {
		o := NewOutcome()
		for _, i := range test.forgone {
			o.Forgone[i] = why
		}
		if got := o.Nothing(planned()); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	o := NewOutcome()
	if !o.Nothing(Plan{}) {
		t.Error("nothing was granted, and yet there is something")
	}
}

func TestFail(t *testing.T) {
	o := NewOutcome()
	o.Warn(fault.New(fault.Late, "", "w"))
	o.Fail(fault.New(fault.Node, "", "x"))
	if o.Result != "failed" || len(o.Errors) != 1 || o.Errors[0].Code() != fault.Node || len(o.Warnings) != 1 {
		t.Errorf("%+v", o)
	}
}

func TestRequestInMessages(t *testing.T) {
	if got := (Request{Source: "env:X", Value: "a\nb"}).String(); got != `X="a\nb"` {
		t.Error(got)
	}
}
