package hook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// EngineOf returns the engine of this name as containers state it, or why there is none.
func EngineOf(name string) (string, error) {
	if name == "crio" {
		return state.CRIO, nil
	}
	if !slices.Contains(state.Engines(), name) {
		return "", fmt.Errorf("engine %q is not one of: %s", name, strings.Join(state.Engines(), ", "))
	}
	return name, nil
}

// sourcesFor returns the sources that count for the container, highest first, and what decides it.
func sourcesFor(c *config.Config, container *state.Container) (sources []string, key string) {
	return c.SourcesFor(container.Engine(), container.PodNamespace(), container.Doubt() != nil)
}

// doubted is the warning that a container's engine is in doubt, or nil.
func doubted(container *state.Container) *fault.Error {
	doubt := container.Doubt()
	if doubt == nil {
		return nil
	}
	return fault.New(fault.EngineNote, "engine of the container", "%w; the strictest policy holds", doubt).
		WithHint("if nobody has forged it, name the engine in the hook's definition (gpu-hook install --engine) or remove the annotation")
}

// engineName is how an engine's makers spell it.
func engineName(engine string) string {
	if engine == state.CRIO {
		return "CRI-O"
	}
	return engine
}

// asksBy returns the first annotation by which a container asks for something, or "". It is for a container of which
// nothing but its annotations is known.
func asksBy(annotations map[string]string, prefixes []string) string {
	ours, _, _ := strings.Cut(AnnotationGPUs, "/")
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(key, ours+"/") || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
			return key
		}
	}
	return ""
}
