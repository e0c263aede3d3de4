package checkup

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// host is what the checks look at: the facts of the host, and what plans for its devices come to.
type host struct {
	*facts.Host
	config     *config.Config
	engine     string // that alone is asked about, or ""
	places     Places
	devices    []device
	trials     []trial
	problems   []*fault.Error // Specs that are left out
	notes      []*fault.Error // what was not understood of the others
	incomplete []lack         //  what Specs do not give, by their vendors' rules
	// conflicts are names that two Specs of one directory define.
	conflicts []devices.Conflict
	hooks     []delegate
	said      answers
	programs  map[string]error // of hook definitions, and why they must not be run
}

// device is a device of a CDI Spec.
type device struct {
	devices.Device
	nodes []*devices.DeviceNode
	hooks []string // programs that its Spec runs
	files []string // of the host, that its mounts need
	drivers
	refusal
}

// drivers are the version that a Spec was written for and the one that is loaded, both "" if they are not known or the
// same.
type drivers struct{ written, loaded string }

// refusal is why a plan is refused; its zero value is that of a plan that holds.
type refusal struct {
	code         fault.Code
	reason, hint string
}

func (r refusal) refused() bool { return r.reason != "" }

// trial is the plan for a container that asks for all devices of a vendor.
type trial struct {
	vendor config.Vendor
	specs  []string
	refusal
	served   bool
	fallback string // why the preferred driver does not serve, where another one does
}

// delegate is a vendor's own hook.
type delegate struct {
	vendor config.Vendor
	err    error
}

// Planner returns the report of the plan for a container that asks by a value of --gpus.
type Planner func(gpus string) (*report.Report, error)

// look collects what the checks look at. root stands for "/" in what [facts.Read] reads; plans are made for this
// process's own root.
func look(root string, c *config.Config, engine string, places Places) *host {
	h := &host{config: c, engine: engine, places: places, programs: map[string]error{}}
	h.said.broken = map[string]string{}
	h.readSpecs()
	h.Host = facts.Read(root, h.query())
	for _, e := range []facts.Engine{h.Podman, h.CRIO} {
		for _, hook := range append(slices.Clone(e.Hooks), e.Others...) {
			if path := hook.Hook.Path; path != "" {
				h.programs[path] = c.Self.Owner.Executable(path)
			}
		}
	}
	h.tryAll()
	h.ask()
	return h
}

// query says what to look for on the host.
func (h *host) query() facts.Query {
	q := facts.Query{
		SpecDirs: h.config.CDI.SpecDirs, Only: h.places.only(), UserDir: h.places.UserDir,
		HookDirs: []string{facts.SystemHooks, facts.AdminHooks, facts.AdminPodmanHooks, h.places.Podman, h.places.Shared},
		UID:      h.config.Self.UID,
	}
	q.Groups, _ = os.Getgroups()
	q.Paths = append(q.Paths, operatorUVM, facts.PodmanDropIn)
	for _, v := range h.config.Vendors {
		q.Paths = append(q.Paths, v.RuntimeHook)
	}
	for _, d := range h.devices {
		for _, n := range d.nodes {
			q.Paths = append(q.Paths, n.HostPath)
		}
		q.Paths = append(append(q.Paths, d.Spec), d.hooks...)
	}
	for _, dir := range h.config.CDI.SpecDirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			q.Paths = append(q.Paths, dir+"/"+e.Name())
		}
	}
	return q
}

// readSpecs reads every Spec and plans for each of its devices.
func (h *host) readSpecs() {
	registry := devices.Load(h.config.CDI.SpecDirs, h.config.Self.Owner)
	h.problems, h.conflicts = registry.Problems(), registry.Conflicts()
	h.notes = registry.Notes()
	seen := map[string]bool{}
	for _, found := range registry.Devices() {
		if seen[found.Name] {
			continue
		}
		for _, alias := range found.Aliases {
			seen[alias] = true
		}
		d := device{Device: found}
		if resolved, err := registry.Resolve([]string{found.Name}); err == nil {
			d.nodes = resolved.DeviceNodes
			for _, hook := range resolved.Hooks {
				d.hooks = append(d.hooks, hook.Path)
			}
			for _, share := range resolved.Shares {
				vendor := h.config.OfKind(found.Kind)
				d.written, d.loaded = h.config.ContractOf(vendor).Drivers(share.Files(), share.Arguments())
				_, missing := share.Missing(h.config.CDI.Rule)
				d.files = append(d.files, missing...)
			}
		}
		d.refusal, _, _ = try(h.places.Plan, "driver=cdi,device="+found.Name)
		h.devices = append(h.devices, d)
	}
	for i := range h.config.Vendors {
		h.incomplete = append(h.incomplete, lacking(h.config, &h.config.Vendors[i], registry)...)
	}
}

// tryAll plans for all devices of each vendor that has something on this host.
func (h *host) tryAll() {
	for _, v := range h.config.Vendors {
		t := trial{vendor: v}
		for _, d := range h.devices {
			if d.Kind == v.Kind && !slices.Contains(t.specs, d.Spec) {
				t.specs = append(t.specs, d.Spec)
			}
		}
		for _, driver := range v.Drivers {
			if strings.HasSuffix(driver, config.DriverRuntimeHook) {
				h.hooks = append(h.hooks, delegate{v, h.config.ContractOf(&v).Found()})
			}
		}
		t.refusal, t.served, t.fallback = try(h.places.Plan, "driver="+v.Name+",count=all")
		h.trials = append(h.trials, t)
	}
}

// try makes a plan and returns why it is refused, or that it serves, and why not by the preferred driver.
func try(planner Planner, gpus string) (why refusal, served bool, fallback string) {
	if planner == nil {
		return refusal{}, false, ""
	}
	r, err := planner(gpus)
	if err != nil {
		m := report.MessageOf(err)
		return refusal{m.Code, m.Message, m.Hint}, false, ""
	}
	for _, w := range r.Warnings {
		if w.Code == fault.Fallback {
			_, fallback, _ = strings.Cut(w.Message, "because ")
		}
	}
	if len(r.Errors) == 0 {
		return refusal{}, r.Result == plan.ResultPlanned, fallback
	}
	first := r.Errors[0]
	out := refusal{first.Code, first.Message, first.Hint}
	for _, a := range r.Attempts {
		// What a driver says for itself is shorter than the error, which has every driver's reason.
		if a.Status == plan.Failed {
			out.reason, out.hint = a.Reason, cmp.Or(a.Hint, out.hint)
			break
		}
	}
	return out, false, ""
}

// only returns the directories that were named in the place of those that engines are configured to read, or nil.
func (p Places) only() []string {
	if !p.Named {
		return nil
	}
	out := []string{p.Shared}
	if p.Podman != "" && p.Podman != p.Shared {
		out = append(out, p.Podman)
	}
	return out
}

// byUser reports whether doctor is about a user's rootless engine.
func (h *host) byUser() bool { return h.places.User || h.config.Self.Rootless }

// engines returns the engines that are asked about, or that this host has.
func (h *host) engines() []string {
	if h.engine != "" {
		return []string{h.engine}
	}
	var out []string
	if h.Podman.Present {
		out = append(out, state.Podman)
	}
	if h.CRIO.Present {
		out = append(out, state.CRIO)
	}
	return out
}

func (h *host) fail(name, message string) report.Check {
	return report.Check{Name: name, Status: report.CheckFail, Message: message}
}

func (h *host) warn(name, message string) report.Check {
	return report.Check{Name: name, Status: report.CheckWarn, Message: message}
}

func (h *host) ok(name, message string) report.Check {
	return report.Check{Name: name, Status: report.CheckOK, Message: message}
}
