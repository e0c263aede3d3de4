package state

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The engines that gpu-hook knows. "" stands for a bare runtime or any other engine.
const (
	Podman     = "podman"
	CRIO       = "cri-o"
	Containerd = "containerd"
	Buildah    = "buildah" // podman build too
)

// Engines returns all engines that gpu-hook knows.
func Engines() []string { return []string{Podman, CRIO, Containerd, Buildah} }

// Annotations that engines put on a container. Each is only a claim: the author of an image or a pod may write it too.
const (
	annotationManager = "io.container.manager"
	// annotationOwn holds, under CRI-O, the annotations of the container itself as JSON, without those of its pod. CRI-O
	// overwrites a pod's annotation of this name.
	annotationOwn = "io.kubernetes.cri-o.Annotations"
	// The kubelet's labels, which CRI-O copies into the annotations last: no annotation overrides them.
	annotationName      = "io.kubernetes.container.name"
	annotationNamespace = "io.kubernetes.pod.namespace"
	annotationPod       = "io.kubernetes.pod.name"
	// prefixContainerd begins the keys of all annotations that containerd writes.
	prefixContainerd       = "io.kubernetes.cri."
	annotationCRIType      = prefixContainerd + "container-type"
	annotationCRIName      = prefixContainerd + "container-name"
	annotationCRINamespace = prefixContainerd + "sandbox-namespace"
	annotationCRIPod       = prefixContainerd + "sandbox-name"
	containerTypeSandbox   = "sandbox"
	infraName              = "POD" // the kubelet's name for an infra container
)

// identity is which engine a container belongs to.
type identity struct {
	engine string
	doubt  error
	caller *Caller
}

// Identify determines which engine the container belongs to; until then it belongs to none. told is the engine that the
// hook's definition names, or "". The evidence is what annotations cannot forge: told, the form of the cgroup's path
// with the container's id in it, the id itself, and the caller, which may be nil. An annotation is only a claim: if it
// names another engine than the evidence does, there is a [Container.Doubt].
func (c *Container) Identify(told string, caller *Caller) {
	c.identity = identity{caller: caller}
	proven := c.engineByForm()
	if proven == "" && caller.conmon(c.State.ID) != nil {
		proven = Podman
	}
	c.identity.engine, c.identity.doubt = c.weigh(told, proven)
}

// Claimed returns the engine that the annotations name if there is no other evidence, or "". It is for commands that
// only explain: no hook's caller is there to look at, and nothing is given to the container. [Container.Identify] may
// be told it.
func (c *Container) Claimed() string {
	claims := c.claims()
	if len(claims) == 0 || c.engineByForm() != "" || !slices.Contains(Engines(), claims[0].engine) {
		return ""
	}
	return claims[0].engine
}

// weigh decides between the engine that the hook's definition names, the one that the form or the caller proves, and
// the claims. doubt says which of them contradict each other.
func (c *Container) weigh(told, proven string) (engine string, doubt error) {
	switch {
	case told == "", told == proven, proven == "":
		engine = told
		if told == "" {
			engine = proven
		}
	case told == Podman && proven == Buildah: // podman build uses Buildah
		engine = Buildah
	default:
		return proven, fmt.Errorf("the hook's definition is for %s, and the container is %s's", told, proven)
	}
	for _, claim := range c.claims() {
		switch {
		case engine == "":
			return "", fmt.Errorf("annotation %s says %s, and nothing proves it", claim.key, claim.engine)
		case claim.engine != engine:
			return engine, fmt.Errorf("annotation %s says %s, and the container is %s's", claim.key, claim.engine, engine)
		}
	}
	return engine, nil
}

// engineByForm returns the engine that gives containers ids and cgroups of this form, or "".
func (c *Container) engineByForm() string {
	id := c.State.ID
	if build, found := strings.CutPrefix(id, "buildah-"); found && build == filepath.Base(c.State.Bundle) {
		return Buildah
	}
	if c.Spec.Linux == nil || c.Spec.Linux.CgroupsPath == "" {
		return ""
	}
	scope, name := "", path.Base(c.Spec.Linux.CgroupsPath)
	if parts := strings.Split(c.Spec.Linux.CgroupsPath, ":"); len(parts) == 3 {
		scope, name = parts[1], parts[2]
	}
	// named reports whether the cgroup's name is the prefix and the container's id.
	named := func(prefix string) bool {
		rest, found := strings.CutPrefix(name, prefix)
		return found && rest != "" && (id == "" || rest == id)
	}
	switch {
	case scope == "libpod" && named(""), scope == "" && (named("libpod-payload-") || named("libpod-")):
		return Podman
	case scope == "crio" && named(""), scope == "" && named("crio-"):
		return CRIO
	case (scope == "cri-containerd" || scope == "") && named("") && c.Spec.Annotations[annotationCRIType] != "":
		return Containerd
	}
	return ""
}

// claim is an annotation that only one engine writes.
type claim struct{ key, engine string }

// claims returns what the annotations say about the engine, in the order of their keys.
func (c *Container) claims() []claim {
	var out []claim
	for key, value := range c.Spec.Annotations {
		if engine := claimedEngine(key, value); engine != "" {
			out = append(out, claim{key, engine})
		}
	}
	slices.SortFunc(out, func(a, b claim) int { return strings.Compare(a.key, b.key) })
	return out
}

// claimedEngine returns the engine that an annotation claims, or "" if the annotation says nothing about it:
//   - podman writes some of CRI-O's keys too (Created, TTY, SandboxID, ContainerType);
//   - users write others, as requests to CRI-O;
//   - the container's type is no claim: a user's request must not be refused because an image calls itself a sandbox.
func claimedEngine(key, value string) string {
	switch key {
	case annotationManager:
		if value == "" {
			return ""
		}
		if engine, known := map[string]string{"libpod": Podman, "cri-o": CRIO}[value]; known {
			return engine
		}
		return "an unknown engine" // not the value itself, which anybody may have written
	case annotationCRIType:
		return ""
	case annotationOwn, "io.kubernetes.cri-o.ContainerID", "io.kubernetes.cri-o.Labels", "io.kubernetes.cri-o.Metadata",
		"io.kubernetes.cri-o.MountPoint", "io.kubernetes.cri-o.Name", "io.kubernetes.cri-o.SandboxName":
		return CRIO
	}
	if strings.HasPrefix(key, prefixContainerd) {
		return Containerd
	}
	return ""
}

// Engine returns the container's engine, or "" for a bare runtime or an engine that gpu-hook does not know. If there is
// a [Container.Doubt], it is what the better evidence says, and no privilege may follow from it.
func (c *Container) Engine() string { return c.identity.engine }

// Doubt returns, as an error, what is contradictory about the engine, or nil.
func (c *Container) Doubt() error { return c.identity.doubt }

// Infra reports whether this is the infra container of a pod, which runs no program of the user. Only evidence counts
// that an ordinary container cannot have. podman's infra container has none, and it gets none of the requests of its
// pod's containers.
func (c *Container) Infra() bool {
	switch c.identity.engine {
	case CRIO:
		return c.Spec.Annotations[annotationName] == infraName
	case Containerd:
		return c.Doubt() == nil && c.Spec.Annotations[annotationCRIType] == containerTypeSandbox
	}
	return false
}

// Name returns the container's name in its pod, or "". podman knows a pod's container only as POD-CONTAINER; the first
// part is the host name that podman gives to the pod.
func (c *Container) Name() (unsafeName string) {
	switch c.identity.engine {
	case Containerd:
		return c.Spec.Annotations[annotationCRIName]
	case Podman:
		if name, found := strings.CutPrefix(c.podmanName(), c.hostname()+"-"); found {
			return name
		}
	}
	return c.Spec.Annotations[annotationName]
}

// Names are what an engine calls a container. People who start containers, and the authors of pods, have chosen them.
type Names struct {
	Name string // podman's name of the container, or that of the container in its pod
	// Pod and Namespace are those of Kubernetes, else "".
	Pod, Namespace string
}

// Names returns what the engine calls the container, as far as the engine itself tells the hook. There are none if
// there is a [Container.Doubt]. For podman's it reads up to three files in /proc.
func (c *Container) Names() (unsafe Names) {
	switch {
	case c.Doubt() != nil:
	case c.identity.engine == Podman:
		return Names{Name: c.podmanName()}
	case c.identity.engine == CRIO:
		return Names{c.Spec.Annotations[annotationName], c.Spec.Annotations[annotationPod], c.PodNamespace()}
	case c.identity.engine == Containerd:
		return Names{c.Spec.Annotations[annotationCRIName], c.Spec.Annotations[annotationCRIPod], c.PodNamespace()}
	}
	return Names{}
}

// podmanName returns the container's whole name, which podman has passed to conmon, or "".
func (c *Container) podmanName() string {
	return flagValue(c.identity.caller.conmon(c.State.ID), "-n", "--name")
}

// hostname returns what podman has written into the file that it mounts on /etc/hostname, or "".
func (c *Container) hostname() string {
	for _, m := range c.Spec.Mounts {
		if m.Destination == "/etc/hostname" && strings.Contains(m.Source, "/"+c.State.ID+"/") {
			data, err := readSmall(m.Source)
			if err != nil {
				return ""
			}
			return strings.TrimSpace(string(data))
		}
	}
	return ""
}

// PodNamespace returns the Kubernetes namespace of the container's pod, or "". Only a namespace that the engine itself
// has written counts.
func (c *Container) PodNamespace() string {
	switch {
	case c.Doubt() != nil:
	case c.identity.engine == CRIO:
		return c.Spec.Annotations[annotationNamespace]
	case c.identity.engine == Containerd:
		return c.Spec.Annotations[annotationCRINamespace]
	}
	return ""
}

// OwnAnnotations returns the annotations of the container itself, without those of its pod. CRI-O copies the pod's
// annotations onto the container and lists the container's own ones separately. Under containerd, and if there is a
// [Container.Doubt], the two cannot be told apart and there are none. Elsewhere all annotations are the container's
// own.
func (c *Container) OwnAnnotations() map[string]string {
	switch {
	case c.Doubt() != nil, c.identity.engine == Containerd:
		return nil
	case c.identity.engine != CRIO:
		return c.Spec.Annotations
	}
	var own map[string]string
	if err := json.Unmarshal([]byte(c.Spec.Annotations[annotationOwn]), &own); err != nil {
		return nil
	}
	return own
}
