package hook

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/trust"
)

// planner makes the plan for one container in its report. It reads Specs and host paths and changes nothing.
type planner struct {
	config    *config.Config
	container *state.Container // what asks
	spec      *specs.Spec      // what edits are held against
	inSpec    bool             // they are to be made in the spec, not in the container
	claim     *claim           // of the stage before that it has made them, or nil
	root      string           // "" where there is no container yet
	owner     trust.Owner
	report    *report.Report
	requests  []*request
	registry  *devices.Registry // of the CDI Specs, once one is needed
	delegates []inject.Delegate
}

// group are the requests of one vendor, served by one driver.
type group struct {
	name     string
	vendor   *config.Vendor // nil for a vendor that is not configured
	requests []*request
}

// plan chooses a driver for the winners of each vendor. All of them are served or, weak ones apart, none is: an error
// means that the container must not start.
func (p *planner) plan(winners []*request) error {
	for _, r := range winners {
		if err := p.settle(r); err != nil {
			return err
		}
	}
	for _, g := range groups(winners) {
		if err := p.serve(g); err != nil {
			return err
		}
	}
	if p.registry != nil {
		for _, problem := range p.registry.Problems() {
			p.report.Warn(fault.New(fault.SpecNote, "CDI Spec left out", "%w", problem).WithHint("%s", problem.Hint))
		}
	}
	for _, note := range p.report.Edits.Notes {
		p.report.Warn(note)
	}
	if n := p.found(); n > 0 {
		p.report.Warn(fault.New(fault.Duplicate, "config.json", "it carries %d of the edits already: the engine or another hook has put them there, and they are not made again", n).
			WithHint("ask for the devices in one way only: of the engine (--device), or of gpu-hook"))
	}
	return p.late()
}

// found is how many edits were in the spec before any stage of ours.
func (p *planner) found() int {
	if p.claim != nil {
		return p.claim.Found
	}
	return present(p.report.Edits)
}

func groups(winners []*request) []*group {
	var out []*group
	for _, r := range winners {
		if r.Status == report.Unserved {
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
			selected, _ := r.asked.Match(v.Capabilities)
			r.Capabilities = append([]string{}, selected...)
			p.fellBack(g, v.Name, failures)
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
	return p.unserved([]*request{r}, failures)
}

// failed are the reasons of the drivers of one vendor that could not serve, in order.
type failed struct {
	drivers []string
	errs    [][]error // per driver, per request
}

func (f *failed) all() func(yield func(string, []error) bool) {
	return func(yield func(string, []error) bool) {
		for i, driver := range f.drivers {
			if !yield(driver, f.errs[i]) {
				return
			}
		}
	}
}

// labelled are the errors with the driver's name before them, each once.
func (f *failed) labelled(driver string, errs []error) []*fault.Error {
	var out []*fault.Error
	for _, err := range errs {
		if err == nil {
			continue
		}
		e := fault.From(err)
		e = &fault.Error{Code: e.Code, What: driver, Err: err, Hint: e.Hint}
		if !slices.ContainsFunc(out, func(o *fault.Error) bool { return o.Error() == e.Error() }) {
			out = append(out, e)
		}
	}
	return out
}

// try says whether one of the vendor's drivers can serve the group, nil, or how all of them fail.
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
	if slices.ContainsFunc(g.requests, func(r *request) bool { return !r.weak }) {
		return false, nil
	}
	failed, err := p.try(g)
	if err != nil || failed == nil {
		return false, err
	}
	var failures []*fault.Error
	for driver, errs := range failed.all() {
		if labelled := failed.labelled(driver, errs); len(labelled) > 0 && fault.KindOf(labelled[0]) == fault.Mistake {
			return false, nil
		}
		failures = append(failures, failed.labelled(driver, errs)...)
	}
	for driver, errs := range failed.all() {
		p.attempt(g, driver, errs)
	}
	return true, p.unserved(g.requests, failures)
}

func (p *planner) index(r *request) int {
	return slices.IndexFunc(p.requests, func(o *request) bool { return o == r })
}

func (p *planner) skip(g *group, driver, reason string) {
	for _, r := range g.requests {
		p.report.Attempts = append(p.report.Attempts, report.Attempt{Request: p.index(r), Vendor: g.name, Driver: driver, Status: report.Skipped, Reason: reason})
	}
}

// attempt writes down how a driver took each request.
func (p *planner) attempt(g *group, driver string, errs []error) {
	whole := !slices.ContainsFunc(errs, func(err error) bool { return err != nil })
	for i, r := range g.requests {
		a := report.Attempt{Request: p.index(r), Vendor: g.name, Driver: driver, Status: report.Chosen}
		switch {
		case errs[i] != nil:
			f := fault.From(errs[i])
			a.Status, a.Reason, a.Hint = report.Failed, report.Plain(f.Error()), report.Plain(f.Hint)
		case !whole:
			a.Status, a.Reason = report.Skipped, "it cannot serve another request of this vendor"
		}
		p.report.Attempts = append(p.report.Attempts, a)
	}
}

// unserved ends requests that no driver could serve: with every driver's reason in one error, or for weak ones with a
// warning, and the container starts without.
func (p *planner) unserved(requests []*request, failures []*fault.Error) error {
	first := fault.New(fault.Config, "", "the vendor has no drivers").WithHint("list some under [[vendor]] in %s", config.DefaultPath)
	why := []string{first.Error()}
	if len(failures) > 0 {
		first, why = failures[0], nil
	}
	for _, f := range failures {
		why = append(why, f.Error())
	}
	// What stopped the search explains more than what is merely not there.
	if f := mayFallBack(p.config, failures); f != nil {
		first = f
	}
	reason := "no driver can serve it: " + strings.Join(why, "; ")
	weak := !slices.ContainsFunc(requests, func(r *request) bool { return !r.weak })
	for _, r := range requests {
		r.Status, r.Reason = report.Unserved, report.Plain(reason)
		if weak {
			p.report.Warn(fault.New(fault.Weak, describe(r), "the container starts without: %s", reason).WithHint("%s", first.Hint))
		}
	}
	if weak {
		return nil
	}
	return fault.New(first.Code, describe(requests[0]), "%s", reason).WithHint("%s", first.Hint)
}

func (p *planner) fellBack(g *group, driver string, failures []*fault.Error) {
	if len(failures) == 0 {
		return
	}
	why := make([]error, 0, len(failures))
	for _, f := range failures {
		why = append(why, f)
	}
	p.report.Warn(fault.New(fault.Fallback, describe(g.requests[0]), "%s serves it, because %w", driver, errors.Join(why...)).WithHint("%s", failures[0].Hint))
}

// accept makes an offer part of the plan.
func (p *planner) accept(g *group, driver string, o offer) {
	if o.edits != nil {
		p.report.Edits.Append(o.edits)
	}
	for _, note := range o.notes {
		p.report.Warn(note)
	}
	if o.delegation != nil {
		p.delegates = append(p.delegates, inject.Delegate{Path: o.delegation.Path, Args: o.delegation.Args, Files: o.delegation.Files})
	}
	for i, r := range g.requests {
		r.Status = report.Granted
		grant := report.Grant{Request: p.index(r), Vendor: g.name, Driver: driver, CDIDevices: []string{}}
		if o.delegation == nil && strings.HasSuffix(driver, config.DriverRuntimeHook) {
			p.report.Warn(fault.New(fault.Duplicate, describe(r), "config.json lists the nodes of its devices already: the engine has put them there, and they are left as they are").
				WithHint("ask for the devices in one way only: of the engine (--device), or of gpu-hook"))
		}
		if o.delegation != nil {
			grant.Delegate = &report.DelegateInfo{Path: o.delegation.Path, Args: o.delegation.Args, Env: o.delegation.Env}
		} else {
			grant.CDIDevices = append(grant.CDIDevices, o.names[i]...)
			p.collect(o.names[i])
		}
		p.report.Grants = append(p.report.Grants, grant)
	}
}

// collect adds devices to those of all grants; two names of one device are one device, and the first stays.
func (p *planner) collect(names []string) {
	all := append(slices.Clone(p.report.CDIDevices), names...)
	distinct, again := p.registry.Distinct(all)
	for _, name := range names {
		first, double := again[name]
		switch {
		case !double:
		case first == name:
			p.report.Warn(fault.New(fault.Duplicate, name, "it is asked for twice, and given once").WithHint("remove one of the two requests"))
		default:
			p.report.Warn(fault.New(fault.Duplicate, name, "it is another name of %s; the device is given once", first).WithHint("ask for it by one name"))
		}
	}
	p.report.CDIDevices = distinct
}

// late warns of the edits that a createRuntime hook cannot make, or makes them the error.
func (p *planner) late() error {
	what := p.lateEdits()
	if len(what) == 0 {
		return nil
	}
	f := fault.New(fault.Late, "edits of the CDI Spec", "a %s hook cannot make these: %s", p.report.Container.Stage, strings.Join(what, ", ")).
		WithHint("where the program needs them, set them on the container itself (--env, --group-add)")
	if p.config.CDI.OnLate == config.Error {
		f.Code = fault.LateEdit
		return f
	}
	p.report.Warn(f)
	return nil
}

func (p *planner) lateEdits() []string {
	var what []string
	e := p.report.Edits
	for _, v := range e.Env {
		if v.Status == devices.Late && !p.mark(v.Value) {
			what = append(what, "variable "+v.Value)
		}
	}
	for _, d := range e.DeviceNodes {
		if d.Chosen && d.Status == devices.Apply && (p.config.Self.Namespaced || p.container.UserNamespace()) {
			what = append(what, "mode and owner of "+d.Path)
		}
	}
	for _, g := range e.AdditionalGIDs {
		if g.Status == devices.Late {
			what = append(what, fmt.Sprintf("group %d", g.Value))
		}
	}
	for _, h := range e.Hooks {
		if h.Status == devices.Late {
			what = append(what, h.HookName+" hook "+h.Path)
		}
	}
	for _, rdt := range e.IntelRdt {
		if rdt.Status == devices.Late {
			what = append(what, strings.TrimSpace("Intel RDT class "+rdt.ClosID))
		}
	}
	return what
}

// mark says whether a variable is the mark by which Specs keep a vendor's own hook away: no program misses it.
func (p *planner) mark(variable string) bool {
	name, value, _ := strings.Cut(variable, "=")
	return value == "void" && slices.ContainsFunc(p.config.Vendors, func(v config.Vendor) bool { return v.Env == name })
}
