package checkup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// checkOrder looks for containers that systemd may start before the service has generated the Spec that they need.
func checkOrder(h *host) []report.Check {
	generated := slices.ContainsFunc(h.Specs, func(f facts.SpecFile) bool {
		return f.Tmpfs && f.Read && slices.Contains(f.Kinds, nvidiaKind)
	})
	if !generated || !h.Refresh.Enabled || h.Refresh.Before {
		return nil
	}
	var out []report.Check
	for _, file := range h.Quadlets {
		c := h.warn("start order", file+" may start before nvidia-cdi-refresh has generated the CDI Spec at boot")
		c.Cause = "order " + file
		c.Fix = fmt.Sprintf(`printf '\n[Unit]\nAfter=nvidia-cdi-refresh.service\n' >>%s && systemctl daemon-reload`, file)
		out = append(out, c)
	}
	return out
}

// checkVolatile looks for kinds whose only Spec is gone after the host's next start.
func checkVolatile(h *host) []report.Check {
	var out []report.Check
	for _, f := range h.Specs {
		// Where /etc is in memory too, something else puts it there at each start.
		if !f.Tmpfs || !f.Read || len(f.Kinds) != 1 || strings.HasPrefix(f.Path, "/etc/") {
			continue
		}
		kind := f.Kinds[0]
		lasting := slices.ContainsFunc(h.Specs, func(o facts.SpecFile) bool {
			return o.Read && !o.Tmpfs && slices.Contains(o.Kinds, kind)
		})
		if lasting || (h.Refresh.Enabled && strings.HasPrefix(kind, "nvidia.com/")) {
			continue
		}
		c := h.warn("CDI Specs", fmt.Sprintf("%s is on a tmpfs: after a reboot there is no CDI Spec of %s",
			f.Path, kind))
		c.Cause = "volatile " + f.Path
		switch {
		case kind == nvidiaKind && h.Refresh.Installed:
			c.Fix = "systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service"
		default:
			c.Fix = fmt.Sprintf("mkdir -p /etc/cdi && mv %s /etc/cdi/", f.Path)
			c.Hint = "after each update of the driver it must be generated again"
		}
		out = append(out, c)
	}
	return out
}
