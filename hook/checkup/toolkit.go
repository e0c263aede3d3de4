package checkup

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// safeToolkit is the first version of NVIDIA's container toolkit without a vulnerability that is known to lead out of a
// container.
const safeToolkit = "1.19.1"

// checkToolkit looks for a version of NVIDIA's container toolkit that a container can use against the host: where its
// hook may serve, or where a Spec runs its program for hooks.
func checkToolkit(h *host) []report.Check {
	hook := slices.IndexFunc(h.hooks, func(d delegate) bool { return d.vendor.Kind == nvidiaKind && d.err == nil })
	program := h.toolkitHook()
	if !olderVersion(h.toolkitVersion(), safeToolkit) || hook < 0 && program == "" {
		return nil
	}
	p := packages.Toolkit()
	if hook >= 0 {
		p, program = packages.Hook(), h.hooks[hook].vendor.RuntimeHook
	}
	c := h.warn("NVIDIA toolkit", fmt.Sprintf("%s is of version %s: by CVE-2026-24260, a container can write to the host "+
		"while it starts", program, h.toolkitVersion()))
	c.Cause = "old toolkit"
	c.Details = []string{"version " + safeToolkit + " has no such known vulnerability"}
	if c.Fix = p.Upgrade(h.OS.Is); c.Fix == "" {
		c.Hint = "upgrade the package " + p.Any + " to " + safeToolkit + " or newer"
	}
	return []report.Check{c}
}

// toolkitVersion returns the version of NVIDIA's container toolkit, by its package or its hook, or "".
func (h *host) toolkitVersion() string { return cmp.Or(h.Toolkit, h.said.toolkit) }

// toolkitHook returns the program of NVIDIA's toolkit that a Spec runs as a hook, or "".
func (h *host) toolkitHook() string {
	for _, d := range h.devices {
		for _, program := range d.hooks {
			if name := path.Base(program); name == "nvidia-cdi-hook" || name == "nvidia-ctk" {
				return program
			}
		}
	}
	return ""
}

// olderVersion reports whether a version is older than a release. A candidate (1.19.1~rc.1, 1.19.1-rc.1) is older than
// its release. It reports false for what is no version.
func olderVersion(version, release string) bool {
	number, _, candidate := strings.Cut(strings.ReplaceAll(version, "-rc", "~rc"), "~rc")
	a, b := strings.Split(number, "."), strings.Split(release, ".")
	for i := range min(len(a), len(b)) {
		x, errX := strconv.Atoi(a[i])
		y, errY := strconv.Atoi(b[i])
		if errX != nil || errY != nil {
			return false
		}
		if x != y {
			return x < y
		}
	}
	return len(a) < len(b) || candidate && len(a) == len(b)
}
