package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

const (
	gpus   = 8
	mounts = 40
	// instances are the MIG instances of each GPU in a Spec of 1,025 devices. Each has two names, as each GPU has, and
	// one device is "all".
	instances = 63
)

// shape is what differs between the hosts and containers that are measured.
type shape struct {
	instances   int      // MIG instances of each GPU
	others      int      // Spec files of other vendors
	env         []string // of the container
	annotations int      // of others
	padding     int      // bytes of variables of others
	noSpec      bool     // the delegate serves
}

// place is a synthetic host with a container's bundle, and the flat list of edits that floor applies.
type place struct {
	*gpuhost.Host
	bundle string
}

func newPlace(dir string, s shape) (*place, error) {
	host, err := gpuhost.New(filepath.Join(dir, "host"))
	if err != nil {
		return nil, err
	}
	p := &place{host, filepath.Join(dir, "bundle")}
	return p, errors.Join(p.fillHost(s), p.fillBundle(s))
}

// gpuHook is the command line of the hook on this host.
func (p *place) gpuHook(b *bench) []string {
	return []string{b.program("gpu-hook"), "--config", p.Path("config.toml"), "createRuntime"}
}

// common are the nodes of every request, own those of one GPU.
func common() []string {
	return []string{"nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools", "nvidiactl"}
}

func own(gpu int) []string {
	return []string{
		fmt.Sprintf("nvidia%d", gpu), fmt.Sprintf("dri/card%d", gpu+1), fmt.Sprintf("dri/renderD%d", gpu+128),
	}
}

func nodes() []string {
	list := common()
	for gpu := range gpus {
		list = append(list, own(gpu)...)
	}
	return list
}

func library(n int) string { return fmt.Sprintf("libnvidia-%d.so.%s", n, gpuhost.Driver) }

func (p *place) fillHost(s shape) error {
	errs := []error{os.Mkdir(p.Path("dev/dri"), 0o755)}
	for _, node := range nodes() {
		if _, err := os.Lstat(p.Path("dev/" + node)); err != nil { // gpuhost makes some
			errs = append(errs, p.Node(node))
		}
	}
	for n := range mounts {
		errs = append(errs, p.Write("lib/"+library(n), library(n)+"\n", 0o644))
	}
	errs = append(errs, p.Write("plan", p.plan(), 0o644))
	if s.noSpec {
		return errors.Join(append(errs, os.Remove(p.Path("cdi/nvidia.yaml")))...)
	}
	errs = append(errs, p.Write("cdi/nvidia.yaml", p.spec(s.instances), 0o644))
	for n := range s.others {
		text := strings.ReplaceAll(p.spec(0), "nvidia.com/gpu", fmt.Sprintf("vendor%d.example/device", n))
		errs = append(errs, p.Write(fmt.Sprintf("cdi/other%02d.yaml", n), text, 0o644))
	}
	return errors.Join(errs...)
}

// spec is a CDI Spec as nvidia-ctk writes it: each GPU by index and UUID, with its MIG instances, and all.
func (p *place) spec(instances int) string {
	var b strings.Builder
	list := func(indent string, names []string) {
		for _, name := range names {
			fmt.Fprintf(&b, "%[1]s- path: /dev/%[2]s\n%[1]s  hostPath: %[3]s\n", indent, name, p.Path("dev/"+name))
		}
	}
	device := func(name string, nodes []string) {
		fmt.Fprintf(&b, "- name: %q\n  containerEdits:\n    deviceNodes:\n", name)
		list("    ", nodes)
	}
	b.WriteString("---\ncdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices:\n")
	for gpu := range gpus {
		device(fmt.Sprint(gpu), own(gpu))
		device(gpuhost.UUID(gpu), own(gpu))
		for i := range instances {
			device(fmt.Sprintf("%d:%d", gpu, i), own(gpu))
			device(fmt.Sprintf("MIG-%08x-%04x-2222-3333-444455556666", gpu, i), own(gpu))
		}
	}
	device("all", nodes()[len(common()):])
	b.WriteString("containerEdits:\n  env:\n  - NVIDIA_VISIBLE_DEVICES=void\n  deviceNodes:\n")
	list("  ", common())
	b.WriteString("  mounts:\n")
	for n := range mounts {
		fmt.Fprintf(&b, "  - hostPath: %s\n", p.Path("lib/"+library(n)))
		fmt.Fprintf(&b, "    containerPath: %s/%s\n", gpuhost.LibDir, library(n))
		b.WriteString("    options: [ro, nosuid, nodev, rbind, rprivate]\n")
	}
	return b.String()
}

// plan is what the Spec comes to for all GPUs, as floor and gofloor read it.
func (p *place) plan() string {
	var b strings.Builder
	for n := range mounts {
		fmt.Fprintf(&b, "m %s %s/%s\n", p.Path("lib/"+library(n)), gpuhost.LibDir, library(n))
	}
	for _, node := range nodes() {
		fmt.Fprintf(&b, "d /dev/%s %d %d\n", node, gpuhost.Major, gpuhost.Minor)
	}
	return b.String()
}

// fillBundle makes the bundle, with a folder for what start puts over the root filesystem.
func (p *place) fillBundle(s shape) error {
	b := gpuhost.Bundle{Args: []string{"true"}, Env: s.env, Annotations: map[string]string{}}
	for n := range s.annotations {
		b.Annotations[fmt.Sprintf("org.example.tool/setting-%d", n)] = fmt.Sprintf("the value of number %d", n)
	}
	for n := 0; s.padding > 0; n++ {
		variable := fmt.Sprintf("SERVICE_%d_ADDRESS=tcp://10.0.%d.%d:8080/a-path-of-some-length", n, n/256, n%256)
		b.Env = append(b.Env, variable)
		s.padding -= len(variable)
	}
	b.Edit = func(config map[string]any) {
		// Every container that is measured exists by itself, in the host's network.
		linux := config["linux"].(map[string]any)
		var kept []any
		for _, n := range linux["namespaces"].([]any) {
			if n.(map[string]any)["type"] != "network" {
				kept = append(kept, n)
			}
		}
		linux["namespaces"] = kept
	}
	return errors.Join(gpuhost.WriteBundle(p.bundle, b), os.Mkdir(filepath.Join(p.bundle, "scratch"), 0o755))
}
