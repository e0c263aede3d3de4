package request

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// unprivileged is the reason to refuse environment where only that of privileged containers counts.
const unprivileged = "[requests] accept-env-unprivileged is false, and the container is not privileged"

// environment reads each vendor's visible-devices variable, and the variables of its contract's parts. For the first
// vendor the preferred variables take the place of its own.
func (g *gatherer) environment() []*Request {
	var out []*Request
	for i := range g.config.Vendors {
		v := &g.config.Vendors[i]
		if preferred := g.set(g.config.Requests.PreferredEnv); i == 0 && len(preferred) > 0 {
			out = append(out, g.variables(v, preferred)...)
			// The variable that they replace is still reported.
			for _, r := range g.variables(v, g.set([]string{v.Env})) {
				r.Replaced = true
				out = append(out, r)
			}
		} else {
			out = append(out, g.variables(v, []string{v.Env})...)
		}
		for _, part := range g.config.ContractOf(v).Parts() {
			out = append(out, g.partVariable(v, part)...)
		}
	}
	out = append(out, g.nearVariables()...)
	if privilegedEnough(g.config, g.container) {
		return out
	}
	// An explicit nothing does not count either, and there is nothing to report about it.
	out = slices.DeleteFunc(out, func(r *Request) bool { return r.Status == plan.Empty })
	for _, r := range out {
		if r.Status == "" {
			r.Refuse(unprivileged)
		}
	}
	return out
}

// EnvClosed returns why the environment of this container does not count, or "".
func EnvClosed(c *config.Config, container *state.Container) string {
	sources, key := Sources(c, container)
	switch {
	case !slices.Contains(sources, config.SourceEnv):
		return fmt.Sprintf("%s does not list %q", key, config.SourceEnv)
	case !privilegedEnough(c, container):
		return unprivileged
	}
	return ""
}

func privilegedEnough(c *config.Config, container *state.Container) bool {
	return c.Requests.AcceptEnvUnprivileged || container.Privileged()
}

// set returns those of the variables that the container has, empty ones too. "" is the name of no variable, although an
// image can have an entry "=value": a vendor without a variable has it.
func (g *gatherer) set(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, set := g.container.Env(name)
		return name == "" || !set
	})
}

// variables reads one vendor's variables. Their values count as one list.
func (g *gatherer) variables(v *config.Vendor, names []string) []*Request {
	if names = g.set(names); len(names) == 0 {
		return g.unset(v)
	}
	var values []string
	for _, name := range names {
		value, _ := g.container.Env(name)
		values = append(values, value)
	}
	value := strings.Join(values, ",")
	if g.config.ContractOf(v).SeeMounts(value) {
		return nil // the mounts are a source of their own
	}
	template := New(Env(strings.Join(names, "+")), value).With([]*config.Vendor{v}, nil)
	if len(value) > limits.Value {
		return []*Request{template.mistake(fmt.Errorf("it is longer than %d bytes", limits.Value))}
	}
	list, err := g.config.ContractOf(v).ParseVisible(value)
	var foreign []string
	list.IDs, foreign = g.foreign(v, list.IDs)
	out := g.listed(template, list, err)
	for _, r := range out {
		r.Void = r.Status == plan.Empty && strings.Contains(value, "void")
		if slices.Equal(r.IDs, []string{"all"}) {
			g.all(r)
		}
	}
	return append(out, g.refused(template, foreign)...)
}

// foreign takes out of the ids those that the vendor's variable must not request: otherwise an image would get every
// device that any Spec of the host defines.
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

// refused returns the requests for foreign devices.
func (g *gatherer) refused(template *Request, foreign []string) []*Request {
	v := template.Vendors[0]
	out := g.split(template, foreign, false)
	for _, r := range out {
		r.Refuse("it is of another vendor than the variable, and env-kinds of [[vendor]] %s does not list its kind", v.Name)
	}
	return out
}

// unset returns the request of an image that means all devices without the vendor's variable.
func (g *gatherer) unset(v *config.Vendor) []*Request {
	variable, value := g.config.ContractOf(v).Unset(g.container)
	if variable == "" {
		return nil
	}
	return []*Request{g.all(New(Env(variable), value).With([]*config.Vendor{v}, []string{"all"}))}
}

// all applies the policy to a bare "all", which images carry without anybody having asked.
func (g *gatherer) all(r *Request) *Request {
	switch g.config.Requests.EnvAll {
	case config.AllIgnore:
		return r.Refuse(`[requests] env-all is "ignore"`)
	case config.AllWeak:
		r.Weak = true
	}
	return r
}

// partVariable reads the variable that requests a part of the vendor's contract.
func (g *gatherer) partVariable(v *config.Vendor, part contract.Part) []*Request {
	value, set := g.container.Env(part.Variable)
	if !set {
		return nil
	}
	template := New(Env(part.Variable), value).With([]*config.Vendor{v}, nil)
	if len(value) > limits.Value {
		return []*Request{template.mistake(fmt.Errorf("it is longer than %d bytes", limits.Value))}
	}
	return []*Request{g.part(template, part, strings.Split(value, ","))}
}
