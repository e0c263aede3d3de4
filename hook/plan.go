package hook

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/trust"
)

// plannedHandle is a delegate to run, as inject takes it.
type plannedHandle = inject.Delegate

// planner makes the plan for one container in its report. It reads Specs and host paths and changes nothing.
type planner struct {
	config    *Config
	container *state.Container
	root      string // "" where there is no container yet
	owner     trust.Owner
	report    *Report
	registry  *devices.Registry // of the CDI Specs, once one is needed
}

// plan chooses a driver for every winner. All of them are served or, weak ones apart, none is: an error means that the
// container must not start.
func (p *planner) plan(winners []*Request) error {
	for _, r := range winners {
		if err := p.serve(r); err != nil {
			return err
		}
	}
	if p.registry != nil {
		for _, problem := range p.registry.Problems() {
			p.report.warn(fault.New(fault.SpecNote, "CDI Spec left out", "%w", problem).WithHint("%s", problem.Hint))
		}
	}
	p.late()
	return nil
}

// serve tries the request's drivers in order. The first whose plan holds gets it; a failed attempt leaves nothing behind
// but its reason.
func (p *planner) serve(r *Request) error {
	drivers, vendor := p.drivers(r)
	var failures []error
	chosen := ""
	for _, driver := range drivers {
		a := Attempt{Request: p.index(r), Vendor: r.Vendor, Driver: driver, Status: "skipped", Reason: chosen}
		if chosen != "" {
			p.report.Attempts = append(p.report.Attempts, a)
			continue
		}
		err := p.try(driver, vendor, r)
		if err == nil {
			a.Status, chosen = "chosen", driver+" serves the request"
			p.fellBack(r, driver, failures)
		} else {
			f := fault.From(err)
			a.Status, a.Reason, a.Hint = "failed", plain(f.Error()), plain(f.Hint)
			failures = append(failures, &fault.Error{Code: f.Code, What: driver, Err: err, Hint: f.Hint})
		}
		p.report.Attempts = append(p.report.Attempts, a)
		if fault.Is(err, fault.Request) {
			break
		}
	}
	if chosen != "" {
		r.Status = statusGranted
		return nil
	}
	return p.unserved(r, failures)
}

// unserved ends a request that no driver could serve: with every driver's reason in one error, or for a weak one with a
// warning, and the container starts without.
func (p *planner) unserved(r *Request, failures []error) error {
	first := fault.New(fault.Config, "", "the vendor has no drivers")
	why := []string{first.Error()}
	if len(failures) > 0 {
		first, why = fault.From(failures[0]), nil
	}
	for _, f := range failures {
		why = append(why, f.Error())
	}
	reason := "no driver can serve it: " + strings.Join(why, "; ")
	r.Status, r.Reason = statusUnserved, plain(reason)
	if r.weak {
		p.report.warn(fault.New(fault.Weak, describe(r), "the container starts without: %s", reason).WithHint("%s", first.Hint))
		return nil
	}
	return fault.New(first.Code, describe(r), "%s", reason).WithHint("%s", first.Hint)
}

func (p *planner) fellBack(r *Request, driver string, failures []error) {
	if len(failures) == 0 {
		return
	}
	first := fault.From(failures[0])
	p.report.warn(fault.New(fault.Fallback, describe(r), "%s serves it, because %w", driver, errors.Join(failures...)).WithHint("%s", first.Hint))
}

// drivers returns what may serve the request: the named driver alone, else the vendor's in its order.
func (p *planner) drivers(r *Request) ([]string, *Vendor) {
	i := slices.IndexFunc(p.config.Vendors, func(v Vendor) bool { return v.Name == r.Vendor })
	if i < 0 {
		return []string{driverAnyCDI}, nil
	}
	v := &p.config.Vendors[i]
	if r.Driver != "" && r.Driver != v.Name {
		return []string{r.Driver}, v
	}
	return v.Drivers, v
}

func (p *planner) try(driver string, vendor *Vendor, r *Request) error {
	if strings.HasSuffix(driver, driverRuntimeHook) {
		return p.tryDelegate(driver, vendor, r)
	}
	return p.tryCDI(driver, r)
}

func (p *planner) tryCDI(driver string, r *Request) error {
	if p.registry == nil {
		p.registry = devices.Load(p.config.CDI.SpecDirs, p.owner)
	}
	var names []string
	for _, n := range r.names {
		names = append(names, n.String())
	}
	edits, err := p.registry.Resolve(names)
	if err != nil {
		return err
	}
	if err := edits.Complete(p.container.Spec, p.root, p.owner); err != nil {
		return err
	}
	p.report.Edits.Append(edits)
	p.report.Grants = append(p.report.Grants, Grant{Request: p.index(r), Vendor: r.Vendor, Driver: driver, CDIDevices: names})
	for _, n := range names {
		if slices.Contains(p.report.CDIDevices, n) {
			p.report.warn(fault.New(fault.Duplicate, n, "two requests ask for it; it is given once").WithHint("remove one of the two requests"))
			continue
		}
		p.report.CDIDevices = append(p.report.CDIDevices, n)
	}
	return nil
}

func (p *planner) tryDelegate(driver string, vendor *Vendor, r *Request) error {
	var ids []string
	for _, n := range r.names {
		if n.Kind() != vendor.Kind {
			return fault.New(fault.Delegate, n.String(), "the delegate knows devices of kind %s alone", vendor.Kind).
				WithHint("have CDI serve it: a Spec must define the kind %s", n.Kind())
		}
		ids = append(ids, n.Device)
	}
	request := nvidia.Request{
		Container: p.container, Root: p.root, IDs: ids, FromEnv: strings.HasPrefix(r.Source, "env:"), Variable: vendor.Env,
	}
	if !request.FromEnv {
		request.Capabilities = nvidia.Selected(r.Capabilities)
	}
	toolkit := nvidia.Toolkit{Hook: vendor.RuntimeHook, Config: p.config.NVIDIA.RuntimeConfig, Owner: p.owner}
	d, err := toolkit.Delegate(request)
	if err != nil {
		return err
	}
	p.report.Grants = append(p.report.Grants, Grant{
		Request: p.index(r), Vendor: r.Vendor, Driver: driver, CDIDevices: []string{},
		Delegate: &DelegateInfo{Path: d.Path, Args: d.Args, Env: d.Env},
	})
	p.report.delegates = append(p.report.delegates, inject.Delegate{Path: d.Path, Args: d.Args, Files: d.Files})
	return nil
}

func (p *planner) index(r *Request) int { return slices.Index(p.report.Requests, r) }

// late warns of the edits that a createRuntime hook cannot make.
func (p *planner) late() {
	var what []string
	e := p.report.Edits
	for _, v := range e.Env {
		if v.Status == devices.Late {
			what = append(what, "variable "+v.Value)
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
		what = append(what, "Intel RDT class "+rdt.ClosID)
	}
	if len(what) > 0 {
		p.report.warn(fault.New(fault.Late, "edits of the CDI Spec", "a createRuntime hook cannot make these: %s", strings.Join(what, ", ")).
			WithHint("where the program needs them, set them on the container itself (--env, --group-add)"))
	}
}
