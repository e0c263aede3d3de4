package request

import (
	"fmt"
	"strings"
	"sync"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// cdiAnnotations reads cdi.k8s.io/* and the other configured prefixes. Under CRI-O only the container's own annotations
// count: the kubelet writes these, while whoever may create a pod writes the pod's.
func (g *gatherer) cdiAnnotations() []*Request {
	out := g.quoted(config.SourceCDIAnnotation, g.config.CDI.AnnotationPrefixes...)
	var list []devices.Annotated
	var served []*Request
	for _, a := range devices.FromAnnotations(g.container.Spec.Annotations, g.config.CDI.AnnotationPrefixes) {
		switch {
		case !g.enginesOwn(a):
			list = append(list, a)
		case len(served) < limits.Requests: // how many there are is for the engine to judge
			served = append(served, g.served(g.cdiTemplate(a), a)...)
		}
	}
	out = append(out, g.nearCDI()...)
	out = append(out, served[:min(len(served), limits.Requests)]...)
	if r := g.tooMany(list); r != nil {
		return append(out, r)
	}
	for _, a := range list {
		out = append(out, g.cdiAnnotation(a)...)
	}
	return out
}

// tooMany returns one request in the place of more annotations, or of more devices in them, than a container may have.
// It returns nil if there are no more.
func (g *gatherer) tooMany(list []devices.Annotated) *Request {
	names, own := 0, false
	for _, a := range list {
		names, own = names+len(a.Names), own || g.own(a)
	}
	source := config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: "cdi.k8s.io/*"}
	var r *Request
	switch {
	case len(list) > limits.Annotations:
		r = New(source, fmt.Sprintf("%d annotations", len(list))).mistake(
			fmt.Errorf("more than %d are too many", limits.Annotations))
	case names > limits.Devices:
		r = New(source, fmt.Sprintf("%d devices", names)).mistake(fmt.Errorf("more than %d are too many", limits.Devices))
	default:
		return nil
	}
	if !own {
		r.Refuse("%s", g.notOwn())
	}
	return r
}

// cdiTemplate returns a request of the annotation for nothing yet.
func (g *gatherer) cdiTemplate(a devices.Annotated) *Request {
	template := New(config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: a.Key}, a.Value)
	template.Driver, template.Pin = config.DriverAnyCDI, config.DriverAnyCDI
	return template
}

// cdiAnnotation returns the requests of an annotation that the engine has not applied.
func (g *gatherer) cdiAnnotation(a devices.Annotated) []*Request {
	requests := g.cdiDevices(g.cdiTemplate(a), a)
	if !g.own(a) {
		for _, r := range requests {
			r.Refuse("%s", g.notOwn())
			r.Hint = "a device plugin sets it on the container; a pod's author asks by what the administrator lets count"
		}
	}
	return requests
}

func (g *gatherer) cdiDevices(template *Request, a devices.Annotated) []*Request {
	torn := g.torn(a.Key, a.Value, g.kinds(a))
	switch {
	case torn != nil:
		return []*Request{template.mistake(torn)}
	case len(a.Value) > limits.Value:
		return []*Request{template.mistake(fmt.Errorf("it is longer than %d bytes", limits.Value))}
	case a.Err != nil:
		return []*Request{template.mistake(fault.New(fault.Request, "", "%w", a.Err).
			WithHint("write qualified names, for example nvidia.com/gpu=all; gpu-hook devices lists them"))}
	}
	var ids []string
	for _, n := range a.Names {
		ids = append(ids, n.String())
	}
	return g.split(template, ids, false)
}

// own reports whether an annotation is known to be the container's own.
func (g *gatherer) own(a devices.Annotated) bool {
	if g.ownAnnotations == nil {
		g.ownAnnotations = sync.OnceValue(g.container.OwnAnnotations) // which decodes them
	}
	v, found := g.ownAnnotations()[a.Key]
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

// enginesOwn reports whether the engine has applied the annotation itself. containerd applies it wherever it comes
// from, so that there is nothing to tell apart.
func (g *gatherer) enginesOwn(a devices.Annotated) bool {
	engine := g.container.Engine()
	return g.container.Doubt() == nil &&
		g.config.Owns(engine, config.SourceCDIAnnotation) &&
		strings.HasPrefix(a.Key, config.EnginePrefix) &&
		(engine == state.Containerd || g.own(a))
}

// served returns the requests of an annotation that the engine has applied. What gpu-hook cannot read in it is for the
// engine to judge.
func (g *gatherer) served(template *Request, a devices.Annotated) []*Request {
	var ids []string
	for id := range strings.SplitSeq(a.Value, ",") {
		_, err := devices.ParseName(strings.TrimSpace(id), "")
		if err == nil && strings.Contains(id, "=") && len(ids) < limits.Devices {
			ids = append(ids, strings.TrimSpace(id))
		}
	}
	requests := g.split(template, ids, false)
	if len(requests) == 0 {
		requests = []*Request{template.With(nil, nil)}
	}
	for _, r := range requests {
		r.Engine, r.Err = true, nil
		r.Status, r.Reason = plan.Present, EngineName(g.container.Engine())+" applies it itself"
	}
	return requests
}
