package hook

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

// planner makes the draft of the plan for one container. It reads Specs and host paths and changes nothing else.
type planner struct {
	config    *config.Config
	container *state.Container
	root      string // "" where there is no container yet
	owner     trust.Owner
	registry  *devices.Registry // of the CDI Specs, once one is needed
	noted     []string          // what of Specs was not understood, and said
	stage     string

	*draft
}

// group are the requests of one vendor, served by one driver.
type group struct {
	name     string
	vendor   *config.Vendor // nil for a vendor that is not configured
	requests []*request
}

// wish reports whether nobody has asked for anything of the group: all of it are wishes.
func (g *group) wish() bool {
	return !slices.ContainsFunc(g.requests, func(r *request) bool { return !r.weak })
}

// plan chooses a driver for the winners of each vendor. All of them are served or, weak ones apart, none is: an error
// means that the container must not start.
func (p *planner) plan(winners []*request) error {
	for _, r := range winners {
		p.unknown(r)
		if err := p.settle(r); err != nil {
			return err
		}
	}
	winners, err := p.belowEngine(winners)
	if err != nil {
		return err
	}
	for _, g := range groups(winners) {
		if err := p.grant(g); err != nil {
			return err
		}
	}
	p.features()
	if p.registry != nil {
		for _, problem := range p.registry.Problems() {
			p.warn(fault.New(fault.SpecNote, "CDI Spec left out", "%w", problem).WithHint("%s", problem.Hint()))
		}
	}
	for _, note := range p.edits().Notes {
		p.note(note)
	}
	if n := p.found(); n > 0 {
		p.warn(fault.New(fault.Duplicate, "config.json", "it carries %d of the edits already: the engine or another hook has put them there, and they are not made again", n).
			WithHint("ask for the devices in one way only: of the engine (--device), or of gpu-hook"))
	}
	return p.late()
}

// found returns how many edits of what was asked for the engine, or another hook, has put into config.json already. An
// engine that applies CDI by itself was asked in the one right way, and a wish was not asked at all.
func (p *planner) found() int {
	if p.config.Owns(p.container.Engine(), config.SourceCDIAnnotation) {
		return 0
	}
	return present(p.asked.edits)
}

func groups(winners []*request) []*group {
	var out []*group
	for _, r := range winners {
		if r.Status == plan.Unserved {
			continue
		}
		i := slices.IndexFunc(out, func(g *group) bool { return g.name == r.Vendor })
		if i < 0 {
			g := &group{name: r.Vendor}
			if len(r.vendors) > 0 {
				g.vendor = r.vendors[0]
			}
			out, i = append(out, g), len(out)
		}
		out[i].requests = append(out[i].requests, r)
	}
	return out
}

// settle gives a request that may go to several vendors to the first whose drivers can serve it: one vendor's tools on the
// host do not hide another's devices.
func (p *planner) settle(r *request) error {
	if len(r.vendors) < 2 {
		return nil
	}
	var failures []*fault.Error
	candidates := r.vendors
	for _, v := range candidates {
		r.vendors, r.Vendor = []*config.Vendor{v}, v.Name
		g := &group{v.Name, v, []*request{r}}
		failed, err := p.try(g)
		if err != nil {
			return err
		}
		if failed == nil {
			r.Capabilities = append([]string{}, r.selected(v)...)
			p.fellBack(g, v.Name, slices.DeleteFunc(failures, absent))
			return nil
		}
		for driver, errs := range failed.all() {
			p.attempt(g, driver, errs)
			failures = append(failures, failed.labelled(driver, errs)...)
		}
		if f := mayFallBack(p.config, failures); f != nil {
			break
		}
	}
	r.vendors, r.Vendor = candidates, candidates[0].Name
	return p.unserved([]*request{r}, nobody(absentLast(failures)))
}

// absent says that a vendor has nothing on this host, which is no fault where nobody has named it: no Spec defines its kind,
// its hook is not installed. A device that its Spec does not have is another matter.
func absent(f *fault.Error) bool { return f.Code() == fault.NoSpec || f.Code() == fault.Delegate }

// nobody says of a host where no vendor has anything that this is so: the first one's tools are not what is missing.
func nobody(failures []*fault.Error) []*fault.Error {
	if slices.ContainsFunc(failures, func(f *fault.Error) bool { return !absent(f) }) {
		return failures
	}
	first := fault.New(fault.NoSpec, "", "no vendor has a driver on this host").
		WithHint("generate a CDI Spec with the tool of the vendor whose devices the host has: nvidia-ctk cdi generate, amd-ctk cdi generate")
	return append([]*fault.Error{first}, failures...)
}

// absentLast puts the failures first that explain more than that a vendor has nothing here.
func absentLast(failures []*fault.Error) []*fault.Error {
	there := func(f *fault.Error) bool { return !absent(f) }
	return append(slices.DeleteFunc(slices.Clone(failures), absent), slices.DeleteFunc(slices.Clone(failures), there)...)
}

// try reports whether one of the vendor's drivers can serve the group, nil, or how all of them fail.
func (p *planner) try(g *group) (*failed, error) {
	list, err := drivers(g.vendor, g.requests)
	if err != nil {
		return nil, err
	}
	f := &failed{}
	for _, driver := range list {
		_, errs := p.offer(driver, g)
		if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
			return nil, nil //nolint:nilnil // nothing failed
		}
		f.drivers, f.errs = append(f.drivers, driver), append(f.errs, errs)
		if mayFallBack(p.config, f.labelled(driver, errs)) != nil {
			break
		}
	}
	return f, nil //nolint:nilerr // how they fail is the answer
}

// grant serves a group. A wish that cannot be granted, for whatever reason, comes to nothing with a warning. Where it is in
// one group with what was asked for, that is tried again without it.
func (p *planner) grant(g *group) error {
	err := p.serve(g)
	if err == nil {
		return nil
	}
	asked, wishes := g.apart()
	if len(wishes.requests) == 0 {
		return err
	}
	p.forgo(&wishes, fault.From(err))
	if len(asked.requests) == 0 {
		return nil
	}
	for _, r := range asked.requests {
		r.Status, r.Reason = "", ""
	}
	return p.serve(asked)
}

// apart returns what of the group was asked for, as a group of its own, and its wishes.
func (g *group) apart() (asked *group, wishes part) {
	asked, wishes = &group{name: g.name, vendor: g.vendor}, newPart()
	for _, r := range g.requests {
		if r.weak {
			wishes.requests = append(wishes.requests, r)
		} else {
			asked.requests = append(asked.requests, r)
		}
	}
	return asked, wishes
}

// serve tries the drivers of the group's vendor in order. The first whose plan holds gets all its requests; a failed
// attempt leaves nothing behind but its reason.
func (p *planner) serve(g *group) error {
	if done, err := p.wish(g); done || err != nil {
		return err
	}
	if err := p.precondition(g); err != nil {
		return err
	}
	list, err := drivers(g.vendor, g.requests)
	if err != nil {
		return err
	}
	var failures []*fault.Error
	var culprit *request
	chosen := ""
	for _, driver := range list {
		if chosen != "" {
			p.skip(g, driver, chosen+" serves the request")
			continue
		}
		if f := mayFallBack(p.config, failures); f != nil {
			p.skip(g, driver, "no other driver is tried")
			continue
		}
		offer, errs := p.offer(driver, g)
		p.attempt(g, driver, errs)
		if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 && culprit == nil {
			culprit = g.requests[i]
		}
		if labelled := (&failed{}).labelled(driver, errs); len(labelled) > 0 {
			failures = append(failures, labelled...)
			continue
		}
		chosen = driver
		p.fellBack(g, driver, failures)
		p.accept(g, driver, offer)
	}
	if chosen != "" {
		return nil
	}
	return p.unserved(culpritFirst(g.requests, culprit), failures)
}

// culpritFirst puts the request that an error is about before the others of its group.
func culpritFirst(requests []*request, culprit *request) []*request {
	out := slices.Clone(requests)
	slices.SortStableFunc(out, func(a, b *request) int {
		switch culprit {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	return out
}

// wish settles a group that is all wishes where nothing can serve it: what images demand of a driver that is not there
// concerns nobody then.
func (p *planner) wish(g *group) (done bool, err error) {
	if !g.wish() {
		return false, nil
	}
	failed, err := p.try(g)
	if err != nil || failed == nil {
		return false, err
	}
	var failures []*fault.Error
	for driver, errs := range failed.all() {
		p.attempt(g, driver, errs)
		failures = append(failures, failed.labelled(driver, errs)...)
	}
	return true, p.unserved(g.requests, failures)
}
