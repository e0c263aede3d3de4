package hook

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// carried is what the engine was asked for: devices of a vendor whose nodes config.json gives to the container by itself.
type carried struct {
	nodes   []string // of the vendor's devices, by path in the container
	devices []string // that CDI Specs define, one name for each
}

// belowEngine takes out of the winners what would add a device to those that the engine was asked for: its request stands
// above environment and above every wish. A request for no more than these stays, since it brings what the engine does not
// know of, such as the driver's libraries.
func (p *planner) belowEngine(winners []*request) ([]*request, error) {
	var out []*request
	for _, r := range winners {
		c := p.carriedFor(r)
		if c == nil || p.within(r, c) {
			out = append(out, r)
			continue
		}
		r.Status, r.Reason = plan.Overridden, "the engine was asked for "+strings.Join(c.nodes, ", ")+", and stands higher"
		f := fault.New(fault.Overridden, describe(r), "%s", r.Reason).WithHint("ask for all devices in one way: of the engine (--device), or of gpu-hook")
		switch {
		case r.weak:
		case p.config.Requests.OnConflict == config.Error:
			return nil, r.lost(f.WithCode(fault.Conflict))
		default:
			p.warn(f)
		}
	}
	return out, nil
}

// carriedFor returns what the engine was asked for of the request's vendor, or nil where that is nothing or stands not
// above the request.
func (p *planner) carriedFor(r *request) *carried {
	if len(r.vendors) != 1 || r.part != "" || r.files || (!r.weak && !r.fromEnv()) {
		return nil
	}
	v := r.vendors[0]
	nodes := devices.NodesOf(p.container.Spec)
	if len(nodes) == 0 {
		return nil
	}
	c := &carried{devices: p.specs().Carried(v.Kind, nodes)}
	for _, node := range nodes {
		if v.NVIDIA() && nvidia.IsGPU(node) || p.specs().OwnNode(node, c.devices) {
			c.nodes = append(c.nodes, node)
		}
	}
	if len(c.nodes) == 0 {
		return nil
	}
	return c
}

// within reports whether the request is for devices that the engine gives already. For names that no Spec defines it goes
// by NVIDIA's node names; an id that says nothing of a node is taken at its word.
func (p *planner) within(r *request, c *carried) bool {
	names, err := p.named(r.vendors[0], r)
	if err != nil {
		return false
	}
	var defined []string
	for _, name := range names {
		if p.specs().Defines(name) {
			defined = append(defined, name)
		} else if _, id, _ := strings.Cut(name, "="); !c.has(id) {
			return false
		}
	}
	return p.specs().Covered(defined, c.devices)
}

// has reports whether a device whose id no Spec defines is among those that the engine gives.
func (c *carried) has(id string) bool {
	if id == "all" {
		return !slices.ContainsFunc(hostGPUs(), func(gpu string) bool { return !slices.Contains(c.nodes, gpu) })
	}
	node := "/dev/nvidia" + id
	return !nvidia.IsGPU(node) || slices.Contains(c.nodes, node)
}

// hostGPUs are the nodes of NVIDIA's GPUs on the host.
func hostGPUs() []string {
	entries, _ := os.ReadDir("/dev")
	var out []string
	for _, e := range entries {
		if node := path.Join("/dev", e.Name()); nvidia.IsGPU(node) {
			out = append(out, node)
		}
	}
	return out
}
