package request

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
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
	for _, key := range slices.Sorted(maps.Keys(g.container.Spec.Annotations)) {
		if key == AnnotationGPUs || ForOneContainer(key) {
			out = append(out, g.annotation(key)...)
		}
	}
	return out
}

// annotation reads one annotation gpu-hook/gpus. If it is for another container, it requests nothing.
func (g *gatherer) annotation(key string) []*Request {
	source, value := config.Source{Kind: config.SourceAnnotation, UnsafeKey: key}, g.container.Spec.Annotations[key]
	switch own, meant, one := g.container.Name(), strings.TrimPrefix(key, AnnotationGPUs+"."), ForOneContainer(key); {
	case one && own == "":
		r := New(source, value).Refuse("this container has no name (annotation io.kubernetes.container.name), so it is not known whether it is meant")
		r.Hint = unnamedHint(g.container.Engine())
		return []*Request{r}
	case one && own != meant:
		return nil
	}
	if err := g.torn(key, value, devices.GPUsKeys()); err != nil {
		return []*Request{New(source, value).mistake(err)}
	}
	return g.gpus(source, value)
}

// unnamedHint says what to do if a container's name is not known.
func unnamedHint(engine string) string {
	if engine == state.Podman {
		return "podman tells a container's name in a pod only when it starts, and only beside a host name that is the pod's name: else use the annotation " + AnnotationGPUs
	}
	return "outside of pods use the annotation " + AnnotationGPUs
}

// misspelt returns a mistake for each key in gpu-hook's domain that gpu-hook does not know: the container would start
// without what it requests.
func (g *gatherer) misspelt() []*Request {
	var out []*Request
	for _, key := range slices.Sorted(maps.Keys(g.container.Spec.Annotations)) {
		known := key == AnnotationGPUs || key == AnnotationPlan || ForOneContainer(key) && len(key) > len(AnnotationGPUs+".")
		if known || !strings.HasPrefix(key, annotationPrefix) {
			continue
		}
		r := New(config.Source{Kind: config.SourceAnnotation, UnsafeKey: key}, g.container.Spec.Annotations[key])
		out = append(out, r.mistake(fault.New(fault.Request, "", "gpu-hook knows no annotation of this key").
			WithHint("write %s, or %s.NAME for the container NAME of a pod alone; if it is not meant for gpu-hook, it must go", AnnotationGPUs, AnnotationGPUs)))
	}
	return out
}

// gpus reads the value of the annotation.
func (g *gatherer) gpus(source config.Source, unsafeValue string) []*Request {
	template := New(source, unsafeValue)
	if len(unsafeValue) > maxValue {
		return []*Request{template.mistake(fmt.Errorf("it is longer than %d bytes", maxValue))}
	}
	list, err := devices.ParseRequests(unsafeValue)
	if err == nil {
		err = checkSize(list)
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
	if total > maxDevices {
		return fmt.Errorf("%d devices are more than any host has (%d)", total, maxDevices)
	}
	return nil
}
