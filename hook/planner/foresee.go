package planner

import (
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Foresee settles, before anything is carried out, what look finds that cannot be: an error about what was asked for
// ends the plan, and one about a wish makes that come to nothing. look returns a warning for each edit that it has left
// out.
func (d *Draft) Foresee(look func(*devices.Edits) ([]*fault.Error, error)) {
	if d.Failed() {
		return
	}
	notes, err := look(d.asked.edits)
	d.Warnings = append(d.Warnings, notes...)
	if err != nil {
		d.Fail(err)
		return
	}
	for i := range d.wishes {
		w := &d.wishes[i]
		if w.forgone {
			continue
		}
		notes, err := look(w.edits)
		if err != nil {
			d.forgo(w, fault.From(err))
			continue
		}
		d.Warnings = append(d.Warnings, notes...)
	}
}
