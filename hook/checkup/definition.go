package checkup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
)

// badProgram is the finding that the engine does not, or must not, run the program of a definition.
func (h *host) badProgram(engine string, hook facts.Hook) (report.Check, bool) {
	err := h.programs[hook.Hook.Path]
	if err == nil {
		return h.notRunnable(hook)
	}
	c := h.fail("createRuntime", fmt.Sprintf("%s: %v", hook.File, err))
	c.Cause = "program " + hook.Hook.Path
	c.Fix = "gpu-hook install"
	if h.byUser() {
		c.Fix += " --user"
	}
	switch p := h.Paths[hook.Hook.Path]; {
	case errors.Is(err, fs.ErrNotExist):
		c.Message = fmt.Sprintf("%s calls %s: it does not exist", hook.File, hook.Hook.Path)
		c.Details = []string{subject(engine) + " silently skips a definition whose program does not exist"}
	case p.Type == "file" && h.makeTrusted(path.Dir(hook.Hook.Path)) != "":
		// A new file in a directory of others would not help.
		c.Fix = h.makeTrusted(hook.Hook.Path)
	}
	return c, true
}

// notRunnable is the finding that the kernel does not run the program of a definition, so that every container fails.
func (h *host) notRunnable(hook facts.Hook) (report.Check, bool) {
	program := hook.Hook.Path
	switch p := h.Programs[program]; {
	case p.NoExec:
		c := h.fail("createRuntime", fmt.Sprintf("every container fails: %s is on a file system that is mounted noexec",
			program))
		c.Cause = "program " + program
		c.Fix, c.Hint = "gpu-hook install --bin-dir /usr/bin", "or mount that file system without noexec"
		return c, true
	case p.Foreign:
		c := h.fail("createRuntime", fmt.Sprintf("every container fails: %s is not a program", program))
		c.Cause, c.Fix = "program "+program, h.installOver(hook.File)
		return c, true
	}
	return report.Check{}, false
}

// badCall returns what is wrong with how a definition calls gpu-hook.
func (h *host) badCall(engine string, hook facts.Hook, stage string) []report.Check {
	var out []report.Check
	words := []string{stage}
	if stage == "createRuntime" {
		words = append(words, "prestart") // NVIDIA's word for it
	}
	if !slices.ContainsFunc(words, func(word string) bool { return slices.Contains(hook.Hook.Args, word) }) {
		c := h.fail(stage, fmt.Sprintf("%s calls gpu-hook without the word %s, so that every container fails", hook.File,
			stage))
		c.Cause, c.Fix = "arguments "+hook.File, h.installOver(hook.File)
		out = append(out, c)
	}
	if hook.Hook.Timeout > 0 && hook.Hook.Timeout < 10 {
		c := h.warn(stage, fmt.Sprintf("%s sets a timeout of %d s, after which %s kills gpu-hook",
			hook.File, hook.Hook.Timeout, subject(engine)))
		c.Cause, c.Fix = "timeout "+hook.File, h.installOver(hook.File)
		out = append(out, c)
	}
	if flags := h.otherFlags(hook, words); flags != "" {
		c := h.warn(stage, fmt.Sprintf("%s runs gpu-hook with %s; this check ran without", hook.File, flags))
		c.Cause, c.Fix = "flags "+hook.File, "gpu-hook "+flags+" doctor"
		out = append(out, c)
	}
	return out
}

// otherFlags returns the flags of a definition by which gpu-hook reads another configuration, or other Specs, than
// here.
func (h *host) otherFlags(hook facts.Hook, words []string) string {
	var out []string
	args := hook.Hook.Args
	for i := 1; i+1 < len(args) && !slices.Contains(words, args[i]); i++ {
		name := strings.TrimLeft(args[i], "-")
		same := (name == "config" && args[i+1] == h.places.Config) ||
			(name == "cdi-spec-dir" && slices.Contains(h.config.CDI.SpecDirs, args[i+1]))
		if (name == "config" || name == "cdi-spec-dir") && !same {
			out = append(out, "--"+name, args[i+1])
		}
	}
	return strings.Join(out, " ")
}

// neverMatches is the finding that a definition's conditions do not hold for every container.
func (h *host) neverMatches(engine string, hook facts.Hook) (report.Check, bool) {
	always := string(hook.When["always"])
	if always == "true" {
		return report.Check{}, false
	}
	conditions := []string{}
	for key := range hook.When {
		if key != "always" {
			conditions = append(conditions, key)
		}
	}
	slices.Sort(conditions)
	c := h.fail("createRuntime", fmt.Sprintf("%s never calls gpu-hook: \"when\" in %s holds for no container",
		subject(engine), hook.File))
	c.Cause = "when " + hook.File
	c.Fix = h.installOver(hook.File)
	if len(conditions) == 0 {
		return c, true
	}
	c.Status = report.CheckWarn
	c.Message = fmt.Sprintf("%s calls gpu-hook only for some containers: \"when\" in %s has %s",
		subject(engine), hook.File, strings.Join(conditions, ", "))
	return c, true
}

// badPattern returns what is wrong with the patterns of a definition's conditions, or "".
func badPattern(when map[string]json.RawMessage) string {
	var commands []string
	if json.Unmarshal(when["commands"], &commands) != nil || len(commands) == 0 {
		return ""
	}
	for _, pattern := range commands {
		if _, err := regexp.Compile(pattern); err != nil {
			return fmt.Sprintf("the pattern %q of commands is not a regular expression", pattern)
		}
	}
	return ""
}

// installOver is the command that puts the shipped definition in the place of a changed one.
func (h *host) installOver(file string) string {
	dir := path.Dir(file)
	switch {
	case h.places.User:
		return "gpu-hook install --user"
	case dir == facts.SystemHooks || dir == facts.AdminPodmanHooks || dir == h.places.Podman:
		return "gpu-hook install"
	}
	return "gpu-hook install --hooks-dir " + dir
}

// neighbour returns what is wrong with a definition beside gpu-hook's.
func (h *host) neighbour(engine string, hook facts.Hook) []report.Check {
	name := path.Base(hook.Hook.Path)
	switch {
	case hook.Error != "":
		c := h.fail("other hooks", hook.File+": "+hook.Error)
		c.Cause = "definition " + hook.File
		c.Details = []string{"podman runs no container, and CRI-O does not start, beside a definition that cannot be read"}
		c.Fix = fmt.Sprintf("mv %s %s.off", hook.File, hook.File)
		c.Hint = "or correct it"
		if path.Base(hook.File) == "gpu-hook.json" || path.Base(hook.File) == "gpu-hook-precreate.json" {
			c.Fix, c.Hint = h.installOver(hook.File), ""
		}
		return []report.Check{c}
	case malformed(hook) != "":
		c := h.fail("other hooks", fmt.Sprintf("%s refuses every container because of %s: %s", subject(engine), hook.File,
			malformed(hook)))
		c.Cause = "definition " + hook.File
		c.Fix = fmt.Sprintf("mv %s %s.off", hook.File, hook.File)
		c.Hint = "or correct it, by oci-hooks(5)"
		if hook.Calls("createRuntime") || hook.Calls("precreate") {
			c.Fix, c.Hint = h.installOver(hook.File), ""
		}
		return []report.Check{c}
	case slices.Contains(hook.Stages, "precreate") && h.readByCRIO(engine, hook.File):
		c := h.fail("other hooks", hook.File+" is for the stage precreate, beside which CRI-O does not start")
		c.Cause = "stage " + hook.File
		c.Fix = "mkdir -p " + h.podmanDir() + " && mv " + hook.File + " " + h.podmanDir() + "/"
		return []report.Check{c}
	case strings.HasPrefix(name, "nvidia-container-runtime-hook") || name == "nvidia-container-toolkit":
		c := h.warn("other hooks", hook.File+" runs "+hook.Hook.Path+" beside gpu-hook, by its own rules")
		c.Cause = "beside " + hook.File
		c.Fix = "rm " + hook.File
		c.Hint = "or set NVIDIA_VISIBLE_DEVICES=void where gpu-hook is asked by annotation"
		c.Not = "removing " + hook.Hook.Path + " (gpu-hook hands over to it where CDI does not serve)"
		return []report.Check{c}
	}
	return nil
}

// malformed returns how a definition violates oci-hooks(5), so that engines refuse every container, or "".
func malformed(hook facts.Hook) string {
	// Definitions without a version are of an older format, which some engines still read.
	if hook.Version != "" && hook.Version != "1.0.0" && hook.Version != "0.1.0" {
		return fmt.Sprintf("version %q is not known", hook.Version)
	}
	if hook.Version != "1.0.0" {
		return ""
	}
	stages := []string{
		"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
		"precreate",
	}
	for _, stage := range hook.Stages {
		if !slices.Contains(stages, stage) {
			return fmt.Sprintf("stage %q is not known", stage)
		}
	}
	if hook.Hook.Path == "" {
		return "it names no program"
	}
	return badPattern(hook.When)
}

// readByCRIO reports whether CRI-O reads the file: it is asked about, or it reads that directory.
func (h *host) readByCRIO(engine, file string) bool {
	if h.places.Named {
		return path.Dir(file) == h.places.Shared && h.places.Shared != h.places.Podman
	}
	return engine == state.CRIO || (h.CRIO.Present && slices.Contains(h.CRIO.Dirs, path.Dir(file)))
}

func (h *host) podmanDir() string {
	if h.places.Podman != "" {
		return h.places.Podman
	}
	return "/usr/share/gpu-hook/podman-hooks.d"
}
