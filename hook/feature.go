package hook

import (
	"fmt"
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// features adds what an image asks for beside NVIDIA's GPUs, by variables such as NVIDIA_GDS: wishes, each a group of its
// own, and only where a GPU is given. They never fail the start. What environment that does not count asks for is said.
func (p *planner) features() {
	v := p.config.OfNVIDIA()
	if v == nil || !p.grantedGPU() {
		return
	}
	for _, f := range nvidia.Features(p.container) {
		r := newRequest(envSource(f.Variable), nvidia.Enabled).with([]*config.Vendor{v}, []string{f.Kind + "=all"})
		r.part, r.weak, r.pin = f.Kind, true, v.Name+config.DriverCDI
		p.requests = append(p.requests, r)
		if why := p.envClosed(); why != "" {
			r.refuse("%s", why)
			p.warn(fault.New(fault.Refused, describe(r), "%s", why).WithHint("the administrator of this host decides this in %s", config.DefaultPath))
			continue
		}
		p.feature(&group{v.Name, v, []*request{r}})
	}
}

// feature has CDI serve the group, or says why it cannot.
func (p *planner) feature(g *group) {
	driver := g.requests[0].pin
	failures := []*fault.Error{fault.New(fault.Policy, driver, "it is not among the drivers of vendor %s", g.vendor.Name).
		WithHint("the administrator of this host decides this in %s", config.DefaultPath)}
	if slices.Contains(g.vendor.Drivers, driver) {
		o, errs := p.offer(driver, g)
		p.attempt(g, driver, errs)
		if failures = (&failed{}).labelled(driver, errs); len(failures) == 0 {
			p.accept(g, driver, o)
			return
		}
	}
	// Of wishes it makes a warning alone.
	if err := p.unserved(g.requests, failures); err != nil {
		p.warn(fault.From(err))
	}
}

// grantedGPU reports whether a device of NVIDIA's own is among the grants.
func (p *planner) grantedGPU() bool {
	for _, g := range p.grants {
		r := p.requests[g.Request]
		if slices.ContainsFunc(r.vendors, (*config.Vendor).NVIDIA) && r.part == "" && !r.files {
			return true
		}
	}
	return false
}

// envClosed says why the environment of this container does not count, or "".
func (p *planner) envClosed() string {
	sources, key := sourcesFor(p.config, p.container)
	switch {
	case !slices.Contains(sources, config.SourceEnv):
		return fmt.Sprintf("%s does not list %q", key, config.SourceEnv)
	case !p.config.Requests.AcceptEnvUnprivileged && !p.container.Privileged():
		return unprivileged
	}
	return ""
}
