package state

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Engines, and "" for a bare runtime or an engine that is not known.
const (
	Podman     = "podman"
	CRIO       = "cri-o"
	Containerd = "containerd"
	Buildah    = "buildah" // podman build too
)

// Engines are all that are known.
func Engines() []string { return []string{Podman, CRIO, Containerd, Buildah} }

// Annotations that engines leave on a container. Each is a claim: the author of an image or a pod may write it too.
const (
	annotationManager = "io.container.manager"
	// annotationOwn holds, under CRI-O, the annotations of the container itself as JSON, without those of its pod. CRI-O
	// writes it over what a pod has there.
	annotationOwn = "io.kubernetes.cri-o.Annotations"
	// The kubelet's labels, which CRI-O copies into the annotations last: no annotation overrides them.
	annotationName      = "io.kubernetes.container.name"
	annotationNamespace = "io.kubernetes.pod.namespace"
	// prefixContainerd begins all that containerd writes.
	prefixContainerd       = "io.kubernetes.cri."
	annotationCRIType      = prefixContainerd + "container-type"
	annotationCRIName      = prefixContainerd + "container-name"
	annotationCRINamespace = prefixContainerd + "sandbox-namespace"
	containerTypeSandbox   = "sandbox"
	infraName              = "POD" // that the kubelet gives to an infra container
)

// identity is whose a container is.
type identity struct {
	engine string
	doubt  error
	caller *Caller
}

// Identify settles whose the container is. told is the engine that the hook's definition names, or "". The evidence is
// what no annotation makes: that, the form of the control group's path with the container's id in it, the id itself, and
// what the kernel says of the caller, which may be nil. An annotation is a claim, and one of another engine than the
// evidence has is a reason to doubt all of it. Before, the container is nobody's.
func (c *Container) Identify(told string, caller *Caller) {
	c.identity = identity{caller: caller}
	proven := c.form()
	if proven == "" && caller.monitor(c.State.ID) != nil {
		proven = Podman
	}
	c.identity.engine, c.identity.doubt = c.judge(told, proven)
}

// Claimed returns the engine that the annotations alone say, where nothing proves another, or "". It is for who has no hook's
// caller to look at, and nothing to give: [Container.Identify] may be told it.
func (c *Container) Claimed() string {
	claims := c.claims()
	if len(claims) == 0 || c.form() != "" || !slices.Contains(Engines(), claims[0].of) {
		return ""
	}
	return claims[0].of
}

// judge holds the evidence against what is told and what is claimed.
func (c *Container) judge(told, proven string) (engine string, doubt error) {
	switch {
	case told == "", told == proven, proven == "":
		engine = told
		if told == "" {
			engine = proven
		}
	case told == Podman && proven == Buildah: // podman builds by it
		engine = Buildah
	default:
		return proven, fmt.Errorf("the hook's definition is for %s, and the container has the form of %s", told, proven)
	}
	for _, claim := range c.claims() {
		switch {
		case engine == "":
			return "", fmt.Errorf("annotation %s says %s, and nothing proves it", claim.key, claim.of)
		case claim.of != engine:
			return engine, fmt.Errorf("annotation %s says %s, and the container is %s's", claim.key, claim.of, engine)
		}
	}
	return engine, nil
}

// form returns the engine whose form the container has, or "".
func (c *Container) form() string {
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
	is := func(prefix string) bool {
		rest, found := strings.CutPrefix(name, prefix)
		return found && rest != "" && (id == "" || rest == id)
	}
	switch {
	case scope == "libpod" && is(""), scope == "" && (is("libpod-payload-") || is("libpod-")):
		return Podman
	case scope == "crio" && is(""), scope == "" && is("crio-"):
		return CRIO
	case (scope == "cri-containerd" || scope == "") && is("") && c.Spec.Annotations[annotationCRIType] != "":
		return Containerd
	}
	return ""
}

// claim is an annotation that one engine alone writes.
type claim struct{ key, of string }

// claims are what the annotations say of the engine, by the order of their keys.
func (c *Container) claims() []claim {
	var out []claim
	for key, value := range c.Spec.Annotations {
		if of := claimant(key, value); of != "" {
			out = append(out, claim{key, of})
		}
	}
	slices.SortFunc(out, func(a, b claim) int { return strings.Compare(a.key, b.key) })
	return out
}

// claimant returns the engine that an annotation is of, or "" for one that anybody has. Of CRI-O's keys podman writes
// Created, TTY, SandboxID and ContainerType too, and users write some as requests to CRI-O: those say nothing. Neither do
// the container's types: an image that calls itself a sandbox must not have a request of its user's refused.
func claimant(key, value string) string {
	switch key {
	case annotationManager:
		if value == "" {
			return ""
		}
		if engine, known := map[string]string{"libpod": Podman, "cri-o": CRIO}[value]; known {
			return engine
		}
		return "an unknown engine" // the word is a stranger's
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

// Engine is the container's engine, "" for a bare runtime or one that is not known. With a [Container.Doubt] it is what
// the better evidence says, and grants nothing.
func (c *Container) Engine() string { return c.identity.engine }

// Doubt says in words what contradicts what about the engine, or is nil.
func (c *Container) Doubt() error { return c.identity.doubt }

// Infra reports whether this is the infra container of a pod, which runs nobody's program. Only signs count that an ordinary
// container cannot have. podman's has none, and gets nothing of what its pod's containers ask by.
func (c *Container) Infra() bool {
	switch c.identity.engine {
	case CRIO:
		return c.Spec.Annotations[annotationName] == infraName
	case Containerd:
		return c.Doubt() == nil && c.Spec.Annotations[annotationCRIType] == containerTypeSandbox
	}
	return false
}

// Name is the container's name in its pod, or "". podman hands on a name of a pod's container only as that of the whole,
// POD-CONTAINER; the pod's name is the host name that it writes for it.
func (c *Container) Name() (unsafeName string) {
	switch c.identity.engine {
	case Containerd:
		return c.Spec.Annotations[annotationCRIName]
	case Podman:
		if name, found := strings.CutPrefix(c.nameAtConmon(), c.hostname()+"-"); found {
			return name
		}
	}
	return c.Spec.Annotations[annotationName]
}

// nameAtConmon is the whole container's name as podman has told its conmon, or "".
func (c *Container) nameAtConmon() string {
	return valueOf(c.identity.caller.monitor(c.State.ID), "-n", "--name")
}

// hostname is what podman has written into the file that it mounts over /etc/hostname, or "".
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

// PodNamespace is the Kubernetes namespace of the container's pod where the engine vouches for it, or "".
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

// OwnAnnotations returns the annotations of the container itself. Under CRI-O, which copies every annotation of the
// pod beside them, these are the ones that it lists apart; under containerd, and in doubt, nobody can tell and there are
// none; elsewhere they are all there are.
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
