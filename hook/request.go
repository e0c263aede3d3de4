package hook

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// partIMEX is what is asked for apart from devices, and contested apart: IMEX channels.
const partIMEX = "imex"

// Bounds of what one container may say: of a value in bytes and of what a report shows of it, of devices and of CDI
// annotations, and of the devices that a report shows of a request which counts for nothing.
const (
	maxValue       = 64 << 10
	maxShown       = 512
	maxDevices     = 4096
	maxAnnotations = 64
	maxRefused     = 16
)

// request is what one source asks of one vendor, or of the first of several that can serve it.
type request struct {
	plan.Request
	source  config.Source
	level   int              // of the source; the lowest number stands highest
	part    string           // "", partIMEX or the kind of one of NVIDIA's features
	vendors []*config.Vendor // whom it may go to, in order; none for a kind of no configured vendor
	pin     string           // the one driver that it may be served by, or ""
	ids     []string         // as written, each once
	asked   devices.Request  // where it is one of Docker's
	chosen  []string         // capabilities of one that names a driver and asks for some that this has not, or nil
	dropped []string         // those
	files   bool             // the driver's files, without a device
	void    bool             // an explicit nothing that engines write by themselves
	weak    bool             // a wish: where nothing can serve it, the container starts without
	hint    string           // what to do where it is refused, if the policy is not to blame
	engine  bool             // the engine serves it itself
	beaten  bool             // it has lost to another, and stands above nobody any more
	err     *fault.Error     // why the value makes no sense; it stops the start if the request wins
}

func newRequest(source config.Source, unsafeValue string) *request {
	shown := unsafeValue
	if len(shown) > maxShown {
		shown = strings.ToValidUTF8(shown[:maxShown], "") + "…"
	}
	shownSource := report.Plain(source.String())
	return &request{
		Request: plan.Request{Source: shownSource, Value: shown, Devices: []string{}, Capabilities: []string{}},
		source:  source,
	}
}

// envSource is the source of what a variable asks for.
func envSource(name string) config.Source {
	return config.Source{Kind: config.SourceEnv, UnsafeKey: name}
}

// fromEnv reports whether the container's environment asks, which an image brings along.
func (r *request) fromEnv() bool { return r.source.Kind == config.SourceEnv }

// with returns a copy of r for other ids.
func (r *request) with(vendors []*config.Vendor, ids []string) *request {
	c := *r
	c.vendors, c.ids = vendors, nil
	c.Devices, c.Capabilities = []string{}, slices.Clone(r.Capabilities)
	seen := map[string]bool{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			c.ids, c.Devices = append(c.ids, id), append(c.Devices, id)
		}
	}
	if len(vendors) > 0 {
		c.Vendor = vendors[0].Name
	}
	return &c
}

func (r *request) refuse(format string, args ...any) *request {
	r.err = nil
	r.Status, r.Reason = plan.Refused, fmt.Sprintf(format, args...)
	if len(r.Devices) > maxRefused {
		r.Devices = append(r.Devices[:maxRefused:maxRefused], "…")
	}
	return r
}

func (r *request) nothing(why string) *request {
	r.Status, r.Reason = plan.Empty, "it asks for nothing: "+why
	return r
}

// mistake makes err, which may carry a code of its own, the reason why r makes no sense.
func (r *request) mistake(err error) *request {
	const hint = `ask for example for "all", for "2", for "device=0,1" or, in CDI's names, for "device=nvidia.com/gpu=0"`
	code := fault.Request
	var f *fault.Error
	if errors.As(err, &f) {
		code = f.Code()
	}
	r.err = fault.New(code, describe(r), "%w", err).WithHint(hint)
	if f != nil && f.Hint() != "" {
		r.err = r.err.WithHint("%s", f.Hint())
	}
	return r
}

// parties are the vendors in whose contests the request takes part.
func (r *request) parties() []string {
	if len(r.vendors) == 0 {
		return []string{r.Vendor + "/" + r.part}
	}
	var out []string
	for _, v := range r.vendors {
		out = append(out, v.Name+"/"+r.part)
	}
	return out
}

// names are the CDI names of what is asked for, bare ids completed by the vendor's kind.
func (r *request) names(v *config.Vendor) []devices.Name {
	kind := ""
	if v != nil {
		kind = v.Kind
	}
	if r.part == partIMEX {
		kind = nvidia.IMEXKind
	}
	var out []devices.Name
	for _, id := range r.ids {
		out = append(out, nameOf(id, kind))
	}
	return out
}

// nameOf is the name of an id that was checked before.
func nameOf(id, kind string) devices.Name {
	name, err := devices.ParseName(id, kind)
	if err != nil {
		domain, class, _ := strings.Cut(kind, "/")
		return devices.Name{Vendor: domain, Class: class, Device: id}
	}
	return name
}

func describe(r *request) string { return r.String() }

// gatherer collects the requests that a container carries.
type gatherer struct {
	config    *config.Config
	container *state.Container
	flag      *string // explain's --gpus, in the place of the annotation
}

// gather returns every request that the container carries, highest source first, those of sources that do not count with
// status refused. The infra container of a pod never asks.
func gather(c *config.Config, container *state.Container, flag *string) []*request {
	g := &gatherer{c, container, flag}
	order, key := sourcesFor(c, container)
	var out []*request
	for level, source := range order {
		for _, r := range g.from(source) {
			// One source has up to three levels of its own.
			r.level += 3 * level
			out = append(out, r)
		}
	}
	for _, source := range config.Sources() {
		if slices.Contains(order, source) {
			continue
		}
		for _, r := range g.from(source) {
			switch {
			case r.Status == plan.Empty:
			case r.engine:
				out = append(out, r)
			default:
				out = append(out, r.refuse("%s does not list %q", key, source))
			}
		}
	}
	if len(out) > 0 && container.Infra() {
		return nil
	}
	return out
}

func (g *gatherer) from(source string) []*request {
	switch source {
	case config.SourceAnnotation:
		return g.annotations()
	case config.SourceCDIAnnotation:
		return g.cdiAnnotations()
	case config.SourceMount:
		return g.mounts()
	case config.SourceEnv:
		return g.environment()
	}
	return nil
}

// split makes one request per vendor of the ids: template's vendors for those without a kind, that of its kind for a
// qualified name, the vendor part of the kind where none is configured for it. Beside names of one vendor of template's,
// ids without a kind are of that vendor too. fixed says that template's vendor is named and gets them all.
func (g *gatherer) split(template *request, ids []string, fixed bool) []*request {
	var bare, channels []string
	qualified := map[string][]string{}
	var order []string
	for _, id := range ids {
		name, err := g.parse(id, template.vendors)
		if err != nil {
			return []*request{template.with(template.vendors, nil).mistake(err)}
		}
		owner := name.Vendor
		switch v := g.config.OfKind(name.Kind()); {
		case fixed || !strings.Contains(id, "="):
			bare = append(bare, id)
			continue
		case v != nil:
			owner = v.Name
		case name.Kind() == nvidia.IMEXKind && g.config.OfNVIDIA() != nil:
			channels = append(channels, name.Device)
			continue
		}
		if qualified[owner] == nil {
			order = append(order, owner)
		}
		qualified[owner] = append(qualified[owner], id)
	}
	var out []*request
	if len(channels) > 0 {
		out = append(out, g.channels(template.of(g.config.OfNVIDIA()), channels))
	}
	if owner := g.only(order, template.vendors); len(bare) > 0 && owner != "" {
		qualified[owner] = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
			return strings.Contains(id, "=") && !slices.Contains(qualified[owner], id)
		})
	} else if len(bare) > 0 {
		out = append(out, template.with(template.vendors, bare))
	}
	for _, owner := range order {
		var vendors []*config.Vendor
		v := g.config.Vendor(owner)
		if v != nil {
			vendors = []*config.Vendor{v}
		}
		r := template.with(vendors, qualified[owner])
		r.Vendor = owner
		if v != nil {
			r = r.of(v)
		}
		out = append(out, r)
	}
	return out
}

// of returns a copy of r for one vendor, whose own CDI driver is meant where any CDI driver is.
func (r *request) of(v *config.Vendor) *request {
	c := r.with([]*config.Vendor{v}, r.ids)
	if c.pin == config.DriverAnyCDI {
		c.pin = v.Name + config.DriverCDI
	}
	return c
}

// only returns the one of vendors that is among the owners, or "".
func (g *gatherer) only(owners []string, vendors []*config.Vendor) string {
	found := ""
	for _, v := range vendors {
		if !slices.Contains(owners, v.Name) {
			continue
		}
		if found != "" {
			return ""
		}
		found = v.Name
	}
	return found
}

// parse checks an id: a qualified CDI name, or one of the vendors' own.
func (g *gatherer) parse(id string, vendors []*config.Vendor) (devices.Name, error) {
	kind := ""
	if len(vendors) > 0 {
		kind = vendors[0].Kind
	}
	if nvidia.IsMIGInstance(id) && slices.ContainsFunc(vendors, (*config.Vendor).NVIDIA) {
		return nameOf(id, kind), nil
	}
	name, err := devices.ParseName(id, kind)
	if err == nil && name.Vendor == "" {
		err = fmt.Errorf("%q has no kind: a device is asked for here by its qualified name (vendor.com/class=name)", id)
	}
	return name, err
}
