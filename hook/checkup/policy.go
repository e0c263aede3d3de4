package checkup

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// checkPolicy looks for ways of asking that the configuration closes: such a request is reported, and the container
// starts without a device.
func checkPolicy(h *host) []report.Check {
	engines := h.engines()
	if len(engines) == 0 {
		engines = []string{""}
	}
	builtIn := config.Defaults()
	var out []report.Check
	for _, engine := range engines {
		counted, key := h.config.SourcesFor(engine, "", false)
		usual, _ := builtIn.SourcesFor(engine, "", false)
		var closed []string
		for _, s := range usual {
			if !slices.Contains(counted, s) {
				closed = append(closed, s)
			}
		}
		of := "containers"
		if engine != "" {
			of += " of " + engine
		}
		file := cmp.Or(h.places.Config, config.DefaultPath)
		switch {
		case len(counted) == 0:
			c := h.fail("policy", fmt.Sprintf("%s cannot ask for devices at all: %s in %s lists no source", of, key, file))
			c.Cause, c.Hint = "policy "+engine, openSources(engine, file, usual)
			out = append(out, c)
		case len(closed) > 0:
			c := h.warn("policy", fmt.Sprintf("%s cannot ask by %s: %s in %s does not list it",
				of, words(closed), key, file))
			c.Cause, c.Hint = "policy "+engine, openSources(engine, file, usual)
			c.Details = []string{"such a request is reported, and the container starts without a device"}
			out = append(out, c)
		default:
			out = append(out, h.ok("policy", of+" can ask by "+words(counted)))
		}
		if h.config.Requests.EnvAll == config.AllIgnore && slices.Contains(counted, config.SourceEnv) {
			c := h.warn("policy", of+" get nothing for NVIDIA_VISIBLE_DEVICES=all: env-all is \"ignore\" in "+file)
			c.Cause = "policy of all"
			c.Hint = "ask by the annotation gpu-hook/gpus=all or for indices, or set env-all = \"weak\" under [requests] in " +
				file
			out = append(out, c)
		}
		if !h.config.Requests.AcceptEnvUnprivileged && slices.Contains(counted, config.SourceEnv) {
			c := h.warn("policy", of+" cannot ask by environment unless they are privileged: accept-env-unprivileged is "+
				"false in "+file)
			c.Cause = "policy of env " + engine
			c.Hint = "ask by the annotation gpu-hook/gpus, or set accept-env-unprivileged = true under [requests] in " + file
			out = append(out, c)
		}
	}
	return out
}

// openSources says what to write into the configuration.
func openSources(engine, file string, sources []string) string {
	table := "[requests]"
	if engine != "" {
		table = "[engines." + engine + "]"
	}
	var list []string
	for _, s := range sources {
		list = append(list, strconv.Quote(s))
	}
	return fmt.Sprintf("if they may: %s with sources = [%s] in %s", table, strings.Join(list, ", "), file)
}

// words names sources as a user knows them.
func words(sources []string) string {
	names := map[string]string{
		config.SourceAnnotation: "the annotation gpu-hook/gpus", config.SourceCDIAnnotation: "annotations cdi.k8s.io/*",
		config.SourceMount: "mounts", config.SourceEnv: "environment (NVIDIA_VISIBLE_DEVICES)",
	}
	var out []string
	for _, s := range sources {
		out = append(out, names[s])
	}
	return strings.Join(out, ", ")
}
