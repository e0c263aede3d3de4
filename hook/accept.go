package hook

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// accept makes an offer part of the plan.
func (p *planner) accept(g *group, driver string, o offer) {
	of := &p.asked
	if g.wish() {
		p.wishes = append(p.wishes, newPart())
		of = &p.wishes[len(p.wishes)-1]
	}
	of.requests = append(of.requests, g.requests...)
	if o.edits != nil {
		of.edits.Append(o.edits)
	}
	for _, note := range o.notes {
		p.warn(note)
	}
	if o.delegation != nil {
		of.delegates = append(of.delegates, delegateOf(o.delegation))
	}
	for i, r := range g.requests {
		r.Status = plan.Granted
		grant := plan.Grant{Request: p.index(r), Vendor: g.name, Driver: driver, CDIDevices: []string{}}
		if o.delegation == nil && strings.HasSuffix(driver, config.DriverRuntimeHook) && !p.config.Owns(p.container.Engine(), config.SourceCDIAnnotation) {
			p.warn(fault.New(fault.Duplicate, describe(r), "config.json has the nodes of its devices and the driver's libraries already: the engine has put them there, and they are left as they are").
				WithHint("ask for the devices in one way only: of the engine (--device), or of gpu-hook"))
		}
		if o.delegation != nil {
			grant.Delegate = delegateOf(o.delegation)
		} else {
			grant.CDIDevices = append(grant.CDIDevices, o.names[i]...)
			p.collect(o.names[i])
		}
		p.grants = append(p.grants, grant)
	}
}

func delegateOf(d *nvidia.Delegation) *plan.Delegate {
	return &plan.Delegate{Path: d.Path, Args: d.Args, Env: d.Env, Files: d.Files}
}

// collect adds devices to those of all grants; two names of one device are one device, and the first stays.
func (p *planner) collect(names []string) {
	all := append(slices.Clone(p.cdiDevices), names...)
	distinct, again := p.registry.Distinct(all)
	for _, name := range names {
		first, double := again[name]
		switch {
		case !double:
		case first == name:
			p.warn(fault.New(fault.Duplicate, name, "it is asked for twice, and given once").WithHint("remove one of the two requests"))
		default:
			p.warn(fault.New(fault.Duplicate, name, "it is another name of %s; the device is given once", first).WithHint("ask for it by one name"))
		}
	}
	p.cdiDevices = distinct
}

// late warns of the edits that a createRuntime hook cannot make. Where policy makes them the error, it ends what was asked
// for, and what was only wished comes to nothing.
func (p *planner) late() error {
	if p.stage == StagePrecreate {
		return nil // which is the stage that makes them
	}
	strict := p.config.CDI.OnLate == config.Error
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
		p.warn(f)
	}
	return nil
}

// lateIn names the edits that are late, or is nil.
func (p *planner) lateIn(e *devices.Edits) *fault.Error {
	what := p.lateEdits(e)
	if len(what) == 0 {
		return nil
	}
	return fault.New(fault.Late, "edits of the CDI Spec", "a %s hook cannot make these: %s", p.stage, strings.Join(what, ", ")).
		WithHint("where the program needs them, set them on the container itself (--env, --group-add)")
}

func (p *planner) lateEdits(edits *devices.Edits) []string {
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

// bound reports whether the Spec chooses the node's mode or owner and the node is bound from the host, whose mode and owner
// then stay.
func (p *planner) bound(d *devices.DeviceNode) bool {
	return d.Chosen && d.Status == devices.Apply && (p.config.Self.Namespaced || p.container.UserNamespace())
}

// mark reports whether the edit is the variable by which Specs keep a vendor's own hook away: no program misses it.
func (p *planner) mark(e devices.Edit) bool {
	v, ok := e.(*devices.Env)
	if !ok {
		return false
	}
	name, value, _ := strings.Cut(v.Value, "=")
	return value == "void" && slices.ContainsFunc(p.config.Vendors, func(v config.Vendor) bool { return v.Env == name })
}
