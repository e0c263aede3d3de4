package hook

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/amd"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// offer is how a driver would serve all requests of a vendor.
type offer struct {
	edits      *devices.Edits     // of CDI
	names      [][]string         // of CDI, per request
	notes      []*fault.Error     // of CDI: what the Specs and the host do not agree in, and what is left out for it
	delegation *nvidia.Delegation // of the vendor's own hook
}

// offer returns the driver's offer, or per request why there is none; nil for those that are not the reason.
func (p *planner) offer(driver string, g *group) (offer, []error) {
	if strings.HasSuffix(driver, config.DriverRuntimeHook) {
		return p.offerHook(g)
	}
	return p.offerCDI(g)
}

func (p *planner) specs() *devices.Registry {
	if p.registry == nil {
		p.registry = devices.Open(p.config.CDI.SpecDirs, p.owner)
	}
	return p.registry
}

func (p *planner) offerCDI(g *group) (offer, []error) {
	o := offer{edits: devices.NewEdits()}
	errs := make([]error, len(g.requests))
	for i, r := range g.requests {
		resolved, names, err := p.resolve(g.vendor, r)
		if err == nil {
			err = p.hold(g.vendor, resolved, &o)
		}
		if err == nil {
			err = p.canRun(resolved.Edits)
		}
		if err != nil {
			errs[i] = p.explained(resolved, err)
			continue
		}
		o.edits.Append(resolved.Edits)
		o.names = append(o.names, names)
	}
	return o, errs
}

// explained adds to why edits do not hold what of their Specs was not understood: a field that is misspelt is passed over,
// and its lack shows only here.
func (p *planner) explained(resolved *devices.Resolved, err error) error {
	if resolved == nil || len(resolved.Notes) == 0 {
		return err
	}
	f := fault.From(err)
	text := make([]string, 0, len(resolved.Notes))
	for _, note := range resolved.Notes {
		p.note(note)
		text = append(text, note.Error())
	}
	return fault.New(f.Code, f.What, "%w (%s)", f.Err, strings.Join(text, "; ")).WithHint("%s", f.Hint)
}

// note warns of what of a Spec was not understood, once.
func (p *planner) note(note *fault.Error) {
	if !slices.Contains(p.noted, note.Error()) {
		p.noted = append(p.noted, note.Error())
		p.warn(note)
	}
}

// canRun checks for what the hooks of a container with a user namespace are run by.
func (p *planner) canRun(edits *devices.Edits) error {
	needed := func(h *devices.Hook) bool {
		return h.Status == devices.Apply && devices.Optional(p.config.CDI.Rule).Of(h) == ""
	}
	if !p.container.UserNamespace() || !slices.ContainsFunc(edits.Hooks, needed) {
		return nil
	}
	if err := p.owner.Executable(inject.NSEnter); err != nil {
		return fault.New(fault.Hook, "hooks in the container's user namespace", "%w", err).WithHint("install util-linux")
	}
	return nil
}

// resolve returns the edits of one request and the names that they are of.
func (p *planner) resolve(v *config.Vendor, r *request) (*devices.Resolved, []string, error) {
	if v != nil && v.NVIDIA() && r.part == "" {
		if variable, value := p.mig(); value != "" {
			return nil, nil, fault.New(fault.Name, variable, "CDI has no name for the right to configure or watch MIG devices").
				WithHint("only nvidia-container-runtime-hook gives it: let the driver nvidia.runtime-hook serve the container")
		}
	}
	if r.files {
		edits, err := p.specs().Files(v.Kind)
		return edits, []string{}, err
	}
	names, err := p.named(v, r)
	if err != nil {
		return nil, nil, err
	}
	edits, err := p.specs().Resolve(names)
	return edits, names, p.unique(v, err)
}

// named returns the CDI names of what a request asks for, as the Specs have them: a count and "all" mean devices that
// there are. Of a kind that no Spec defines the names stay as they were asked for.
func (p *planner) named(v *config.Vendor, r *request) ([]string, error) {
	if err := p.countable(v, r); err != nil {
		return nil, err
	}
	if r.asked.Count > 0 && v != nil {
		if first := p.specs().First(v.Kind, r.asked.Count); len(first) > 0 {
			return first, nil
		}
	}
	names := []string{}
	for _, n := range r.names(v) {
		found := []string{}
		if n.Device == "all" {
			found = p.specs().Whole(n.Kind())
		}
		if len(found) == 0 {
			found = []string{n.String()}
		}
		names = append(names, found...)
	}
	return names, nil
}

// unique says of an unknown device that was asked for by AMD's unique id why no Spec of AMD's can know it.
func (p *planner) unique(v *config.Vendor, err error) error {
	if v == nil || v.Dialect != config.DialectAMD || !fault.Is(err, fault.Name) {
		return err
	}
	f := fault.From(err)
	if _, device, _ := strings.Cut(f.What, "="); !amd.UniqueID(device) {
		return err
	}
	return fault.New(fault.Name, f.What, "AMD's Specs name devices by their index, not by their unique id: %w", f.Err).
		WithHint("ask for the device by its index; amd-smi list shows both")
}

// countable checks a number of devices against those that CDI knows.
func (p *planner) countable(v *config.Vendor, r *request) error {
	if r.asked.Count <= 0 || v == nil {
		return nil
	}
	names := p.specs().Every(v.Kind)
	if len(names) == 0 || r.asked.Count <= len(names) {
		return nil
	}
	return fault.New(fault.Request, v.Kind, "asked for %d, this host has %d (%s)", r.asked.Count, len(names), strings.Join(names, ", ")).
		WithHint(`ask for no more than the host has, or for "all"; if it has more by now, generate the CDI Spec anew`)
}

func (p *planner) offerHook(g *group) (offer, []error) {
	v := g.vendor
	errs := make([]error, len(g.requests))
	all := nvidia.Request{Container: p.container, Root: p.root, Variable: v.Env}
	for i, r := range g.requests {
		ids, err := p.own(v, r)
		errs[i] = err
		if r.part == partIMEX {
			all.Channels = append(all.Channels, ids...)
			continue
		}
		for _, id := range ids {
			if !slices.Contains(all.IDs, id) {
				all.IDs = append(all.IDs, id)
			}
		}
		all.FromEnv = all.FromEnv || r.fromEnv()
	}
	toolkit := p.toolkit(v)
	// Whether it is there at all comes before what it could be asked.
	if err := toolkit.Found(); err != nil {
		return offer{}, fill(errs, err)
	}
	if v.NVIDIA() {
		all.Variable = nvidia.VisibleDevices // whatever variable asks here
		all.NoRequire = p.config.NVIDIA.Requirements != config.RequirementsEnforce
		all.MIGConfig, _ = p.container.Env(nvidia.MIGConfigDevices)
		all.MIGMonitor, _ = p.container.Env(nvidia.MIGMonitorDevices)
		if _, value := p.mig(); value == "" {
			all.MIGConfig, all.MIGMonitor = "", ""
		}
		var err error
		if all.Capabilities, err = p.driverCapabilities(g, false); err == nil && len(all.Capabilities) == 0 {
			// To the hook an empty list means its own defaults.
			err = fault.New(fault.Policy, nvidia.DriverCapabilities, "of the driver capabilities asked for none is supported on this host").
				WithHint("ask for supported ones, or add some to supported-capabilities under [nvidia] in %s", config.DefaultPath)
		}
		if err != nil {
			return offer{}, fill(errs, err)
		}
	}
	delegation, err := toolkit.Delegate(all)
	if err == nil && p.given(v, all.IDs) {
		// The engine has been before us, by Specs that we do not see: the hook would put everything there again.
		delegation = nil
	}
	return offer{edits: devices.NewEdits(), delegation: delegation, names: make([][]string, len(g.requests))}, fill(errs, err)
}

// given reports whether config.json holds what NVIDIA's hook would inject for these devices, asked for by index: the node of
// each and a library of the driver. A node alone is no evidence: --privileged and --device give that, and nothing else.
func (p *planner) given(v *config.Vendor, ids []string) bool {
	spec := p.container.Spec
	if !v.NVIDIA() || len(ids) == 0 || spec.Linux == nil {
		return false
	}
	library := slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		name := path.Base(m.Destination)
		return strings.HasPrefix(name, "libcuda.so.") || strings.HasPrefix(name, "libnvidia-ml.so.")
	})
	return library && !slices.ContainsFunc(ids, func(id string) bool {
		return !slices.ContainsFunc(spec.Linux.Devices, func(d specs.LinuxDevice) bool { return path.Clean(d.Path) == "/dev/nvidia"+id })
	})
}

// toolkit is the vendor's own hook. Only NVIDIA's has a configuration that is known here.
func (p *planner) toolkit(v *config.Vendor) nvidia.Toolkit {
	t := nvidia.Toolkit{Hook: v.RuntimeHook, Owner: p.owner}
	if v.NVIDIA() {
		t.Config = p.config.NVIDIA.RuntimeConfig
	}
	return t
}

// fill makes err the reason where there is none yet.
func fill(errs []error, err error) []error {
	if err == nil {
		return errs
	}
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

// channelDir is where the driver makes the nodes of IMEX channels.
const channelDir = "/dev/nvidia-caps-imex-channels"

// own returns the vendor's own ids of what a request asks for.
func (p *planner) own(v *config.Vendor, r *request) ([]string, error) {
	kind := v.Kind
	if r.part == partIMEX {
		kind = nvidia.IMEXKind
	}
	var ids []string
	for _, n := range r.names(v) {
		if n.Kind() != kind {
			return nil, fault.New(fault.Delegate, n.String(), "%s knows devices of kind %s alone", path.Base(v.RuntimeHook), kind).
				WithHint("have CDI serve it: a Spec must define the kind %s", n.Kind())
		}
		if nvidia.Reserved(n.Device) {
			return nil, fault.New(fault.Request, n.String(), "%q is no device, and would empty the whole list of %s", n.Device, path.Base(v.RuntimeHook)).
				WithHint("ask for devices alone, or for nothing but %q", n.Device)
		}
		if r.part == partIMEX {
			node := path.Join(channelDir, "channel"+n.Device)
			if _, err := os.Lstat(node); errors.Is(err, os.ErrNotExist) {
				return nil, fault.New(fault.Node, "IMEX channel "+n.Device, "%s is missing on this host", node).
					WithHint("ask for a channel that the driver has made (NVreg_ImexChannelCount), or for none")
			}
		}
		ids = append(ids, n.Device)
	}
	return ids, nil
}
