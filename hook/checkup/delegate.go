package checkup

import (
	"fmt"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// checkDelegates looks at the vendors' own hooks that are installed: whether they, and what they run, can be used.
func checkDelegates(h *host) []report.Check {
	var out []report.Check
	for _, d := range h.hooks {
		f := fault.From(d.err)
		name := "driver " + d.vendor.Name + ".runtime-hook"
		switch {
		case d.err == nil:
			version := ""
			if d.vendor.Kind == nvidiaKind && h.Toolkit != "" {
				version = " of version " + h.Toolkit
			}
			out = append(out, h.ok(name, d.vendor.RuntimeHook+version))
			continue
		case !h.Paths[d.vendor.RuntimeHook].Exists():
			continue // it is not installed, which is no fault
		}
		c := h.warn(name, fmt.Sprintf("%s is installed and cannot serve: %v", d.vendor.RuntimeHook, d.err))
		c.Cause, c.Hint = "delegate "+d.vendor.Name, f.Hint()
		c.Details = []string{"gpu-hook hands over to it where CDI does not serve"}
		if strings.Contains(d.err.Error(), "nvidia-container-cli") {
			c.Fix, c.Hint = h.install(packages.CLI()), "install "+packages.CLI().Any+", which has nvidia-container-cli"
			if c.Fix != "" {
				c.Hint = ""
			}
		}
		out = append(out, c)
	}
	return out
}
