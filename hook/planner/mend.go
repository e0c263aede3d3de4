package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// mended adds to an error of CDI Specs what the contract of their vendor knows: the cause behind the cause, and what to
// do about it on this host. resolved is nil if the error is about finding the devices.
func (p *Planner) mended(v *config.Vendor, resolved *devices.Resolved, err error) error {
	var node *devices.NodeError
	var number *devices.NumberError
	var program *devices.ProgramError
	var spec *devices.SpecError
	var undefined *devices.UndefinedError
	f := fault.From(err)
	switch {
	case errors.As(err, &node):
		share := shareOf(resolved, func(e *devices.Edits) bool {
			return slices.ContainsFunc(e.DeviceNodes, func(d *devices.DeviceNode) bool { return d.HostPath == node.HostPath })
		})
		return because(f)(p.Config.ContractOfKind(v, share.Kind).MendNode(
			contract.Node{Path: node.HostPath, Found: node.Found, Kind: share.Kind, Spec: share.Spec}))
	case errors.As(err, &number):
		share := shareOf(resolved, func(e *devices.Edits) bool {
			return slices.ContainsFunc(e.DeviceNodes, func(d *devices.DeviceNode) bool { return d.HostPath == number.HostPath })
		})
		return because(f)(p.Config.ContractOfKind(v, share.Kind).MendNode(contract.Node{
			Path: number.HostPath, Number: fmt.Sprintf("%d:%d", number.Major, number.Minor), Kind: share.Kind, Spec: share.Spec,
		}))
	case errors.As(err, &program) && errors.Is(err, fs.ErrNotExist):
		share := shareOf(resolved, func(e *devices.Edits) bool {
			return slices.ContainsFunc(e.Hooks, func(h *devices.Hook) bool { return h.Path == program.Path })
		})
		return f.WithHint("%s", p.Config.ContractOfKind(v, share.Kind).MendProgram(program.Path, share.Kind, share.Spec))
	case errors.As(err, &spec) && f.Code() == fault.Trust:
		if p.Config.Self.Owner.Dir(filepath.Dir(spec.Path)) != nil {
			return err // a Spec that is generated there is not trusted either
		}
		return f.WithHint("%s: %s", f.Hint(), p.Config.ContractOfKind(v, spec.Asked).Generate(spec.Asked, p.specDir()))
	case errors.As(err, &spec) && spec.Kind != "":
		return f.WithHint("%s", p.Config.ContractOfKind(v, spec.Kind).Regenerate(spec.Kind, spec.Path))
	case errors.As(err, &undefined) && f.Hint() == "":
		vendor := p.Config.ContractOfKind(v, undefined.Kind)
		why := ""
		if loaded, known := vendor.HasDriver(); known && !loaded {
			why = "the driver is not loaded"
		}
		return because(f)(why, vendor.Generate(undefined.Kind, p.specDir()))
	}
	return err
}

// because returns a function that adds to f why it is so, and what to do about it.
func because(f *fault.Error) func(why, hint string) error {
	return func(why, hint string) error {
		if why != "" {
			f = fault.New(f.Code(), f.What(), "%w: %s", f.Unwrap(), why)
		}
		return f.WithHint("%s", hint)
	}
}

// shareOf returns the share of the Spec whose edits match.
func shareOf(resolved *devices.Resolved, match func(*devices.Edits) bool) *devices.Share {
	if i := slices.IndexFunc(resolved.Shares, func(s *devices.Share) bool { return match(s.Edits) }); i >= 0 {
		return resolved.Shares[i]
	}
	return &devices.Share{}
}

// specDir returns the directory for Specs that are generated: the last one, which takes precedence.
func (p *Planner) specDir() string {
	dirs := p.Config.CDI.SpecDirs
	if len(dirs) == 0 {
		return "/var/run/cdi"
	}
	return dirs[len(dirs)-1]
}
