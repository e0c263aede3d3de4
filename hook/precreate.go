package hook

import (
	"cmp"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/render"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/precedence"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// StagePrecreate is podman's stage before the container exists, where hooks edit its spec.
const StagePrecreate = "precreate"

// PlanSpec plans for the container whose spec was read, and changes nothing. [Start.Render] must follow.
func PlanSpec(o Options, spec []byte) *Start {
	s := newStart(StagePrecreate)
	s.spec = spec
	var err error
	if s.container, err = state.ReadSpec(spec); err != nil {
		return s.refuse(err)
	}
	s.container.Identify(cmp.Or(o.Engine, state.Podman), nil)
	s.run.Describe(s.container)
	if s.container.Name() == "" && asksByName(s.container) {
		return s.finish() // podman tells a container's name in its pod only later, and with it what is asked for
	}
	s.makePlan(o, nil, s.checkSpec)
	return s.finish()
}

// asksByName reports whether an annotation asks for one container of a pod alone.
func asksByName(c *state.Container) bool {
	for key := range c.Spec.Annotations {
		if request.ForOneContainer(key) {
			return true
		}
	}
	return false
}

// checkSpec looks at what can be known before there is a container: a root filesystem by an absolute path.
func (s *Start) checkSpec() error {
	if root := s.container.Spec.Root; root != nil && root.Path != "" && !filepath.IsAbs(root.Path) {
		return s.container.CheckNamespaces()
	}
	return s.checkRoot()
}

// Render returns the spec with what of the plan createRuntime cannot make, or what the engine would take away from it
// again: variables, groups, Intel RDT, hooks of later stages and device rules. Nodes, mounts and the other hooks are
// left to createRuntime, which makes them in containers where a runtime cannot (in user namespaces, on read-only
// roots), and nothing on volumes.
//
// It refuses nothing, since podman shows nothing but the exit status of this stage: where there is nothing to do, and
// where the plan fails, it returns the very bytes that were read. createRuntime makes the same plan and says why it
// fails.
func (s *Start) Render() []byte {
	if !s.plan.Ready() {
		return s.spec
	}
	out, outcome := s.spec, plan.NewOutcome()
	followed := s.followed()
	if followed {
		out = s.render(&outcome)
	} else {
		outcome.Edits = s.plan.Copy().Edits()
		outcome.Warn(fault.New(fault.NoStage, "spec", "no createRuntime hook of gpu-hook stands in it, and this stage "+
			"alone gives no device").
			WithHint("gpu-hook install; gpu-hook doctor says where podman looks"))
	}
	s.run.Phase("render")
	outcome.Result = plan.ResultPlanned // createRuntime is to come
	s.Report = report.Make(s.run, s.plan, &outcome)
	if !followed {
		s.Report.Tell()
	}
	if s.container.State.ID != "" { // else createRuntime's record could not take its place
		s.Report.Container.SetNames(s.container)
		s.Report.Keep(s.config.RunDir(), s.config.Record.Keep)
	}
	return out
}

// followed reports whether the runtime will call gpu-hook at createRuntime: podman has put the hooks of all other
// stages into the spec by now.
func (s *Start) followed() bool {
	hooks := s.container.Spec.Hooks
	if hooks == nil {
		return false
	}
	called := slices.Concat(hooks.Prestart, hooks.CreateRuntime) //nolint:staticcheck // old podmans write prestart
	return slices.ContainsFunc(called, func(h specs.Hook) bool {
		return path.Base(h.Path) == "gpu-hook" || len(h.Args) > 0 && path.Base(h.Args[0]) == "gpu-hook"
	})
}

// render makes the edited spec. What it cannot put there stays late, and createRuntime says so.
func (s *Start) render(o *plan.Outcome) []byte {
	p := s.plan.Copy()
	o.Edits = p.Edits()
	var done []devices.Edit
	changes := render.Plan{}
	for _, v := range o.Edits.Env {
		if v.Status == devices.Late && !s.kept(v.Value) {
			changes.Env, done = append(changes.Env, v.Value), append(done, v)
		}
	}
	changes.Env = append(changes.Env, s.environment()...)
	for _, g := range o.Edits.AdditionalGIDs {
		if g.Status == devices.Late {
			changes.Groups, done = append(changes.Groups, g.Value), append(done, g)
		}
	}
	// Of a wish only what can neither stop the start nor outlast it, should createRuntime have to give it up.
	for _, h := range p.Asked.Edits.Hooks {
		if h.Status == devices.Late && h.RunBy(s.config.Self.Owner) == nil {
			changes.Hooks, done = append(changes.Hooks, h), append(done, h)
		}
	}
	for _, rdt := range p.Asked.Edits.IntelRdt {
		if rdt.Status == devices.Late {
			changes.IntelRdt, done = rdt, append(done, rdt)
		}
	}
	if s.underSystemd() {
		changes.Rules = slices.DeleteFunc(p.Asked.Edits.DeviceNodes, func(d *devices.DeviceNode) bool {
			return d.Status == devices.Skipped
		})
	}
	out, err := render.Spec(s.spec, changes)
	if err != nil {
		o.Warn(fault.From(err))
		return s.spec
	}
	for _, e := range done {
		*e.State() = devices.Applied
	}
	return out
}

// underSystemd reports whether systemd keeps the container's device rules: it makes them anew from its own list at each
// daemon-reload, and the runtime writes that list from the spec. Without systemd a rule that createRuntime sets lasts
// as long as one of the spec does. In a user namespace the kernel takes no rules at all.
func (s *Start) underSystemd() bool {
	linux := s.container.Spec.Linux
	return !s.config.Self.Namespaced && linux != nil && strings.Count(linux.CgroupsPath, ":") == 2
}

// environment returns the delegates' variables for the container's program, as Docker sets them. If a vendor's own hook
// runs beside gpu-hook, they would request devices of that.
func (s *Start) environment() []string {
	if precedence.OtherHook(s.config, s.container) {
		return nil
	}
	return slices.DeleteFunc(programEnv(s.plan), s.kept)
}

// programEnv returns the variables of the plan's delegates that programs in the container look at, each once.
func programEnv(p plan.Plan) []string {
	var out []string
	for _, g := range p.Grants {
		if g.Delegate == nil {
			continue
		}
		for _, v := range g.Delegate.Program {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out
}

// kept reports whether a variable must stay as the container has it, because createRuntime must read the same request
// and say the same about it: one that requests, if the environment is what is served or if the container has given it a
// value of its own.
func (s *Start) kept(variable string) bool {
	name, value, _ := strings.Cut(variable, "=")
	if !asks(s.config, name) {
		return false
	}
	if own, _ := s.container.Env(name); own != "" && own != "void" {
		return true
	}
	sources, _ := request.Sources(s.config, s.container)
	if value != "void" && !slices.Contains(sources, config.SourceEnv) {
		return true // createRuntime would take ours for a request that policy refuses
	}
	return s.draft.FromEnv()
}

// asks reports whether a variable has a say in what a container gets.
func asks(c *config.Config, name string) bool {
	return slices.Contains(c.Requests.PreferredEnv, name) || slices.ContainsFunc(c.Vendors, func(v config.Vendor) bool {
		return v.Env == name || c.ContractOf(&v).Asks(name)
	})
}
