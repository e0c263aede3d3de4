package hook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// AnnotationGPUs asks for devices in Docker's --gpus syntax or as a JSON list of Docker's device requests. With a dot and
// the name of a container behind it, it is for this container of a pod alone and stands above the one without.
const AnnotationGPUs = "gpu-hook/gpus"

// annotationPrefix begins the keys of annotations that are gpu-hook's.
const annotationPrefix = "gpu-hook/"

// misspelt are requests whose key is none of gpu-hook's, and looks like one: the container would start without what it
// asks for.
func (g *gatherer) misspelt() []*request {
	var out []*request
	for _, key := range slices.Sorted(maps.Keys(g.container.Spec.Annotations)) {
		known := key == AnnotationGPUs || key == AnnotationPlan || strings.HasPrefix(key, AnnotationGPUs+".") && len(key) > len(AnnotationGPUs+".")
		if known || !strings.HasPrefix(key, annotationPrefix) {
			continue
		}
		r := newRequest(config.Source{Kind: config.SourceAnnotation, UnsafeKey: key}, g.container.Spec.Annotations[key])
		out = append(out, r.mistake(fault.New(fault.Request, "", "gpu-hook knows no annotation of this key").
			WithHint("write %s, or %s.NAME for the container NAME of a pod alone; if it is not meant for gpu-hook, it must go", AnnotationGPUs, AnnotationGPUs)))
	}
	return out
}

func (g *gatherer) annotations() []*request {
	var out []*request
	if g.flag != nil {
		out = g.gpus(config.Source{Kind: config.SourceFlag}, *g.flag)
	}
	out = append(out, g.quoted(config.SourceAnnotation, annotationPrefix)...)
	out = append(out, g.misspelt()...)
	name := g.container.Name()
	for _, key := range slices.Sorted(maps.Keys(g.container.Spec.Annotations)) {
		suffix, found := strings.CutPrefix(key, AnnotationGPUs)
		if !found || suffix != "" && (suffix[0] != '.' || name != "" && suffix[1:] != name) {
			continue
		}
		source, value := config.Source{Kind: config.SourceAnnotation, UnsafeKey: key}, g.container.Spec.Annotations[key]
		if suffix != "" && name == "" {
			r := newRequest(source, value).refuse("this container has no name (annotation io.kubernetes.container.name), so it is not known whether it is meant")
			r.hint = unnamedHint(g.container.Engine())
			out = append(out, r)
			continue
		}
		requests := g.gpus(source, value)
		if err := g.torn(key, value, devices.GPUsKeys()); err != nil {
			requests = []*request{newRequest(source, value).mistake(err)}
		}
		for _, r := range requests {
			r.level++ // below explain's flag
			if suffix == "" {
				r.level++
			}
			out = append(out, r)
		}
	}
	return out
}

// unnamedHint says what to do where a container's name is not known.
func unnamedHint(engine string) string {
	if engine == state.Podman {
		return "podman tells a container's name in a pod only when it starts, and only beside a host name that is the pod's name: else use the annotation " + AnnotationGPUs
	}
	return "outside of pods use the annotation " + AnnotationGPUs
}

// gpus reads the value of the annotation.
func (g *gatherer) gpus(source config.Source, unsafeValue string) []*request {
	template := newRequest(source, unsafeValue)
	if len(unsafeValue) > maxValue {
		return []*request{template.mistake(fmt.Errorf("it is longer than %d bytes", maxValue))}
	}
	list, err := devices.ParseRequests(unsafeValue)
	if err == nil {
		err = checkSize(list)
	}
	if err != nil {
		return []*request{template.mistake(err)}
	}
	var out []*request
	for _, asked := range list {
		out = append(out, g.docker(template, asked)...)
	}
	return out
}

// checkSize bounds what several requests come to, as one is bounded.
func checkSize(list []devices.Request) error {
	total := 0
	for _, asked := range list {
		total += max(asked.Count, 0) + len(asked.DeviceIDs)
	}
	if total > maxDevices {
		return fmt.Errorf("%d devices are more than any host has (%d)", total, maxDevices)
	}
	return nil
}

// docker makes one of Docker's device requests ours.
func (g *gatherer) docker(template *request, asked devices.Request) []*request {
	r := template.with(nil, nil)
	r.asked, r.Driver = asked, asked.Driver
	ids, err := asked.IDs()
	if err == nil {
		r.vendors, r.pin, err = g.choose(asked)
	}
	if err != nil {
		return []*request{r.mistake(err)}
	}
	r = r.with(r.vendors, nil)
	if asked.Driver != "" {
		r.choose()
	}
	if len(r.vendors) > 0 {
		r.Capabilities = append(r.Capabilities, r.selected(r.vendors[0])...)
	}
	if len(ids) == 0 {
		return []*request{r.nothing("a count of 0")}
	}
	named := asked.Driver != "" && asked.Driver != config.DriverAnyCDI
	if i := slices.IndexFunc(ids, nvidia.Reserved); i >= 0 {
		return []*request{r.mistake(fmt.Errorf("%q is no device: for nothing ask for a count of 0", ids[i]))}
	}
	if err := g.checkOwn(r, ids, named); err != nil {
		return []*request{r.mistake(err)}
	}
	return g.split(r, ids, named)
}

// checkOwn refuses a device of one vendor that is asked of another's driver.
func (g *gatherer) checkOwn(r *request, ids []string, named bool) error {
	if !named {
		return nil
	}
	own, _, _ := strings.Cut(r.vendors[0].Kind, "/")
	for _, id := range ids {
		name, err := g.parse(id, r.vendors)
		if err != nil {
			return err
		}
		if name.Vendor != own {
			return fmt.Errorf("%q is not a device of driver %q", id, r.Driver)
		}
	}
	return nil
}

// choose returns the vendors that a request may go to: that of the named driver, else all whose capability set matches,
// in configured order. For the driver "cdi" there is none: each qualified name says its own. The pin is the one driver
// that the request names, or "".
func (g *gatherer) choose(asked devices.Request) (vendors []*config.Vendor, pin string, err error) {
	switch {
	case asked.Driver == config.DriverAnyCDI && asked.Count != 0:
		return nil, "", fmt.Errorf("driver %q takes qualified device names, not a count", asked.Driver)
	case asked.Driver == config.DriverAnyCDI && len(asked.Options) > 0:
		return nil, "", fmt.Errorf("driver %q takes no options", asked.Driver)
	case asked.Driver == config.DriverAnyCDI:
		return nil, config.DriverAnyCDI, nil
	case asked.Driver != "":
		return g.named(asked)
	}
	for i := range g.config.Vendors {
		if _, ok := asked.Match(g.config.Vendors[i].Capabilities); ok {
			vendors = append(vendors, &g.config.Vendors[i])
		}
	}
	if len(vendors) == 0 {
		return nil, "", fmt.Errorf("no vendor has the capabilities %s; they have: %s", capabilities(asked), g.sets())
	}
	return vendors, "", nil
}

func (g *gatherer) named(asked devices.Request) (vendors []*config.Vendor, pin string, err error) {
	var drivers []string
	for i := range g.config.Vendors {
		v := &g.config.Vendors[i]
		if asked.Driver == v.Name || slices.Contains(v.Drivers, asked.Driver) {
			if asked.Driver != v.Name {
				pin = asked.Driver
			}
			return []*config.Vendor{v}, pin, nil
		}
		drivers = append(append(drivers, v.Name), v.Drivers...)
	}
	return nil, "", fmt.Errorf("driver %q is not one of: %s", asked.Driver, strings.Join(append(drivers, config.DriverAnyCDI), ", "))
}

// capabilities writes an OR of ANDs as "a and b, or c".
func capabilities(asked devices.Request) string {
	var lists []string
	for _, all := range asked.Capabilities {
		lists = append(lists, strings.Join(all, " and "))
	}
	if len(lists) == 0 {
		return "(none asked for)"
	}
	return strings.Join(lists, ", or ")
}

func (g *gatherer) sets() string {
	var sets []string
	for _, v := range g.config.Vendors {
		sets = append(sets, v.Name+" "+strings.Join(v.Capabilities, ", "))
	}
	return strings.Join(sets, "; ")
}

// cdiAnnotations reads cdi.k8s.io/* and what is configured beside. Under CRI-O only the container's own count: the kubelet
// writes them, while anybody who may make a pod writes the pod's.
func (g *gatherer) cdiAnnotations() []*request {
	var out []*request
	for _, prefix := range g.config.CDI.AnnotationPrefixes {
		out = append(out, g.quoted(config.SourceCDIAnnotation, prefix)...)
	}
	list := devices.FromAnnotations(g.container.Spec.Annotations, g.config.CDI.AnnotationPrefixes)
	if len(list) > maxAnnotations {
		template := newRequest(config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: "cdi.k8s.io/*"}, fmt.Sprintf("%d annotations", len(list)))
		return []*request{template.mistake(fmt.Errorf("more than %d are too many", maxAnnotations))}
	}
	for _, a := range list {
		template := newRequest(config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: a.Key}, a.Value)
		template.Driver, template.pin = config.DriverAnyCDI, config.DriverAnyCDI
		var requests []*request
		torn := g.torn(a.Key, a.Value, g.kinds(a))
		switch {
		case g.enginesOwn(a):
			out = append(out, g.served(template, a)...)
			continue
		case torn != nil:
			requests = []*request{template.mistake(torn)}
		case len(a.Value) > maxValue:
			requests = []*request{template.mistake(fmt.Errorf("it is longer than %d bytes", maxValue))}
		case a.Err != nil:
			requests = []*request{template.mistake(a.Err)}
		default:
			var ids []string
			for _, n := range a.Names {
				ids = append(ids, n.String())
			}
			requests = g.split(template, ids, false)
		}
		if !g.own(a) {
			for _, r := range requests {
				r.refuse("%s", g.notOwn())
				r.hint = "a device plugin sets it on the container; a pod's author asks by what the administrator lets count"
			}
		}
		out = append(out, requests...)
	}
	return out
}

// own reports whether an annotation is known to be the container's own.
func (g *gatherer) own(a devices.Annotated) bool {
	v, found := g.container.OwnAnnotations()[a.Key]
	return found && v == a.Value
}

// notOwn is the reason to refuse an annotation that is not.
func (g *gatherer) notOwn() string {
	switch {
	case g.container.Doubt() != nil:
		return "the engine is in doubt, so it is not known whose annotation it is"
	case g.container.Engine() == state.Containerd:
		return "containerd does not tell a container's own annotations from its pod's"
	}
	return "it is the pod's annotation, not the container's own"
}

// enginesOwn reports whether the engine has applied the annotation itself. containerd takes it for the engine's wherever it
// comes from: nobody can tell.
func (g *gatherer) enginesOwn(a devices.Annotated) bool {
	engine := g.container.Engine()
	return g.container.Doubt() == nil && g.config.Owns(engine, config.SourceCDIAnnotation) && strings.HasPrefix(a.Key, config.EnginePrefix) &&
		(engine == state.Containerd || g.own(a))
}

// served are the requests of an annotation that the engine has applied. What we cannot read in it is for the engine to
// judge.
func (g *gatherer) served(template *request, a devices.Annotated) []*request {
	var ids []string
	for id := range strings.SplitSeq(a.Value, ",") {
		if _, err := devices.ParseName(strings.TrimSpace(id), ""); err == nil && strings.Contains(id, "=") && len(ids) < maxDevices {
			ids = append(ids, strings.TrimSpace(id))
		}
	}
	requests := g.split(template, ids, false)
	if len(requests) == 0 {
		requests = []*request{template.with(nil, nil)}
	}
	for _, r := range requests {
		r.engine, r.err = true, nil
		r.Status, r.Reason = plan.Present, engineName(g.container.Engine())+" applies it itself"
	}
	return requests
}
