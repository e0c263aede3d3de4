package report

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// stateOf is everything of a plan and an outcome that a report could change, as text.
func stateOf(t *testing.T, p plan.Plan, o *plan.Outcome) string {
	t.Helper()
	data, err := json.MarshalIndent([]any{
		p.Requests, p.Attempts, p.Grants, p.CDIDevices, p.Edits(), o.Edits, o.Delegated, o.Result, o.Output,
		len(p.Warnings), len(p.Errors), len(o.Warnings), len(o.Errors), len(o.Forgone),
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The report has edits of its own: making it, and changing it, changes neither plan nor outcome.
func TestMakeChangesNothing(t *testing.T) {
	done := func(p plan.Plan) *plan.Outcome {
		o := plan.NewOutcome()
		o.Edits = p.Copy().Edits()
		for e := range o.Edits.All() {
			*e.State() = devices.Applied
		}
		o.Output["/usr/bin/hook"] = "done"
		o.Delegated = []*devices.DeviceNode{{Path: "/dev/b", Status: devices.Applied}}
		return &o
	}
	for name, change := range map[string]func(plan.Plan, *plan.Outcome){
		"applied": func(plan.Plan, *plan.Outcome) {},
		"failed":  func(_ plan.Plan, o *plan.Outcome) { o.Fail(fault.New(fault.Node, "a", "b")) },
		"a wish came to nothing": func(p plan.Plan, o *plan.Outcome) {
			o.Forgone[1] = fault.New(fault.Hook, "h", "failed")
			o.Warn(plan.Without(p.Requests[1], o.Forgone[1]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := example()
			o := done(p)
			change(p, o)
			before := stateOf(t, p, o)
			first := Make(NewRun("createRuntime"), p, o)
			if diff := cmp.Diff(before, stateOf(t, p, o)); diff != "" {
				t.Error("making the report has changed something:", diff)
			}
			second := Make(NewRun("createRuntime"), p, o)
			if diff := cmp.Diff(shown(first), shown(second)); diff != "" {
				t.Error("a second report says something else:", diff)
			}
			alter(first)
			alter(Make(NewRun("createRuntime"), p, nil))
			if diff := cmp.Diff(before, stateOf(t, p, o)); diff != "" {
				t.Error("changing the report has changed something:", diff)
			}
		})
	}
}

// alter changes everything of a report.
func alter(r *Report) {
	for e := range r.Edits.All() {
		*e.State() = "altered"
	}
	r.Edits.DeviceNodes = nil
	for i := range r.Requests {
		r.Requests[i].Status = "altered"
	}
	for i := range r.Grants {
		r.Grants[i].Driver = "altered"
	}
	for i := range r.CDIDevices {
		r.CDIDevices[i] = "altered"
	}
	r.Warn(fault.New(fault.Late, "", "altered"))
}

// Nodes that a delegate has left are edits of the report, behind those of the plan.
func TestDelegatedNodes(t *testing.T) {
	p, o := example(), plan.NewOutcome()
	o.Edits = p.Copy().Edits()
	o.Delegated = []*devices.DeviceNode{{Path: "/dev/b", Status: devices.Applied}}
	want := []string{
		"applied", "[a.com/b=0 c.com/d=0]", "flag granted", "env:X granted",
		"variable A=b late", "node /dev/a apply", "node /dev/b applied", "createContainer hook /bin/h apply", "W-LATE",
	}
	if diff := cmp.Diff(want, shown(Make(NewRun(""), p, &o))); diff != "" {
		t.Error(diff)
	}
	// Of a failed run they are taken back, as the others are.
	o.Fail(fault.New(fault.Node, "a", "b"))
	node := Make(NewRun(""), p, &o).Edits.DeviceNodes[1]
	if node.Status != devices.Apply || o.Delegated[0].Status != devices.Applied {
		t.Errorf("%s, and in the outcome %s", node.Status, o.Delegated[0].Status)
	}
}

// What came to nothing was not given.
func TestForgoneGrants(t *testing.T) {
	p, o := example(), plan.NewOutcome()
	o.Edits, o.Forgone[0] = p.Copy().Edits(), fault.New(fault.Hook, "h", "failed\nreally")
	r := Make(NewRun(""), p, &o)
	if len(r.Grants) != 1 || r.Grants[0].Request != 1 || r.Requests[0].Reason != "h: failed; really" {
		t.Errorf("%+v, %s", r.Grants, r.Requests[0].Reason)
	}
}

// A container that does not start has no request that is granted. What was decided of the others stays.
func TestStatusesOfARefusedContainer(t *testing.T) {
	p := plan.Plan{Errors: []*fault.Error{fault.New(fault.Policy, "", "x")}}
	for _, status := range []string{
		"", plan.Granted, plan.Overridden, plan.Refused, plan.Empty, plan.Unserved, plan.Present,
	} {
		p.Requests = append(p.Requests, plan.Request{Status: status, Reason: "as it was"})
	}
	r := Make(NewRun(""), p, nil)
	var got []string
	for _, q := range r.Requests {
		got = append(got, q.Status+": "+q.Reason)
	}
	want := []string{
		"unserved: the container does not start", "unserved: the container does not start",
		"overridden: as it was", "refused: as it was", "empty: as it was", "unserved: as it was", "present: as it was",
	}
	if diff := cmp.Diff(want, got); diff != "" || r.Result != plan.ResultRefused {
		t.Error(r.Result, diff)
	}
}

// Lists are never null, for scripts.
func TestEmptyLists(t *testing.T) {
	data, err := json.Marshal(Make(NewRun("createRuntime"), plan.Plan{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"requests", "attempts", "grants", "cdiDevices", "warnings", "errors", "phases"} {
		if list, ok := object[key].([]any); !ok || len(list) > 0 {
			t.Errorf("%s is %v", key, object[key])
		}
	}
	for key, list := range object["edits"].(map[string]any) {
		if _, ok := list.([]any); !ok {
			t.Errorf("edits.%s is %v", key, list)
		}
	}
	if object["result"] != "nothing" {
		t.Errorf("result %v", object["result"])
	}
}

func TestRun(t *testing.T) {
	run := NewRun("createRuntime")
	run.Phase("state")
	run.Phase("apply")
	r := Make(run, plan.Plan{}, nil)
	if len(r.Phases) != 2 || r.Phases[0].Name != "state" || r.Phases[1].Name != "apply" || r.Phases[0].Microseconds < 0 {
		t.Errorf("phases %v", r.Phases)
	}
	if !r.Time.Equal(run.Began()) || r.Container.Stage != "createRuntime" {
		t.Errorf("%v %+v", r.Time, r.Container)
	}
	run.Phase("later")
	if len(r.Phases) != 2 {
		t.Error("the report goes on with the run")
	}
}
