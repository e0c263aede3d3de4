package request

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// Annotations with a meaning to gpu-hook.
const (
	// AnnotationGPUs requests devices in the syntax of Docker's --gpus, or as a JSON list of Docker's device requests.
	// Followed by a dot and the name of a container, it is for this container of a pod alone, and takes precedence over
	// the one without.
	AnnotationGPUs = "gpu-hook/gpus"
	// AnnotationPlan is where earlier versions of gpu-hook told createRuntime what precreate had put into config.json.
	// Both stages now make the same plan, each for itself, so that nothing needs to be told or believed.
	AnnotationPlan = "gpu-hook/plan"

	annotationPrefix = "gpu-hook/"
)

// Bounds of the search for keys that are nearly gpu-hook's: how many are reported, and the length in bytes of a key,
// which in Kubernetes is a domain of 253, a slash and a name of 63.
const (
	maxNearly    = 4
	maxNearlyKey = 317
)

// ForOneContainer reports whether an annotation with this key is for one container of a pod alone.
func ForOneContainer(unsafeKey string) bool { return strings.HasPrefix(unsafeKey, AnnotationGPUs+".") }

// annotations reads gpu-hook/gpus, with and without the name of a container.
func (g *gatherer) annotations() []*Request {
	var out []*Request
	if g.flag != nil {
		out = g.gpus(config.Source{Kind: config.SourceFlag}, *g.flag)
	}
	out = append(out, g.quoted(config.SourceAnnotation, annotationPrefix)...)
	out = append(out, g.misspelt()...)
	out = append(out, g.nearly()...)
	if _, found := g.container.Spec.Annotations[AnnotationGPUs]; found {
		out = append(out, g.annotation(AnnotationGPUs)...)
	}
	keys := g.forThisContainer()
	for _, key := range some(keys) {
		out = append(out, g.annotation(key)...)
	}
	if more := len(keys) - len(some(keys)); more > 0 {
		r := New(config.Source{Kind: config.SourceAnnotation, UnsafeKey: AnnotationGPUs + ".NAME"},
			fmt.Sprintf("%d more of these", more))
		out = append(out, g.unnamed(r))
	}
	return out
}

// forThisContainer returns the keys of the annotations for one container of a pod alone that are for this one or, if it
// has no name, may be.
func (g *gatherer) forThisContainer() []string {
	keys := g.keys(ForOneContainer)
	if len(keys) == 0 {
		return nil
	}
	own := g.container.Name()
	return slices.DeleteFunc(keys, func(key string) bool { return own != "" && key != AnnotationGPUs+"."+own })
}

// annotation reads one annotation gpu-hook/gpus. If it is for one container of a pod, it is one of
// [gatherer.forThisContainer].
func (g *gatherer) annotation(key string) []*Request {
	source, value := config.Source{Kind: config.SourceAnnotation, UnsafeKey: key}, g.container.Spec.Annotations[key]
	if ForOneContainer(key) && g.container.Name() == "" {
		return []*Request{g.unnamed(New(source, value))}
	}
	if err := g.torn(key, value, devices.GPUsKeys()); err != nil {
		return []*Request{New(source, value).mistake(err)}
	}
	return g.gpus(source, value)
}

// unnamed refuses a request for one container of a pod, because it is not known which one this is.
func (g *gatherer) unnamed(r *Request) *Request {
	r.Refuse("this container has no name (annotation io.kubernetes.container.name), so it is not known " +
		"whether it is meant")
	r.Hint = unnamedHint(g.container.Engine())
	return r
}

// unnamedHint says what to do if a container's name is not known.
func unnamedHint(engine string) string {
	if engine == state.Podman {
		return "podman tells a container's name in a pod only when it starts, and only beside a host name that is the " +
			"pod's name: else use the annotation " + AnnotationGPUs
	}
	return "outside of pods use the annotation " + AnnotationGPUs
}

// misspelt returns a mistake for each key in gpu-hook's domain that gpu-hook does not know: the container would start
// without what it requests.
func (g *gatherer) misspelt() []*Request {
	unknown := func(key string) bool {
		known := key == AnnotationGPUs || key == AnnotationPlan || ForOneContainer(key) && len(key) > len(AnnotationGPUs+".")
		return !known && strings.HasPrefix(key, annotationPrefix)
	}
	var out []*Request
	for _, key := range some(g.keys(unknown)) {
		r := New(config.Source{Kind: config.SourceAnnotation, UnsafeKey: key}, g.container.Spec.Annotations[key])
		out = append(out, r.mistake(fault.New(fault.Request, "", "gpu-hook knows no annotation of this key").
			WithHint("write %s, or %s.NAME for one container of a pod; another's key must go", AnnotationGPUs, AnnotationGPUs)))
	}
	return out
}

// nearly returns a refused request for each key that is nearly gpu-hook's but of another domain ("gpuhook/gpus",
// "io.gpu-hook/gpus", "GPU-Hook/gpus"): whoever wrote it believes to have asked. The domain may be somebody else's, so
// it never stops a start: the requests are weak, and on-refused does not make errors of those.
//
// It runs at every start, and so looks closely only at keys that contain "gpu".
func (g *gatherer) nearly() []*Request {
	keys := g.keys(func(key string) bool { return mentionsGPU(key) && isNearly(key) })
	var out []*Request
	for _, key := range keys[:min(len(keys), maxNearly)] {
		r := New(config.Source{Kind: config.SourceAnnotation, UnsafeKey: key}, g.container.Spec.Annotations[key])
		r.Weak = true
		r.Hint = fmt.Sprintf("if it is meant for gpu-hook: %s, or %s.NAME for one container of a pod",
			AnnotationGPUs, AnnotationGPUs)
		out = append(out, r.Refuse("gpu-hook does not read this key, which is nearly %s", AnnotationGPUs))
	}
	return out
}

// mentionsGPU reports whether the key contains "gpu" in letters of any case.
func mentionsGPU(unsafeKey string) bool {
	for i := 0; i+2 < len(unsafeKey); i++ {
		if unsafeKey[i]|' ' == 'g' && unsafeKey[i+1]|' ' == 'p' && unsafeKey[i+2]|' ' == 'u' {
			return true
		}
	}
	return false
}

// isNearly reports whether somebody who means gpu-hook/gpus may have written the key: its domain is gpu-hook, perhaps
// with one letter wrong, or it has these words in this order, whatever the letters' case and whatever stands between
// and before them. Keys in gpu-hook's own domain are not among them: see [gatherer.misspelt].
func isNearly(unsafeKey string) bool {
	const domain, name = "gpuhook", "gpu"
	bare := strings.TrimPrefix(unsafeKey, `"`) // see [gatherer.quoted]
	if len(unsafeKey) > maxNearlyKey || strings.HasPrefix(bare, annotationPrefix) {
		return false
	}
	before, after, slash := strings.Cut(unsafeKey, "/")
	switch words := letters(before); {
	case words == domain:
		return true
	case slash && strings.HasPrefix(letters(after), name) && oneEdit(words, domain):
		return true
	}
	_, rest, found := strings.Cut(letters(unsafeKey), domain)
	return found && strings.Contains(rest, name)
}

// letters returns the ASCII letters and digits of a text, small.
func letters(unsafeText string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, unsafeText)
}

// oneEdit reports whether a is b but for one character more, less or other, or two neighbours exchanged.
func oneEdit(a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return swapped || len(a) <= 1 && len(b) <= 1
}

// gpus reads the value of the annotation.
func (g *gatherer) gpus(source config.Source, unsafeValue string) []*Request {
	template := New(source, unsafeValue)
	if len(unsafeValue) > limits.Value {
		return []*Request{template.mistake(fmt.Errorf("it is longer than %d bytes", limits.Value))}
	}
	list, err := devices.ParseRequests(unsafeValue)
	switch json := strings.ContainsAny(unsafeValue, "[{"); {
	case err == nil:
		err = checkSize(list)
	case json:
		err = fault.New(fault.Request, "", "%w", err).WithHint(`write for example [{"Driver":"nvidia","DeviceIDs":["0"]}]`)
	}
	if err != nil {
		return []*Request{template.mistake(err)}
	}
	var out []*Request
	for _, asked := range list {
		out = append(out, g.docker(template, asked)...)
	}
	return out
}

// checkSize bounds the devices of several requests together, as those of one are bounded.
func checkSize(list []devices.Request) error {
	total := 0
	for _, asked := range list {
		total += max(asked.Count, 0) + len(asked.DeviceIDs)
	}
	if total > limits.Devices {
		return fmt.Errorf("%d devices are more than any host has (%d)", total, limits.Devices)
	}
	return nil
}
