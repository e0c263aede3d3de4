package hook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// AnnotationGPUs asks for devices in Docker's --gpus syntax.
const AnnotationGPUs = "gpu-hook/gpus"

// Drivers: "cdi" for qualified names of any vendor, and for a vendor NAME the drivers NAME.cdi and NAME.runtime-hook;
// NAME itself is the first of them that can serve.
const (
	driverAnyCDI      = "cdi"
	driverCDI         = ".cdi"
	driverRuntimeHook = ".runtime-hook"
)

// What has become of a request.
const (
	statusGranted    = "granted"
	statusOverridden = "overridden"
	statusRefused    = "refused"
	statusEmpty      = "empty"    // an explicit nothing
	statusUnserved   = "unserved" // no driver could serve it
)

// Request is what one source asks of one vendor.
type Request struct {
	Source       string   `json:"source"`
	Value        string   `json:"value"`
	Vendor       string   `json:"vendor"`
	Driver       string   `json:"driver"`
	Devices      []string `json:"devices"`
	Capabilities []string `json:"capabilities"`
	Status       string   `json:"status"`
	Reason       string   `json:"reason"`

	level  int // of the source; the lowest number stands highest
	names  []devices.Name
	err    *fault.Error // why the value is none; it stops the start if the request wins
	weak   bool         // an image's way to say "if there is one"
	unused []string     // options that no driver takes
}

// gatherer collects the requests that a container carries.
type gatherer struct {
	config    *Config
	container *state.Container
	flag      *string // explain's --gpus, in the place of the annotation
	requests  []*Request
}

// gather returns every request that the container carries, highest source first and each vendor's on its own, those of
// sources that do not count with status refused. The infra container of a pod never asks.
func gather(config *Config, container *state.Container, flag *string) []*Request {
	g := &gatherer{config: config, container: container, flag: flag}
	if container.Infra() {
		return nil
	}
	order, key := config.sources(container.Engine())
	collect := map[string]func() []*Request{
		sourceAnnotation: g.annotation, sourceCDIAnnotation: g.cdiAnnotations, sourceEnv: g.environment,
	}
	for level, source := range order {
		for _, r := range collect[source]() {
			r.level = level
			g.requests = append(g.requests, r)
		}
		delete(collect, source)
	}
	for _, source := range slices.Sorted(maps.Keys(collect)) {
		for _, r := range collect[source]() {
			if r.Status == statusEmpty {
				continue
			}
			r.err = nil
			r.Status, r.Reason = statusRefused, fmt.Sprintf("%s does not list %q", key, source)
			g.requests = append(g.requests, r)
		}
	}
	return g.requests
}

// annotation reads gpu-hook/gpus.
func (g *gatherer) annotation() []*Request {
	source := "annotation:" + AnnotationGPUs
	value, set := g.container.Spec.Annotations[AnnotationGPUs]
	if g.flag != nil {
		source, value, set = "flag", *g.flag, true
	}
	if !set {
		return nil
	}
	template := Request{Source: source, Value: value}
	parsed, err := devices.ParseGPUs(value)
	if err != nil {
		return []*Request{template.mistake(err)}
	}
	template.Driver, template.Capabilities = parsed.Driver, parsed.Capabilities
	template.unused = slices.Sorted(maps.Keys(parsed.Options))
	ids, err := parsed.IDs()
	if err != nil {
		return []*Request{template.mistake(err)}
	}
	vendor, err := g.config.choose(parsed)
	if err != nil {
		return []*Request{template.mistake(err)}
	}
	if len(ids) == 0 {
		template.Vendor = vendor.Name
		return []*Request{template.nothing("a count of 0")}
	}
	return g.byVendor(template, ids, vendor)
}

// cdiAnnotations reads cdi.k8s.io/*. Under CRI-O only the container's own count: the kubelet writes them, while anybody
// who may make a pod writes the pod's.
func (g *gatherer) cdiAnnotations() []*Request {
	own := g.container.OwnAnnotations()
	var out []*Request
	for _, a := range devices.FromAnnotations(g.container.Spec.Annotations) {
		template := Request{Source: "annotation:" + a.Key, Value: a.Value, Driver: driverAnyCDI}
		if v, ok := own[a.Key]; !ok || v != a.Value {
			template.Status, template.Reason = statusRefused, "it is the pod's annotation, not the container's own"
			out = append(out, &template)
			continue
		}
		if a.Err != nil {
			out = append(out, template.mistake(a.Err))
			continue
		}
		var ids []string
		for _, n := range a.Names {
			ids = append(ids, n.String())
		}
		out = append(out, g.byVendor(template, ids, nil)...)
	}
	return out
}

// environment reads each vendor's visible-devices variable.
func (g *gatherer) environment() []*Request {
	var out []*Request
	for i := range g.config.Vendors {
		v := &g.config.Vendors[i]
		value, set := g.container.Env(v.Env)
		if v.Env == "" || !set {
			continue
		}
		template := Request{Source: "env:" + v.Env, Value: value, Vendor: v.Name}
		if v.Env == nvidia.VisibleDevices {
			template.Capabilities = g.driverCapabilities()
		}
		visible := nvidia.ParseVisible(value)
		if visible.Nothing != "" {
			out = append(out, template.nothing(visible.Nothing))
			continue
		}
		template.weak = slices.Equal(visible.IDs, []string{"all"})
		requests := g.byVendor(template, visible.IDs, v)
		for _, r := range requests {
			r.Vendor = v.Name // the variable is this vendor's, whatever it names
		}
		out = append(out, requests...)
	}
	return out
}

func (g *gatherer) driverCapabilities() []string {
	value, _ := g.container.Env(nvidia.DriverCapabilities)
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
}

// byVendor makes one request per vendor of the ids: vendor's for those without a kind, that of its kind for a qualified
// name.
func (g *gatherer) byVendor(template Request, ids []string, vendor *Vendor) []*Request {
	var out []*Request
	kind := ""
	if vendor != nil {
		kind = vendor.Kind
	}
	for _, id := range ids {
		name, err := devices.ParseName(id, kind)
		if err != nil {
			return []*Request{template.mistake(err)}
		}
		owner, err := g.config.owner(name, template.Driver, vendor)
		if err != nil {
			return []*Request{template.mistake(err)}
		}
		i := slices.IndexFunc(out, func(r *Request) bool { return r.Vendor == owner })
		if i < 0 {
			r := template
			r.Vendor, r.Devices, r.Capabilities = owner, []string{}, nonNil(template.Capabilities)
			out, i = append(out, &r), len(out)
		}
		if !slices.Contains(out[i].names, name) {
			out[i].Devices, out[i].names = append(out[i].Devices, id), append(out[i].names, name)
		}
	}
	return out
}

// choose returns the vendor that a request's bare ids and count are for: that of the named driver, else the first whose
// capability set has all that are asked for. It is nil for the driver "cdi", where every id must be qualified.
func (c *Config) choose(r devices.Request) (*Vendor, error) {
	if r.Driver == driverAnyCDI {
		if r.Count != 0 {
			return nil, fmt.Errorf("driver %q takes qualified device names, not a count", r.Driver)
		}
		return nil, nil //nolint:nilnil // no vendor is an answer here, see above
	}
	var drivers []string
	for i := range c.Vendors {
		v := &c.Vendors[i]
		if r.Driver == "" && contains(v.Capabilities, r.Capabilities) {
			return v, nil
		}
		if r.Driver == v.Name || slices.Contains(v.Drivers, r.Driver) {
			if !contains(v.Capabilities, r.Capabilities) {
				return nil, fmt.Errorf("capabilities %s: driver %q knows %s", strings.Join(r.Capabilities, ","), r.Driver, strings.Join(v.Capabilities, ","))
			}
			return v, nil
		}
		drivers = append(append(drivers, v.Name), v.Drivers...)
	}
	if r.Driver == "" {
		return nil, fmt.Errorf("no vendor has all the capabilities %s", strings.Join(r.Capabilities, ","))
	}
	return nil, fmt.Errorf("driver %q is not one of: %s", r.Driver, strings.Join(append(drivers, driverAnyCDI), ", "))
}

// owner returns the name of the vendor whose device this is; for a kind of no configured vendor, the vendor part of it.
func (c *Config) owner(name devices.Name, driver string, vendor *Vendor) (string, error) {
	if name.Vendor == "" {
		return "", fmt.Errorf("%q has no kind, and driver %q takes qualified names (vendor.com/class=name)", name.Device, driver)
	}
	owner := name.Vendor
	for _, v := range c.Vendors {
		if v.Kind == name.Kind() {
			owner = v.Name
		}
	}
	if driver == "" || driver == driverAnyCDI {
		return owner, nil
	}
	if domain, _, _ := strings.Cut(vendor.Kind, "/"); domain != name.Vendor {
		return "", fmt.Errorf("%q is not a device of driver %q", name, driver)
	}
	return vendor.Name, nil
}

func (r Request) mistake(err error) *Request {
	r.err = fault.New(fault.Request, describe(&r), "%w", err).
		WithHint(`ask for example for "all", for "2", for "device=0,1" or, in CDI's names, for "device=nvidia.com/gpu=0"`)
	r.Devices, r.Capabilities = []string{}, nonNil(r.Capabilities)
	return &r
}

func (r Request) nothing(why string) *Request {
	r.Status, r.Reason = statusEmpty, "it asks for nothing: "+why
	r.Devices, r.Capabilities = []string{}, nonNil(r.Capabilities)
	return &r
}

func contains(set, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(c string) bool { return !slices.Contains(set, c) })
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
