package state

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/fault"
)

// Engines that a container says it is managed by.
const (
	Podman = "podman"
	CRIO   = "cri-o"
	// Buildah runs the RUN lines of image builds.
	Buildah = "buildah"
)

// Annotations that engines leave on a container.
const (
	annotationManager = "io.container.manager"
	// annotationContainerType is "sandbox" on the infra container of a pod, under CRI-O and podman alike.
	annotationContainerType = "io.kubernetes.cri-o.ContainerType"
	// annotationOwn holds, under CRI-O, the annotations of the container itself as JSON, without those of its pod.
	annotationOwn = "io.kubernetes.cri-o.Annotations"
	// The kubelet's labels, which CRI-O copies into the annotations last: no annotation of a pod overrides them.
	annotationName      = "io.kubernetes.container.name"
	annotationNamespace = "io.kubernetes.pod.namespace"
)

// Container is a container as the runtime describes it to a hook. Everything in Spec is the container's own word.
type Container struct {
	State State
	Spec  *specs.Spec
}

// Load reads config.json, a regular file of at most 16 MiB, from the state's bundle. Process and Root may be nil.
func Load(s State) (*Container, error) {
	path := filepath.Join(s.Bundle, "config.json")
	spec, err := readConfig(path)
	if err != nil {
		return nil, fault.New(fault.Bundle, path, "%w", err).
			WithHint("the bundle must hold the config.json that the runtime was started with")
	}
	return &Container{State: s, Spec: spec}, nil
}

func readConfig(path string) (*specs.Spec, error) {
	// O_NONBLOCK: a FIFO in its place must not hold the container's start.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	var spec *specs.Spec
	if _, err := decode(file, maxConfig, &spec); err != nil {
		return nil, err
	}
	if spec == nil {
		return nil, errNull
	}
	return spec, nil
}

// Env returns the value of the last entry for name in the process's environment, the one that a runtime uses, and
// whether there is one.
func (c *Container) Env(name string) (unsafeValue string, set bool) {
	for _, entry := range slices.Backward(c.Environment()) {
		if k, v, ok := strings.Cut(entry, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// Environment is the process's environment, as config.json has it.
func (c *Container) Environment() (unsafeEntries []string) {
	if c.Spec.Process == nil {
		return nil
	}
	return c.Spec.Process.Env
}

// Engine is "podman", "cri-o" or, for a bare runtime or one that is not known, "".
func (c *Container) Engine() string {
	switch c.Spec.Annotations[annotationManager] {
	case "libpod":
		return Podman
	case "cri-o":
		return CRIO
	}
	return ""
}

// Infra says whether this is the infra container of a pod, which runs nobody's program.
func (c *Container) Infra() bool {
	return c.Spec.Annotations[annotationContainerType] == "sandbox"
}

// Name is the container's name in its pod, or "".
func (c *Container) Name() string { return c.Spec.Annotations[annotationName] }

// PodNamespace is the Kubernetes namespace of the container's pod, or "".
func (c *Container) PodNamespace() string { return c.Spec.Annotations[annotationNamespace] }

// OwnAnnotations returns the annotations of the container itself. Under CRI-O, which copies every annotation of the
// pod beside them, these are the ones that it lists apart; elsewhere they are all there are.
func (c *Container) OwnAnnotations() map[string]string {
	if c.Engine() != CRIO {
		return c.Spec.Annotations
	}
	var own map[string]string
	if err := json.Unmarshal([]byte(c.Spec.Annotations[annotationOwn]), &own); err != nil {
		return nil
	}
	return own
}

// Privileged says whether CAP_SYS_ADMIN is in the bounding set of the container's process.
func (c *Container) Privileged() bool {
	p := c.Spec.Process
	return p != nil && p.Capabilities != nil && slices.Contains(p.Capabilities.Bounding, "CAP_SYS_ADMIN")
}
