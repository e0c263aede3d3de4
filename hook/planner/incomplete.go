package planner

import (
	"path"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/request"
)

// byCDI is a group that is served by Specs, and what they give it.
type byCDI struct {
	group *group
	offer offer
}

// incomplete warns of Specs that lack what a container of their vendor needs and the host has: it starts, and its
// program fails. No other driver is tried for it, because a program that does without what is lacking works with the
// Spec as it is.
func (p *Planner) incomplete() {
	var nodes []contract.GivenNode
	for _, s := range p.byCDI {
		if s.group.vendor == nil {
			continue
		}
		if nodes == nil {
			nodes = p.nodes()
		}
		g := p.given(s, nodes)
		if len(g.Specs) == 0 {
			continue
		}
		vendor := p.Config.ContractOf(s.group.vendor)
		for _, lack := range vendor.Lacking(g) {
			onPurpose := lack.OfSpecs() && p.Config.CDI.OnIncomplete == config.Ignore
			if !onPurpose && !p.mounted(lack.Node) {
				p.Warn(contract.Incomplete(vendor, g, lack))
			}
		}
	}
}

// given is what the vendor's own Specs give the group, in a container with these nodes.
func (p *Planner) given(s byCDI, nodes []contract.GivenNode) contract.Given {
	g := contract.Given{Kind: s.group.vendor.Kind, Nodes: nodes}
	for _, share := range s.offer.shares {
		if share.Kind == g.Kind && !slices.Contains(g.Specs, share.Spec) {
			g.Specs = append(g.Specs, share.Spec)
		}
	}
	for i, r := range s.group.requests {
		g.Names = append(g.Names, s.offer.names[i]...)
		g.All = g.All || slices.ContainsFunc(r.IDs, func(id string) bool { return id == "all" || id == g.Kind+"=all" })
	}
	if !slices.ContainsFunc(s.group.requests, func(r *request.Request) bool { return len(r.Capabilities) == 0 }) {
		for _, r := range s.group.requests {
			g.Capabilities = append(g.Capabilities, r.Capabilities...)
		}
	}
	return g
}

// nodes returns the device nodes that the container has in the end: those of the plan, and those of config.json.
func (p *Planner) nodes() []contract.GivenNode {
	var out []contract.GivenNode
	for _, d := range p.edits().DeviceNodes {
		out = append(out, contract.GivenNode{Path: d.Path, HostPath: d.HostPath})
	}
	if linux := p.Container.Spec.Linux; linux != nil {
		for _, d := range linux.Devices {
			out = append(out, contract.GivenNode{Path: path.Clean(d.Path)})
		}
	}
	return out
}

// mounted reports whether a volume of the container is at the node or above it, and so may have it.
func (p *Planner) mounted(node string) bool {
	for _, m := range p.Container.Spec.Mounts {
		at := path.Clean(m.Destination)
		bind := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
		if bind && (at == node || strings.HasPrefix(node, at+"/")) {
			return true
		}
	}
	return false
}
