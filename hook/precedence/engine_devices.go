package precedence

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// EngineDevices is what the engine was asked for: devices whose nodes config.json gives to the container by itself.
type EngineDevices struct {
	config *config.Config
	specs  func() *devices.Registry
	nodes  []string // in config.json
	known  map[*config.Vendor]*vendorDevices
}

// EngineDevicesOf returns the engine's devices of the container. specs is called if there are any.
func EngineDevicesOf(c *config.Config, container *state.Container, specs func() *devices.Registry) *EngineDevices {
	return &EngineDevices{c, specs, devices.NodesOf(container.Spec), map[*config.Vendor]*vendorDevices{}}
}

// Leave takes out of the winners what would add a device to those of the engine, and returns the others and a warning
// for each request that it took out, wishes apart. The engine's request takes precedence over those of environment and
// over every wish. A request for no more than the engine's devices stays, since it brings what the engine does not know
// of, such as the driver's libraries. By policy, losing is the error.
func (e *EngineDevices) Leave(
	winners []*request.Request,
) (left []*request.Request, warnings []*fault.Error, err error) {
	for _, r := range winners {
		own := e.of(r)
		if own == nil || own.cover(r) {
			left = append(left, r)
			continue
		}
		r.Status, r.Reason = plan.Overridden, "the engine was asked for "+some(own.nodes)+", and stands higher"
		f := fault.New(fault.Overridden, r.String(), "%s", r.Reason).
			WithHint("ask for all devices in one way: of the engine (--device), or of gpu-hook")
		switch {
		case r.Weak:
		case e.config.Requests.OnConflict == config.Error:
			return nil, warnings, r.Stop(f.WithCode(fault.Conflict))
		default:
			warnings = append(warnings, f)
		}
	}
	return left, warnings, nil
}

// some joins the texts. Of many it has the first dozen and the number of the others.
func some(list []string) string {
	const most = 12
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// vendorDevices are the engine's devices of one vendor.
type vendorDevices struct {
	vendor   *config.Vendor
	contract contract.Vendor
	specs    *devices.Registry
	nodes    []string
	has      map[string]bool // the nodes
	devices  []string        // that CDI Specs define, one name for each
}

// of returns the engine's devices of the request's vendor, or nil if there are none or the request is not below them.
func (e *EngineDevices) of(r *request.Request) *vendorDevices {
	if len(r.Vendors) != 1 || r.Part != "" || r.Files || !BelowEngine(r) || len(e.nodes) == 0 {
		return nil
	}
	v := r.Vendors[0]
	own := e.known[v]
	if own == nil {
		own = e.ofVendor(v)
		e.known[v] = own
	}
	if len(own.nodes) == 0 {
		return nil
	}
	return own
}

// ofVendor returns the engine's devices of the vendor.
func (e *EngineDevices) ofVendor(v *config.Vendor) *vendorDevices {
	own := &vendorDevices{vendor: v, contract: e.config.ContractOf(v), specs: e.specs()}
	own.devices = own.specs.Carried(v.Kind, e.nodes)
	carried := own.specs.OwnNodes(own.devices)
	for _, node := range e.nodes {
		if own.contract.IsDevice(node) || carried[node] {
			own.nodes = append(own.nodes, node)
		}
	}
	own.has = devices.Set(own.nodes)
	return own
}

// cover reports whether the request is for devices that the engine gives already. For names that no Spec defines it
// goes by the vendor's node names.
func (d *vendorDevices) cover(r *request.Request) bool {
	names, err := r.Named(d.specs, d.vendor)
	if err != nil {
		return false
	}
	var defined []string
	for _, name := range names {
		if d.specs.Defines(name) {
			defined = append(defined, name)
		} else if _, id, _ := strings.Cut(name, "="); !d.gives(id) {
			return false
		}
	}
	return d.specs.Covered(defined, d.devices)
}

// gives reports whether a device whose id no Spec defines is among the engine's. An id that does not tell its node is
// taken to be.
func (d *vendorDevices) gives(id string) bool {
	missing := func(node string) bool { return !d.has[node] }
	if id == "all" {
		return !slices.ContainsFunc(d.contract.HostNodes(), missing)
	}
	node := d.contract.NodeOf(id)
	return node == "" || !missing(node)
}
