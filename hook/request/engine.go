package request

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/nearest"
	"github.com/gpu-hook/gpu-hook/nvidia"
	"github.com/gpu-hook/gpu-hook/state"
)

// EngineOf returns the engine of this name as containers state it, or an error that lists the names.
func EngineOf(name string) (string, error) {
	if name == "crio" {
		return state.CRIO, nil
	}
	if !slices.Contains(state.Engines(), name) {
		known := append(state.Engines(), "crio")
		if meant := nearest.Word(name, known); meant != "" {
			return "", fmt.Errorf("engine %q is not known; did you mean %s?", name, meant)
		}
		return "", fmt.Errorf("engine %q is not one of: %s", name, strings.Join(state.Engines(), ", "))
	}
	return name, nil
}

// EngineName returns how an engine's makers spell it.
func EngineName(engine string) string {
	if engine == state.CRIO {
		return "CRI-O"
	}
	return engine
}

// Sources returns the sources that count for the container, highest first, and the key of the configuration that
// decides it.
func Sources(c *config.Config, container *state.Container) (sources []string, key string) {
	return c.SourcesFor(container.Engine(), container.PodNamespace(), container.Doubt() != nil)
}

// Doubted returns the warning that a container's engine is in doubt, or nil.
func Doubted(container *state.Container) *fault.Error {
	doubt := container.Doubt()
	if doubt == nil {
		return nil
	}
	return fault.New(fault.EngineNote, "engine of the container", "%w; the strictest policy holds", doubt).
		WithHint("if nobody has forged it: gpu-hook install --engine ENGINE, or remove the annotation")
}

// AnnotationAsks returns the first annotation by which a container requests something, or "". It is for a container of
// which nothing but its annotations is known. prefixes are those of CDI annotations.
func AnnotationAsks(annotations map[string]string, prefixes []string) string {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		cdi := slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		if cdi || strings.HasPrefix(key, annotationPrefix) {
			return key
		}
	}
	return ""
}

// Words returns what the strings of a config.json begin with that may be requests of environment and mounts.
func Words(c *config.Config) []string {
	out := []string{nvidia.MountRoot + "/"}
	for _, name := range c.Requests.PreferredEnv {
		out = append(out, name+"=")
	}
	for i := range c.Vendors {
		if v := &c.Vendors[i]; v.Env != "" {
			out = append(out, v.Env+"=")
		}
		for _, part := range c.ContractOf(&c.Vendors[i]).Parts() {
			out = append(out, part.Variable+"=")
		}
	}
	return out
}

// WordAsks reports whether a string that begins with one of [Words] requests something that is no wish. It is for a
// container of which nothing else is known.
func WordAsks(c *config.Config, unsafeText string) bool {
	_, value, _ := strings.Cut(unsafeText, "=")
	switch {
	case strings.HasPrefix(unsafeText, nvidia.MountRoot+"/"):
		return true
	case value == "all":
		return c.Requests.EnvAll == config.AllAccept
	}
	return !contract.Reserved(value) && value != ""
}
