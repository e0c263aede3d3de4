package request

import (
	"fmt"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// cdiAnnotations reads cdi.k8s.io/* and the other configured prefixes. Under CRI-O only the container's own annotations
// count: the kubelet writes these, while whoever may create a pod writes the pod's.
func (g *gatherer) cdiAnnotations() []*Request {
	var out []*Request
	for _, prefix := range g.config.CDI.AnnotationPrefixes {
		out = append(out, g.quoted(config.SourceCDIAnnotation, prefix)...)
	}
	out = append(out, g.nearCDI()...)
	list := devices.FromAnnotations(g.container.Spec.Annotations, g.config.CDI.AnnotationPrefixes)
	if len(list) > maxAnnotations {
		source := config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: "cdi.k8s.io/*"}
		template := New(source, fmt.Sprintf("%d annotations", len(list)))
		return []*Request{template.mistake(fmt.Errorf("more than %d are too many", maxAnnotations))}
	}
	for _, a := range list {
		out = append(out, g.cdiAnnotation(a)...)
	}
	return out
}

func (g *gatherer) cdiAnnotation(a devices.Annotated) []*Request {
	template := New(config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: a.Key}, a.Value)
	template.Driver, template.Pin = config.DriverAnyCDI, config.DriverAnyCDI
	if g.enginesOwn(a) {
		return g.served(template, a)
	}
	requests := g.cdiDevices(template, a)
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
	case len(a.Value) > maxValue:
		return []*Request{template.mistake(fmt.Errorf("it is longer than %d bytes", maxValue))}
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
		if err == nil && strings.Contains(id, "=") && len(ids) < maxDevices {
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
