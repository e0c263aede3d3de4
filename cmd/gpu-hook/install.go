package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

func install(p process, options hook.Options, args []string) error {
	to, engine, err := targetOf("install", p, args)
	if err != nil {
		return err
	}
	rules, err := hook.RulesFor(options, engine)
	if err != nil {
		return err
	}
	if err := to.put(p, options, rules); err != nil {
		return err
	}
	if to.engine != "" {
		return tell(p, engine, cmp.Or(options.Config, config.DefaultPath), rules)
	}
	return nil
}

// put writes the files in their order. The binary is first: engines read a definition at once, and one whose binary is
// missing is passed over in silence.
func (to *target) put(p process, options hook.Options, rules hook.Rules) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return installError(to.binary(), err)
	}
	files, err := to.definitions(options, rules)
	if err != nil {
		return err
	}
	files = append([]file{{to.binary(), self, 0o755}}, files...)
	conf := podmanConf{to}
	if to.conf != "" && conf.knows() {
		files = append(files, file{to.conf, conf.dropIn(), 0o644})
	}
	for _, f := range files {
		if err := put(filepath.Join(to.dest, f.path), f.data, f.mode); err != nil {
			return err
		}
	}
	for _, f := range files {
		if _, err := fmt.Fprintf(p.stdout, "installed %s\n", filepath.Join(to.dest, f.path)); err != nil {
			return err
		}
	}
	return conf.overruled(p)
}

// tell says in plain words who may ask for what.
func tell(p process, engine, file string, rules hook.Rules) error {
	words := map[string]string{
		config.SourceAnnotation:    "the annotation gpu-hook/gpus",
		config.SourceCDIAnnotation: "annotations cdi.k8s.io/* of the container itself (a device plugin's, not those of the pod)",
		config.SourceMount:         "mounts of /dev/null below /var/run/nvidia-container-devices (a device plugin's, or a hostPath volume where admission lets it through)",
		config.SourceEnv:           "environment (NVIDIA_VISIBLE_DEVICES and the like)",
	}
	switch engine {
	case "containerd":
		words[config.SourceCDIAnnotation] = "annotations cdi.k8s.io/*, which containerd applies itself"
	case "podman":
		words[config.SourceCDIAnnotation] = "annotations cdi.k8s.io/*"
		words[config.SourceMount] = "mounts of /dev/null below /var/run/nvidia-container-devices"
	}
	out := &strings.Builder{}
	fmt.Fprintf(out, "\nContainers of %s may ask for devices by, highest first:\n", engine)
	for _, s := range rules.Counted {
		fmt.Fprintf(out, "  - %s\n", words[s])
	}
	if len(rules.Closed) > 0 {
		fmt.Fprintf(out, "They may not ask by:\n")
		for _, s := range rules.Closed {
			fmt.Fprintf(out, "  - %s\n", words[s])
		}
		quoted := make([]string, 0, len(rules.Closed))
		for _, s := range append(slices.Clone(rules.Counted), rules.Closed...) {
			quoted = append(quoted, strconv.Quote(s))
		}
		fmt.Fprintf(out, "Such requests are reported and the container starts without. To let every container ask so, write into %s:\n\n", file)
		fmt.Fprintf(out, "  [engines.%s]\n  sources = [%s]\n", engine, strings.Join(quoted, ", "))
		if engine != "podman" {
			fmt.Fprintf(out, "\nor, for the pods of one Kubernetes namespace alone:\n\n  [engines.%s]\n  namespaces = { \"NAMESPACE\" = [%s] }\n", engine, strings.Join(quoted[len(rules.Counted):], ", "))
		}
	}
	_, err := fmt.Fprint(p.stdout, out.String())
	return err
}

// put writes a file in one step: whoever reads path meanwhile sees the old one or the new one, and on error the old one
// stays and nothing else is left.
func put(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return installError(path, err)
	}
	file, err := os.CreateTemp(dir, ".gpu-hook-")
	if err != nil {
		return installError(path, err)
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return installError(path, err)
	}
	return nil
}

func installError(path string, err error) error {
	return fault.New(fault.Install, path, "%w", err).WithHint("run it as root, with --user, or choose another place with --bin-dir and --hooks-dir")
}
