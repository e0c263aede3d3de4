package checkup

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
)

// checkRuntime reports a runtime that discards what hooks write.
func checkRuntime(h *host) []report.Check {
	if !slices.Contains(h.engines(), state.Podman) {
		return nil
	}
	runtime := h.Podman.Runtime
	if runtime == "" && h.Tool("crun") {
		runtime = "crun"
	}
	if !strings.HasSuffix(runtime, "crun") {
		return nil
	}
	return []report.Check{h.ok("crun", "it does not show what hooks write; gpu-hook writes why it refuses to crun's "+
		"own stderr, and gpu-hook last shows the rest")}
}
