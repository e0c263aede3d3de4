package checkup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
)

// readBy is the newest version of CDI Specs that releases of podman read, by the CDI library in them.
type readBy struct{ before, spec string }

// podmanReads returns the newest version of CDI Specs that this podman reads, or "" if that is not known.
func podmanReads(version string) string {
	for _, r := range []readBy{
		{"4.7.0", "0.5.0"}, {"5.1.0", "0.6.0"}, {"5.2.0", "0.7.0"}, {"5.5.0", "0.8.0"}, {"6.0.0", "1.0.0"},
	} {
		if olderVersion(version, r.before) {
			return r.spec
		}
	}
	return ""
}

// checkPodmanSpecs looks for Specs that podman's own --device and --gpus cannot use. gpu-hook reads them itself.
func checkPodmanSpecs(h *host) []report.Check {
	reads := podmanReads(h.said.podman)
	if reads == "" || !slices.Contains(h.engines(), state.Podman) {
		return nil
	}
	var out []report.Check
	for _, f := range h.Specs {
		if !f.Read || len(f.Kinds) == 0 {
			continue
		}
		if kind := oneLetter(f.Kinds); kind != "" {
			out = append(out, h.panics(f, kind))
		} else if f.Version != "" && olderVersion(reads, f.Version) {
			out = append(out, h.tooNew(f, reads))
		}
	}
	return out
}

// panics is the finding that podman's CDI library cannot stand the name of a Spec's kind.
func (h *host) panics(f facts.SpecFile, kind string) report.Check {
	c := h.warn("podman", fmt.Sprintf("%s defines %s: with a name of one letter, podman's own --device and --gpus end in "+
		"a panic", f.Path, kind))
	c.Cause = "panic " + f.Path
	c.Details = []string{"\"slice bounds out of range\": the CDI library of podman " + h.said.podman + " has this defect"}
	c.Hint = "give the kind in " + f.Path + " a longer name"
	return c
}

// tooNew is the finding that podman does not read a Spec because of its version.
func (h *host) tooNew(f facts.SpecFile, reads string) report.Check {
	c := h.warn("podman", fmt.Sprintf("%s is of CDI version %s, and podman %s reads %s at most: podman's own --device "+
		"and --gpus fail", f.Path, f.Version, h.said.podman, reads))
	c.Cause = "version of " + f.Path
	c.Details = []string{"its error is \"unresolvable CDI devices\""}
	c.Hint = "ask gpu-hook, which reads it: podman run --annotation gpu-hook/gpus=all; or upgrade podman"
	return c
}

// oneLetter returns the first kind whose vendor or class is one letter, or "".
func oneLetter(kinds []string) string {
	for _, kind := range kinds {
		if vendor, class, _ := strings.Cut(kind, "/"); len(vendor) == 1 || len(class) == 1 {
			return kind
		}
	}
	return ""
}
