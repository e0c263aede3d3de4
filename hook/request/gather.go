package request

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/state"
)

// Bounds of what one container may say: a value in bytes, devices, and CDI annotations.
const (
	maxValue       = 64 << 10
	maxDevices     = 4096
	maxAnnotations = 64
)

// gatherer collects the requests that a container carries.
type gatherer struct {
	config    *config.Config
	container *state.Container
	flag      *string // explain's --gpus, in the place of the annotation
}

// Gather returns every request that the container carries: those of the sources that count for it, highest source
// first, and then, with the status Refused, those of the other sources. The infra container of a pod requests nothing.
//
// flag is the value of explain's --gpus, which takes the place of the annotation gpu-hook/gpus, or nil.
func Gather(c *config.Config, container *state.Container, flag *string) []*Request {
	g := &gatherer{c, container, flag}
	order, key := Sources(c, container)
	var out []*Request
	for _, source := range order {
		out = append(out, g.from(source)...)
	}
	for _, source := range config.Sources() {
		if slices.Contains(order, source) {
			continue
		}
		for _, r := range g.from(source) {
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
