package checkup

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// lack is what the Specs of a vendor do not give and should.
type lack struct {
	contract.Lack
	given contract.Given
	note  *fault.Error // the warning that a start with these Specs leaves
}

// lacking returns what the Specs of the vendor lack for a container that asks for all its devices. Of devices that are
// not defined unambiguously it knows nothing.
func lacking(c *config.Config, v *config.Vendor, registry *devices.Registry) []lack {
	g := contract.Given{Kind: v.Kind, All: true}
	for _, d := range registry.Devices() {
		if d.Kind != v.Kind {
			continue
		}
		resolved, err := registry.Resolve([]string{d.Name})
		if err != nil {
			continue
		}
		g.Names = append(append(g.Names, d.Name), d.Aliases...)
		if !slices.Contains(g.Specs, d.Spec) {
			g.Specs = append(g.Specs, d.Spec)
		}
		for _, n := range resolved.DeviceNodes {
			g.Nodes = append(g.Nodes, contract.GivenNode{Path: n.Path, HostPath: n.HostPath})
		}
	}
	var out []lack
	vendor := c.ContractOf(v)
	for _, l := range vendor.Lacking(g) {
		if l.OfSpecs() && c.CDI.OnIncomplete == config.Ignore {
			continue
		}
		out = append(out, lack{l, g, contract.Incomplete(vendor, g, l)})
	}
	return out
}

// checkLacking looks for what vendors' Specs lack, by the vendors' own rules. What other checks explain better, by more
// that they know of the host, is left to those.
func checkLacking(h *host) []report.Check {
	var out []report.Check
	for _, l := range h.incomplete {
		if l.Node == "/dev/nvidia-uvm" || isGPU(l.Node) || strings.HasPrefix(l.Node, "/dev/nvidia-caps/") {
			continue
		}
		c := h.fail("CDI Specs", l.note.Error())
		c.Cause, c.Hint = "lacks "+l.Node, l.note.Hint()
		if len(l.given.Specs) == 1 {
			c.Fix, c.Hint = h.regenerate(l.given.Kind, l.given.Specs[0])
			if l.Before != "" {
				c.Fix = l.Before + " && " + c.Fix
			}
		}
		out = append(out, c)
	}
	return out
}
