package hook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/amd"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// unprivileged is why environment does not count where only privileged containers' does.
const unprivileged = "[requests] accept-env-unprivileged is false, and the container is not privileged"

// environment reads each vendor's visible-devices variable, for the first vendor the preferred ones in its place, and for
// NVIDIA what images say by other variables.
func (g *gatherer) environment() []*request {
	var out []*request
	for i := range g.config.Vendors {
		v := &g.config.Vendors[i]
		if preferred := g.set(g.config.Requests.PreferredEnv); i == 0 && len(preferred) > 0 {
			out = append(out, g.variables(v, preferred)...)
			// What it takes the place of is not passed over in silence.
			for _, r := range g.variables(v, g.set([]string{v.Env})) {
				r.level++
				out = append(out, r)
			}
		} else {
			out = append(out, g.variables(v, []string{v.Env})...)
		}
		if v.NVIDIA() {
			out = append(out, g.imexVariable(v)...)
		}
	}
	if g.config.Requests.AcceptEnvUnprivileged || g.container.Privileged() {
		return out
	}
	// What asks for nothing is out of the contest like the rest, and there is nothing to say of it.
	out = slices.DeleteFunc(out, func(r *request) bool { return r.Status == plan.Empty })
	for _, r := range out {
		if r.Status == "" {
			r.refuse(unprivileged)
		}
	}
	return out
}

// set returns those of the variables that the container has, also as empty ones.
func (g *gatherer) set(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, set := g.container.Env(name)
		return !set
	})
}

// variables reads one vendor's variables, whose values count as one list.
func (g *gatherer) variables(v *config.Vendor, names []string) []*request {
	if names = g.set(names); len(names) == 0 {
		return g.legacy(v)
	}
	var values []string
	for _, name := range names {
		value, _ := g.container.Env(name)
		values = append(values, value)
	}
	value := strings.Join(values, ",")
	if v.NVIDIA() && value == nvidia.MountRoot {
		return nil // a device plugin's word for "see the mounts", which are a source of their own
	}
	template := newRequest(envSource(strings.Join(names, "+")), value).with([]*config.Vendor{v}, nil)
	if len(value) > maxValue {
		return []*request{template.mistake(fmt.Errorf("it is longer than %d bytes", maxValue))}
	}
	list, err := visible(v, value)
	var foreign []string
	list.IDs, foreign = g.foreign(v, list.IDs)
	out := g.listed(template, list, err)
	for _, r := range out {
		r.void = r.Status == plan.Empty && strings.Contains(value, "void")
		if slices.Equal(r.ids, []string{"all"}) {
			g.all(r)
		}
	}
	return append(out, g.refused(template, foreign)...)
}

// visible reads the value of the vendor's variable in its dialect.
func visible(v *config.Vendor, unsafeValue string) (nvidia.Visible, error) {
	if v.Dialect != config.DialectAMD {
		return nvidia.ParseVisible(unsafeValue)
	}
	list, err := amd.ParseVisible(unsafeValue)
	return nvidia.Visible{IDs: list.IDs, Nothing: list.Nothing}, err
}

// foreign takes out of the ids those that the vendor's variable must not ask for: an image would get every device that
// any Spec of the host defines.
func (g *gatherer) foreign(v *config.Vendor, ids []string) (own, foreign []string) {
	for _, id := range ids {
		name, err := g.parse(id, []*config.Vendor{v})
		if err == nil && !v.EnvMayAsk(name.Kind()) {
			foreign = append(foreign, id)
			continue
		}
		own = append(own, id)
	}
	return own, foreign
}

// refused are the requests for foreign devices.
func (g *gatherer) refused(template *request, foreign []string) []*request {
	v := template.vendors[0]
	out := g.split(template, foreign, false)
	for _, r := range out {
		r.refuse("it is of another vendor than the variable, and env-kinds of [[vendor]] %s does not list its kind", v.Name)
	}
	return out
}

// legacy is the rule of images older than NVIDIA's variable: they mean all devices.
func (g *gatherer) legacy(v *config.Vendor) []*request {
	if !v.NVIDIA() || !nvidia.LegacyImage(g.container) {
		return nil
	}
	value, _ := g.container.Env(nvidia.CUDAVersion)
	return []*request{g.all(newRequest(envSource(nvidia.CUDAVersion), value).with([]*config.Vendor{v}, []string{"all"}))}
}

// all applies the policy to a bare "all", which images carry without anybody having asked.
func (g *gatherer) all(r *request) *request {
	switch g.config.Requests.EnvAll {
	case config.AllIgnore:
		return r.refuse(`[requests] env-all is "ignore"`)
	case config.AllWeak:
		r.weak = true
	}
	return r
}

func (g *gatherer) imexVariable(v *config.Vendor) []*request {
	value, set := g.container.Env(nvidia.IMEXChannels)
	if !set {
		return nil
	}
	template := newRequest(envSource(nvidia.IMEXChannels), value).with([]*config.Vendor{v}, nil)
	if len(value) > maxValue {
		return []*request{template.mistake(fmt.Errorf("it is longer than %d bytes", maxValue))}
	}
	return []*request{g.channels(template, strings.Split(value, ","))}
}
