package request

import (
	"fmt"
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// gatherer collects the requests that a container carries.
type gatherer struct {
	config    *config.Config
	container *state.Container
	flag      *string // explain's --gpus, in the place of the annotation

	ownAnnotations func() map[string]string // see [gatherer.own]
}

// Gather returns every request that the container carries: those of the sources that count for it, highest source
// first, and then, with the status Refused, those of the other sources. The infra container of a pod requests nothing.
//
// flag is the value of explain's --gpus, which takes the place of the annotation gpu-hook/gpus, or nil.
func Gather(c *config.Config, container *state.Container, flag *string) []*Request {
	g := &gatherer{config: c, container: container, flag: flag}
	order, key := Sources(c, container)
	var out []*Request
	for _, source := range order {
		out = append(out, bounded(source, g.from(source))...)
	}
	for _, source := range config.Sources() {
		if slices.Contains(order, source) {
			continue
		}
		for _, r := range bounded(source, g.from(source)) {
			switch {
			case r.Status == plan.Empty:
			case r.Engine:
				out = append(out, r)
			default:
				out = append(out, r.Refuse("%s does not list %q", key, source))
			}
		}
	}
	if len(out) > 0 && container.Infra() {
		return nil
	}
	return out
}

// bounded returns the requests of a source, or one mistake in the place of those that the engine does not serve itself,
// if there are too many: each is compared with all others.
func bounded(source string, requests []*Request) []*Request {
	served, others := []*Request{}, []*Request{}
	for _, r := range requests {
		if r.Engine {
			served = append(served, r)
		} else {
			others = append(others, r)
		}
	}
	if len(others) <= limits.Requests {
		return requests
	}
	r := New(config.Source{Kind: source}, fmt.Sprintf("%d requests", len(others)))
	return append(served, r.mistake(fmt.Errorf("more than %d are too many", limits.Requests)))
}

// keys returns the keys of the annotations that match, sorted.
func (g *gatherer) keys(match func(key string) bool) []string {
	var out []string
	for key := range g.container.Spec.Annotations {
		if match(key) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// some returns the first of the keys, as many as are reported one by one.
func some(keys []string) []string { return keys[:min(len(keys), limits.Annotations)] }

func (g *gatherer) from(source string) []*Request {
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
