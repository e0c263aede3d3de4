package planner

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// offer is how a driver would serve all requests of a group.
type offer struct {
	edits      *devices.Edits       // of CDI
	names      [][]string           // of CDI, per request
	shares     []*devices.Share     // of CDI: what each Spec contributes
	notes      []*fault.Error       // of CDI: in what Specs and host differ, and what is left out because of that
	delegation *contract.Delegation // of the vendor's own hook
}

// note adds what is not noted yet: requests of one Spec share its edits.
func (o *offer) note(notes ...*fault.Error) {
	for _, n := range notes {
		if !slices.ContainsFunc(o.notes, func(other *fault.Error) bool { return other.Error() == n.Error() }) {
			o.notes = append(o.notes, n)
		}
	}
}

// offerBy returns the driver's offer, or an error for each request that it cannot serve.
func (p *Planner) offerBy(driver string, g *group) (offer, []error) {
	if strings.HasSuffix(driver, config.DriverRuntimeHook) {
		return p.offerHook(g)
	}
	return p.offerCDI(g)
}

// accept makes an offer part of the plan.
func (p *Planner) accept(g *group, driver string, o offer) {
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
		p.Warn(note)
	}
	if len(o.shares) > 0 {
		p.byCDI = append(p.byCDI, byCDI{g, o})
	}
	if o.delegation != nil {
		of.delegates = append(of.delegates, delegateOf(o.delegation))
	}
	for i, r := range g.requests {
		r.Status = plan.Granted
		grant := plan.Grant{Request: p.index(r), Vendor: g.name, Driver: driver, CDIDevices: []string{}}
		served := o.delegation == nil && strings.HasSuffix(driver, config.DriverRuntimeHook) // see offerHook
		if served && !p.Config.Owns(p.Container.Engine(), config.SourceCDIAnnotation) {
			p.Warn(fault.New(fault.Duplicate, r.String(),
				"config.json has the nodes of its devices and the driver's libraries already: the engine has put them there, "+
					"and they are left as they are").
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

func delegateOf(d *contract.Delegation) *plan.Delegate {
	return &plan.Delegate{Path: d.Path, Args: d.Args, Env: d.Env, Program: d.Program, Files: d.Files}
}

// collect adds devices to those of all grants. Two names of one device are one device, and the first stays.
func (p *Planner) collect(names []string) {
	distinct, doubles := p.registry.Distinct(append(slices.Clone(p.cdiDevices), names...))
	for _, name := range names {
		first, double := doubles[name]
		switch {
		case !double:
		case first == name:
			p.Warn(fault.New(fault.Duplicate, name, "it is asked for twice, and given once").
				WithHint("remove one of the two requests"))
		default:
			p.Warn(fault.New(fault.Duplicate, name, "it is another name of %s; the device is given once", first).
				WithHint("ask for it by one name"))
		}
	}
	p.cdiDevices = distinct
}
