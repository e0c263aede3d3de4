package planner

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// late warns of the edits that a createRuntime hook cannot make. If policy makes them the error, it ends what was asked
// for, and what was only wished comes to nothing.
func (p *Planner) late() error {
	if p.MakesLate {
		return nil
	}
	strict := p.Config.CDI.OnLate == config.Error
	if strict {
		for i := range p.wishes {
			if f := p.lateIn(p.wishes[i].edits); f != nil {
				p.forgo(&p.wishes[i], f.WithCode(fault.LateEdit))
			}
		}
	}
	f := p.lateIn(p.asked.edits)
	if f != nil && strict {
		return f.WithCode(fault.LateEdit)
	}
	if f = p.lateIn(p.edits()); f != nil && !strict {
		p.Warn(f)
	}
	return nil
}

// lateIn returns the fault that names the edits that are late, or nil.
func (p *Planner) lateIn(e *devices.Edits) *fault.Error {
	what := p.lateEdits(e)
	if len(what) == 0 {
		return nil
	}
	return fault.New(fault.Late, "edits of the CDI Spec",
		"a %s hook cannot make these: %s", p.Stage, strings.Join(what, ", ")).
		WithHint("where the program needs them, set them on the container itself (--env, --group-add)")
}

func (p *Planner) lateEdits(edits *devices.Edits) []string {
	var what []string
	for e := range edits.All() {
		if *e.State() == devices.Late && !p.mark(e) {
			what = append(what, e.Label())
		}
		if d, ok := e.(*devices.DeviceNode); ok && p.bound(d) {
			what = append(what, "mode and owner of "+d.Path)
		}
	}
	return what
}

// bound reports whether the Spec chooses the node's mode or owner, and the node is bound from the host: the host's mode
// and owner stay then.
func (p *Planner) bound(d *devices.DeviceNode) bool {
	return d.Chosen && d.Status == devices.Apply && (p.Config.Self.Namespaced || p.Container.UserNamespace())
}

// mark reports whether the edit is the variable by which Specs keep a vendor's own hook away: no program misses it.
func (p *Planner) mark(e devices.Edit) bool {
	v, ok := e.(*devices.Env)
	if !ok {
		return false
	}
	name, value, _ := strings.Cut(v.Value, "=")
	return value == "void" && slices.ContainsFunc(p.Config.Vendors, func(v config.Vendor) bool { return v.Env == name })
}
