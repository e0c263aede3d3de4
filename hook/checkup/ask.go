package checkup

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/probe"
)

// Asker runs a program that says what it is or whether it works, and changes nothing; see [probe.Ask].
type Asker func(program string, args ...string) (said string, err error)

// answers are what programs of the host said. What is not known is "".
type answers struct {
	podman  string            // its version
	toolkit string            // the version of NVIDIA's hook
	broken  map[string]string // programs of vendors' hooks that do not work, with what they said
}

// ask asks the programs of the host. Those that need root are not asked by others.
func (h *host) ask() {
	ask := h.places.Ask
	if ask == nil {
		return
	}
	if podman := h.Tools["podman"]; podman != "" {
		said, _ := ask(podman, "--version")
		h.said.podman = versionIn(said)
	}
	for _, d := range h.hooks {
		if d.err != nil {
			continue
		}
		if d.vendor.Kind == nvidiaKind && h.Toolkit == "" {
			said, _ := ask(d.vendor.RuntimeHook, "--version")
			h.said.toolkit = versionIn(said)
		}
		program, args := h.config.ContractOf(&d.vendor).Trial()
		if program == "" || h.config.Self.UID != 0 || h.config.Self.Rootless {
			continue
		}
		if said, err := ask(program, args...); err != nil && !errors.Is(err, probe.ErrNoAnswer) {
			why := strings.TrimPrefix(report.Plain(lastLine(said)), path.Base(program)+": ")
			h.said.broken[d.vendor.Name] = fmt.Sprintf("%s runs %s, which fails: %s", d.vendor.RuntimeHook, program, why)
		}
	}
}

// versionIn returns the word behind "version" in the first line, or "".
func versionIn(said string) string {
	line, _, _ := strings.Cut(said, "\n")
	_, rest, _ := strings.Cut(line, "version ")
	word, _, _ := strings.Cut(rest, " ")
	if word == "" || word[0] < '0' || word[0] > '9' {
		return ""
	}
	return word
}

// lastLine returns the last line that is not empty, where programs write why they end.
func lastLine(said string) string {
	said = strings.TrimSpace(said)
	return said[strings.LastIndex(said, "\n")+1:]
}
