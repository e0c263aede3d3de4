package request

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
)

// minNearName is the length from which a variable's name is compared with others: one letter in a short name makes
// another word of it. internal/quiet has it too.
const minNearName = 12

// nearVariables returns a refused request for each variable whose name is nearly one that requests devices
// (NVIDIA_VISIBLE_DEVICE, NVIDIA_VISBLE_DEVICES): one letter is wrong, or the case of letters. As with annotations, it
// never stops a start. CUDA_VISIBLE_DEVICES is not among them: CUDA reads it, to choose among the GPUs that it sees.
func (g *gatherer) nearVariables() []*Request {
	if g.container.Spec.Process == nil || EnvClosed(g.config, g.container) != "" {
		return nil // spelt rightly, it would ask for nothing either
	}
	var out []*Request
	for _, entry := range g.container.Spec.Process.Env {
		name, value, _ := strings.Cut(entry, "=")
		meant := g.nearVariable(name)
		if meant == "" || value == "" || value == "void" || value == "none" || len(out) == maxNearly {
			continue
		}
		r := New(Env(name), value)
		r.Weak = true
		r.Hint = "if it is meant to ask for devices, its name is " + meant
		out = append(out, r.Refuse("gpu-hook does not read this variable, which is nearly %s", meant))
	}
	return out
}

// nearVariable returns the variable that requests devices and is nearly the one with this name, or "".
func (g *gatherer) nearVariable(unsafeName string) string {
	if len(unsafeName) < minNearName-1 || len(letters(unsafeName))+strings.Count(unsafeName, "_") != len(unsafeName) {
		return ""
	}
	names := slices.Clone(g.config.Requests.PreferredEnv)
	for i := range g.config.Vendors {
		names = append(names, g.config.Vendors[i].Env)
	}
	if slices.Contains(names, unsafeName) {
		return ""
	}
	for _, name := range names {
		if len(name) >= minNearName && oneEdit(strings.ToLower(unsafeName), strings.ToLower(name)) {
			return name
		}
	}
	return ""
}

// nearCDI returns a refused request for each key that is nearly that of a CDI annotation (cdi.k8s.oi/x, cdi.k8s/x) and
// whose value names CDI devices. It never stops a start either.
//
// It runs at every start, and so looks closely only at keys that begin with "cdi".
func (g *gatherer) nearCDI() []*Request {
	var out []*Request
	keys := g.keys(func(key string) bool { return g.isNearlyCDI(key) && namesDevices(g.container.Spec.Annotations[key]) })
	for _, key := range keys[:min(len(keys), maxNearly)] {
		value := g.container.Spec.Annotations[key]
		r := New(config.Source{Kind: config.SourceCDIAnnotation, UnsafeKey: key}, value)
		r.Weak = true
		r.Hint = "if it is meant to ask for devices, its key begins with " + config.EnginePrefix
		out = append(out, r.Refuse("gpu-hook does not read this key, which is nearly %s", config.EnginePrefix))
	}
	return out
}

// isNearlyCDI reports whether the key's domain is that of CDI annotations, but for one letter, its last word or its
// dots.
func (g *gatherer) isNearlyCDI(unsafeKey string) bool {
	const begin, domain = "cdi", "cdik8sio"
	if len(unsafeKey) < len(begin) || !strings.EqualFold(unsafeKey[:len(begin)], begin) ||
		len(unsafeKey) > maxNearlyKey || strings.HasPrefix(unsafeKey, config.EnginePrefix) ||
		slices.ContainsFunc(g.config.CDI.AnnotationPrefixes, func(p string) bool { return strings.HasPrefix(unsafeKey, p) }) {
		return false
	}
	before, _, _ := strings.Cut(unsafeKey, "/")
	words := letters(before)
	return oneEdit(words, domain) || words == "cdik8s" || words == "cdikubernetesio"
}

// namesDevices reports whether a text looks like a qualified CDI name, or several.
func namesDevices(unsafeValue string) bool {
	kind, device, found := strings.Cut(unsafeValue, "=")
	return found && device != "" && strings.Contains(kind, "/")
}
