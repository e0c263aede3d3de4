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
		case h.said.broken[d.vendor.Name] != "":
			out = append(out, h.brokenHook(name, d))
			continue
		case d.err == nil:
			version := ""
			if v := h.toolkitVersion(); d.vendor.Kind == nvidiaKind && v != "" {
				version = " of version " + v
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

// brokenHook is the finding that a vendor's own hook is installed, and what it runs does not work.
func (h *host) brokenHook(name string, d delegate) report.Check {
	c := h.warn(name, h.said.broken[d.vendor.Name])
	c.Cause = "delegate " + d.vendor.Name
	c.Details = []string{"gpu-hook hands over to it where CDI does not serve"}
	c.Hint = "nothing, where CDI serves; otherwise find out what it lacks"
	if t := h.onlyByHook(d.vendor.Name); t != nil {
		c.Status, c.Details = report.CheckFail, []string{"no CDI Spec serves: containers get their devices by it alone"}
		other := h.noSpec(*t)
		c.Fix, c.Hint = other.Fix, other.Hint
	}
	if found := checkDriver(h); d.vendor.Kind == nvidiaKind && len(found) > 0 && found[0].Cause != "" {
		c.Cause = found[0].Cause
	}
	return c
}

// onlyByHook returns the vendor's trial if its own hook alone serves, or nil.
func (h *host) onlyByHook(vendor string) *trial {
	for i := range h.trials {
		if t := &h.trials[i]; t.vendor.Name == vendor && t.served && (len(t.specs) == 0 || t.fallback != "") {
			return t
		}
	}
	return nil
}
