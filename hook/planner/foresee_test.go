package planner

import (
	"errors"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// What cannot be carried out ends a plan if somebody asked for it, and else comes to nothing, each wish by itself.
func TestDraftForesee(t *testing.T) {
	build := func() (*Draft, *devices.Edits, *devices.Edits) {
		d := drafted(false, true, true)
		for i, r := range d.Requests {
			r.Status = plan.Granted
			d.grants = append(d.grants, plan.Grant{Request: i})
		}
		d.asked.requests = d.Requests[:1]
		for _, r := range d.Requests[1:] {
			w := newPart()
			w.requests = []*request.Request{r}
			d.wishes = append(d.wishes, w)
		}
		return d, d.asked.edits, d.wishes[0].edits
	}
	note, err := fault.New(fault.Skipped, "", "left out"), fault.New(fault.Mount, "mount", "a volume")

	d, _, wish := build()
	d.Foresee(func(e *devices.Edits) ([]*fault.Error, error) {
		if e == wish {
			return []*fault.Error{note}, err
		}
		return []*fault.Error{note}, nil
	})
	codes := ""
	for _, w := range d.Warnings {
		codes += string(w.Code()) + " "
	}
	if d.Failed() || codes != "W-SKIPPED W-WEAK W-SKIPPED " || len(d.grants) != 2 || !d.wishes[0].forgone ||
		d.Requests[1].Status != plan.Unserved || d.Requests[2].Status != plan.Granted {
		t.Errorf("%v, %s, %v", d.Errors, codes, d.grants)
	}
	looked := 0
	d.Foresee(func(*devices.Edits) ([]*fault.Error, error) { looked++; return nil, nil })
	if looked != 2 {
		t.Errorf("a wish that was given up is looked at: %d", looked)
	}

	d, asked, _ := build()
	d.Foresee(func(e *devices.Edits) ([]*fault.Error, error) {
		if e == asked {
			return nil, err
		}
		return nil, nil
	})
	if len(d.Errors) != 1 || !errors.Is(d.Errors[0], err) {
		t.Errorf("%v", d.Errors)
	}
	d.Foresee(func(*devices.Edits) ([]*fault.Error, error) { return nil, err })
	if len(d.Errors) != 1 {
		t.Errorf("a plan that has failed is looked at: %v", d.Errors)
	}
}
