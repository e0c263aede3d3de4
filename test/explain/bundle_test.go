package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// bundle is a bundle that a case describes in words.
type bundle struct {
	spec     specs.Spec
	pod, own map[string]string // annotations of the pod and, under CRI-O, of the container itself
	labels   map[string]string
}

func newBundle() *bundle {
	return &bundle{
		spec: specs.Spec{
			Version: "1.2.0", Root: &specs.Root{Path: "rootfs"}, Hooks: &specs.Hooks{},
			Process: &specs.Process{Args: []string{"true"}, Cwd: "/", Capabilities: &specs.LinuxCapabilities{}},
			Linux:   &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}}},
		},
		pod: map[string]string{}, own: map[string]string{},
		labels: map[string]string{
			"io.kubernetes.container.name": "main", "io.kubernetes.pod.name": "pod", "io.kubernetes.pod.namespace": "default",
		},
	}
}

// say adds what a word of the form kind:rest describes. Files that it needs are made below dir.
func (b *bundle) say(dir, word string) error {
	kind, rest, _ := strings.Cut(word, ":")
	key, value, _ := strings.Cut(rest, "=")
	switch kind {
	case "pod", "note":
		b.pod[key] = value
	case "own":
		b.own[key] = value
	case "label":
		b.labels[key] = value
	case "env":
		b.spec.Process.Env = append(b.spec.Process.Env, rest)
	case "mount": // of /dev/null
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Source: "/dev/null", Destination: rest, Type: "bind"})
	case "bind":
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Source: key, Destination: value, Type: "bind"})
	case "cgroup":
		b.spec.Linux.CgroupsPath = rest
	case "cap":
		b.spec.Process.Capabilities.Bounding = append(b.spec.Process.Capabilities.Bounding, rest)
	case "ns":
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(rest)})
	case "no":
		b.spec.Linux.Namespaces = slices.DeleteFunc(b.spec.Linux.Namespaces,
			func(ns specs.LinuxNamespace) bool { return string(ns.Type) == rest })
	case "device":
		d := specs.LinuxDevice{Path: key, Type: "c"}
		if _, err := fmt.Sscanf(value, "%d:%d", &d.Major, &d.Minor); err != nil {
			return err
		}
		b.spec.Linux.Devices = append(b.spec.Linux.Devices, d)
	case "prestart":
		//nolint:staticcheck // deprecated, but NVIDIA's tools write it
		b.spec.Hooks.Prestart = append(b.spec.Hooks.Prestart, specs.Hook{Path: rest})
	case "createRuntime":
		b.spec.Hooks.CreateRuntime = append(b.spec.Hooks.CreateRuntime, specs.Hook{Path: rest})
	case "file":
		path := filepath.Join(dir, "rootfs", rest)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600))
	default:
		return errors.New("not a word that is known")
	}
	return nil
}

// write writes the bundle. For CRI-O it has the annotations that CRI-O gives to a container of a pod, in CRI-O's order:
// the pod's first, then CRI-O's own, then those of the container's configuration and the kubelet's labels (CRI-O 1.37,
// internal/factory/container).
func (b *bundle) write(dir string, crio bool) error {
	b.spec.Annotations = b.pod
	if crio {
		own, err := json.Marshal(b.own)
		if err != nil {
			return err
		}
		labels, err := json.Marshal(b.labels)
		if err != nil {
			return err
		}
		for _, over := range []map[string]string{
			{
				"io.container.manager":              "cri-o",
				"io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "abc",
				"io.kubernetes.cri-o.Annotations": string(own), "io.kubernetes.cri-o.Labels": string(labels),
				"io.kubernetes.cri-o.Name": "k8s_main_pod_default_1_0", "io.kubernetes.cri-o.TTY": "false",
			}, b.own, b.labels,
		} {
			for k, v := range over {
				b.spec.Annotations[k] = v
			}
		}
		b.spec.Linux.CgroupsPath = "kubepods.slice:crio:abc"
	}
	config, err := json.Marshal(b.spec)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Join(dir, "rootfs"), 0o755),
		os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600))
}
