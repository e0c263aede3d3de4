package planner

import (
	"errors"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// offerCDI returns the edits of the CDI Specs that serve the group.
func (p *Planner) offerCDI(g *group) (offer, []error) {
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
			errs[i] = p.explained(resolved, p.mended(g.vendor, resolved, err))
			continue
		}
		o.edits = devices.Join(o.edits, resolved.Edits)
		o.names = append(o.names, names)
		o.shares = append(o.shares, resolved.Shares...)
	}
	return o, errs
}

// resolve returns the edits of one request and the names that they are of.
func (p *Planner) resolve(v *config.Vendor, r *request.Request) (*devices.Resolved, []string, error) {
	if r.Part == "" {
		if err := p.Config.ContractOf(v).BeyondCDI(p.contractView()); err != nil {
			return nil, nil, err
		}
	}
	if r.Files {
		edits, err := p.specs().Files(v.Kind)
		return edits, []string{}, err
	}
	names, err := r.Named(p.specs(), v)
	if err != nil {
		return nil, nil, err
	}
	edits, err := p.specs().Resolve(names)
	return edits, names, p.unknown(v, err)
}

// unknown adds to the error of a device that no Spec defines what the vendor's dialect knows about its name.
func (p *Planner) unknown(v *config.Vendor, err error) error {
	var unnamed *devices.UnnamedError
	if v == nil || !errors.As(err, &unnamed) {
		return err
	}
	f := fault.From(err)
	_, device, _ := strings.Cut(f.What(), "=")
	why, hint := p.Config.ContractOf(v).Unknown(device)
	if why == "" {
		return err
	}
	if len(unnamed.Specs) == 1 {
		hint = strings.ReplaceAll(hint, "=FILE", "="+unnamed.Specs[0])
	}
	return fault.New(fault.Name, f.What(), why+": %w", f.Unwrap()).WithHint("%s", hint)
}

// explained adds to the reason why edits do not hold what of their Specs was not understood: a field that is misspelt
// is ignored, and its lack shows only here.
func (p *Planner) explained(resolved *devices.Resolved, err error) error {
	if resolved == nil || len(resolved.Notes) == 0 {
		return err
	}
	f := fault.From(err)
	text := make([]string, 0, len(resolved.Notes))
	for _, note := range resolved.Notes {
		p.note(note)
		text = append(text, note.Error())
	}
	return fault.New(f.Code(), f.What(), "%w (%s)", f.Unwrap(), strings.Join(text, "; ")).WithHint("%s", f.Hint())
}

// canRun checks for the program that runs hooks in a container's user namespace.
func (p *Planner) canRun(edits *devices.Edits) error {
	needed := func(h *devices.Hook) bool {
		return h.Status == devices.Apply && devices.Optional(p.Config.CDI.Rule).Of(h) == ""
	}
	if !p.Container.UserNamespace() || !slices.ContainsFunc(edits.Hooks, needed) {
		return nil
	}
	if err := p.Config.Self.Owner.Executable(inject.NSEnter); err != nil {
		return fault.New(fault.Hook, "hooks in the container's user namespace", "%w", err).WithHint("install util-linux")
	}
	return nil
}
