package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/checkup"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/install"
)

// installFiles is the command install. It puts the files in place and prints what it changed. With --engine it also
// prints how the engine's containers may request devices.
func installFiles(p process, options hook.Options, args []string) error {
	target, err := targetOf("install", p, args)
	if err != nil {
		return err
	}
	rules, err := checkup.RulesFor(options, target.Engine)
	if err != nil {
		return err
	}
	changes, err := install.Install(target, installOptions(options, rules))
	if err != nil {
		return err
	}
	if err := printChanges(p, changes); err != nil {
		return err
	}
	if target.Engine == "" {
		return nil
	}
	out := &strings.Builder{}
	printSources(out, target.Engine, cmp.Or(options.Config, config.DefaultPath), rules)
	_, err = fmt.Fprint(p.stdout, out.String())
	return err
}

// printSources prints how an engine's containers may request devices and how they may not, and what to write into the
// configuration file to allow the rest.
func printSources(w io.Writer, engine, file string, rules checkup.Rules) {
	words := sourceWords(engine)
	_, _ = fmt.Fprintf(w, "\nContainers of %s may ask for devices by, highest first:\n", engine)
	for _, s := range rules.Counted {
		_, _ = fmt.Fprintf(w, "  - %s\n", words[s])
	}
	if len(rules.Closed) == 0 {
		return
	}
	_, _ = fmt.Fprintf(w, "They may not ask by:\n")
	for _, s := range rules.Closed {
		_, _ = fmt.Fprintf(w, "  - %s\n", words[s])
	}
	var quoted []string
	for _, s := range slices.Concat(rules.Counted, rules.Closed) {
		quoted = append(quoted, strconv.Quote(s))
	}
	_, _ = fmt.Fprintf(w, "Such requests are reported and the container starts without. "+
		"To let every container ask so, write into %s:\n\n", file)
	_, _ = fmt.Fprintf(w, "  [engines.%s]\n  sources = [%s]\n", engine, strings.Join(quoted, ", "))
	if engine != "podman" {
		_, _ = fmt.Fprintf(w, "\nor, for the pods of one Kubernetes namespace alone:\n\n"+
			"  [engines.%s]\n  namespaces = { \"NAMESPACE\" = [%s] }\n",
			engine, strings.Join(quoted[len(rules.Counted):], ", "))
	}
}

// sourceWords returns each source in words that fit the engine.
func sourceWords(engine string) map[string]string {
	words := map[string]string{
		config.SourceAnnotation: "the annotation gpu-hook/gpus",
		config.SourceCDIAnnotation: "annotations cdi.k8s.io/* of the container itself " +
			"(a device plugin's, not those of the pod)",
		config.SourceMount: "mounts of /dev/null below /var/run/nvidia-container-devices " +
			"(a device plugin's, or a hostPath volume where admission lets it through)",
		config.SourceEnv: "environment (NVIDIA_VISIBLE_DEVICES and the like)",
	}
	switch engine {
	case "containerd":
		words[config.SourceCDIAnnotation] = "annotations cdi.k8s.io/*, which containerd applies itself"
	case "podman":
		words[config.SourceCDIAnnotation] = "annotations cdi.k8s.io/*"
		words[config.SourceMount] = "mounts of /dev/null below /var/run/nvidia-container-devices"
	}
	return words
}
