package checkup

import (
	"fmt"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/report"
)

// checkConflicts looks for names that two Specs of one directory define.
func checkConflicts(h *host) []report.Check {
	var out []report.Check
	names := map[string]int{} // of each pair of Specs
	for _, conflict := range h.conflicts {
		names[strings.Join(conflict.Specs, " ")]++
	}
	for _, conflict := range h.conflicts {
		pair := strings.Join(conflict.Specs, " ")
		if names[pair] == 0 {
			continue
		}
		more := ""
		if n := names[pair] - 1; n > 0 {
			more = " and " + count(n, "more name")
		}
		names[pair] = 0
		c := h.fail("CDI Specs", fmt.Sprintf("%s%s: both %s define it, so that neither definition can be used",
			conflict.Name, more, strings.Join(conflict.Specs, " and ")))
		c.Cause = "conflict " + pair
		if older := h.older(conflict.Specs); older != "" {
			c.Fix = fmt.Sprintf("mv %s %s.off", older, older)
			c.Hint = "or the other one, if this is the one that is generated"
		} else {
			c.Hint = "remove the one that is not generated any more: rm " + strings.Join(conflict.Specs, ", or rm ")
		}
		out = append(out, c)
	}
	return out
}

// older returns the Spec that was written first, or "" if that is not known.
func (h *host) older(specs []string) string {
	written := map[string]int64{}
	for _, f := range h.Specs {
		written[f.Path] = f.Written
	}
	if len(specs) != 2 || written[specs[0]] == written[specs[1]] {
		return ""
	}
	if written[specs[0]] < written[specs[1]] {
		return specs[0]
	}
	return specs[1]
}
