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

// checkEngines looks whether each engine calls gpu-hook: whether it reads a definition that does, and can run its program.
func checkEngines(h *host) []report.Check {
	var out []report.Check
	asked := h.engines()
	if len(asked) == 0 {
		// No engine that reads definitions is seen; those in the usual directory may be another one's.
		return h.definitions("", &h.CRIO)
	}
	for _, engine := range asked {
		e := &h.CRIO
		if engine == state.Podman || engine == state.Buildah {
			e = &h.Podman
		}
		for _, broken := range e.Broken {
			c := h.fail(engine, fmt.Sprintf("%s does not start: %s", engine, broken))
			c.Cause, c.Hint = "conf "+broken, "correct the file"
			out = append(out, c)
		}
		out = append(out, h.definitions(engine, e)...)
	}
	return out
}

// definitions returns what is wrong with the definitions that an engine reads.
func (h *host) definitions(engine string, e *facts.Engine) []report.Check {
	out := h.calls(engine, e, "createRuntime")
	podman := engine == state.Podman || engine == ""
	if podman && out[0].Status != report.CheckFail && h.needsPrecreate(e) {
		out = append(out, h.calls(engine, e, "precreate")...)
	}
	for _, hook := range e.Active() {
		out = append(out, h.neighbour(engine, hook)...)
	}
	return out
}

// needsPrecreate reports whether podman's own definitions are wanted: not where those in these directories are another's.
func (h *host) needsPrecreate(e *facts.Engine) bool {
	if h.places.Podman == "" {
		return false
	}
	for _, hook := range e.Hooks {
		if hook.Calls("createRuntime") {
			return hook.Engine() == "" || hook.Engine() == state.Podman
		}
	}
	return true
}

// calls returns whether an engine calls gpu-hook at the stage, and why not.
func (h *host) calls(engine string, e *facts.Engine, stage string) []report.Check {
	active := e.Active()
	i := slices.IndexFunc(active, func(hook facts.Hook) bool { return hook.Calls(stage) })
	if i < 0 {
		return []report.Check{h.notCalled(engine, e, stage)}
	}
	hook := active[i]
	if c, found := h.badProgram(engine, hook); found {
		return []report.Check{c}
	}
	if c, found := h.neverMatches(engine, hook); found {
		return []report.Check{c}
	}
	if list := h.badCall(engine, hook, stage); len(list) > 0 {
		return list
	}
	return []report.Check{h.ok(stage, hook.File)}
}

// subject names an engine in a message.
func subject(engine string) string {
	if engine == "" {
		return "an engine"
	}
	return engine
}

// notCalled is the finding that no definition that the engine reads calls gpu-hook at the stage.
func (h *host) notCalled(engine string, e *facts.Engine, stage string) report.Check {
	why := "no definition in " + strings.Join(e.Dirs, " or ") + " does"
	if len(e.Dirs) == 0 {
		why = "it reads no directory of hook definitions"
	}
	c := h.fail(stage, subject(engine)+" never calls gpu-hook: "+why)
	c.Cause = "called by " + engine
	if stage == "precreate" {
		c = h.warn(stage, "podman does not call gpu-hook at the stage precreate: "+why)
		c.Details = []string{"variables, groups and the like of a CDI Spec do not reach containers without it"}
	}
	if e.SetBy != "" {
		c.Details = append(c.Details, fmt.Sprintf("%s sets hooks_dir = [%s]", e.SetBy, quoted(e.Dirs)))
	}
	for _, hook := range e.Hooks {
		if hook.Masked != "" && hook.Calls(stage) {
			c.Message = fmt.Sprintf("%s never calls gpu-hook: %s takes the place of %s", subject(engine), hook.Masked, hook.File)
			c.Fix = "rm " + hook.Masked
			return c
		}
	}
	for _, file := range e.Unread {
		c.Details = append(c.Details, file+" is not read: its name does not end in .json")
		if stage == "createRuntime" && strings.Contains(path.Base(file), "gpu-hook.json") {
			c.Fix = fmt.Sprintf("mv %s %s/gpu-hook.json", file, path.Dir(file))
		}
	}
	for i, hook := range e.Others {
		repeated := slices.ContainsFunc(e.Others[:i], func(o facts.Hook) bool { return o.File == hook.File })
		if hook.Calls(stage) && !repeated {
			c.Details = append(c.Details, fmt.Sprintf("%s calls it, in a directory that is not read", hook.File))
		}
	}
	if c.Fix == "" {
		c.Fix, c.Hint = h.installFor(engine, e)
	}
	return c
}

// installFor is how gpu-hook gets into a directory that the engine reads.
func (h *host) installFor(engine string, e *facts.Engine) (command, words string) {
	switch {
	case h.places.User && overrules(e.SetBy) && strings.HasPrefix(e.SetBy, h.places.UserDir) &&
		!slices.Contains(e.Dirs, h.places.Shared):
		return userDropIn(h.places.UserDir, h.places.Podman), ""
	case h.places.User:
		return "gpu-hook install --user", ""
	case h.places.Named, slices.Contains(e.Dirs, facts.SystemHooks), engine != state.CRIO && !overrules(e.SetBy):
		return "gpu-hook install", ""
	case len(e.Dirs) > 0:
		last := e.Dirs[len(e.Dirs)-1]
		command = "gpu-hook install --engine " + strings.ReplaceAll(engine, "-", "") + " --hooks-dir " + last
		if engine == state.Podman && (!h.CRIO.Present || !slices.Contains(h.CRIO.Dirs, last)) {
			command += " --precreate-dir " + last
		}
		return command,
			"or add " + facts.SystemHooks + " to hooks_dir in " + strings.Split(e.SetBy, ":")[0]
	case engine == state.CRIO:
		return `mkdir -p /etc/crio/crio.conf.d && printf '[crio.runtime]\nhooks_dir = ["` + facts.SystemHooks + `"]\n' ` +
			`>/etc/crio/crio.conf.d/99-zz-gpu-hook.conf && gpu-hook install --engine crio && systemctl restart crio`, ""
	}
	return `printf '[engine]\nhooks_dir = ["` + facts.SystemHooks + `", "` + h.places.Podman + `"]\n' ` +
		`>/etc/containers/containers.conf.d/zz-gpu-hook.conf && gpu-hook install`, ""
}

// overrules reports whether podman reads the file later than the drop-in of gpu-hook install.
func overrules(setBy string) bool {
	file, _, _ := strings.Cut(setBy, ":")
	return strings.HasSuffix(path.Dir(file), "/containers.conf.d") && path.Base(file) > "50-gpu-hook.conf"
}

// userDropIn is the command by which a user's podman reads gpu-hook's definitions whatever its other drop-ins say.
func userDropIn(config, hooks string) string {
	dir := config + "/containers/containers.conf.d"
	return `mkdir -p ` + dir + ` && printf '[engine]\nhooks_dir = ["` + hooks + `"]\n' >` + dir +
		`/zz-gpu-hook.conf && gpu-hook install --user`
}

func quoted(list []string) string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return strings.Join(out, ", ")
}

// badProgram is the finding that the engine does not, or must not, run the program of a definition.
func (h *host) badProgram(engine string, hook facts.Hook) (report.Check, bool) {
	err := h.programs[hook.Hook.Path]
	if err == nil {
		return report.Check{}, false
	}
	c := h.fail("createRuntime", fmt.Sprintf("%s: %v", hook.File, err))
	c.Cause = "program " + hook.Hook.Path
	c.Fix = "gpu-hook install"
	if h.places.User {
		c.Fix += " --user"
	}
	switch p := h.Paths[hook.Hook.Path]; {
	case errors.Is(err, fs.ErrNotExist):
		c.Message = fmt.Sprintf("%s calls %s: it does not exist", hook.File, hook.Hook.Path)
		c.Details = []string{subject(engine) + " passes over a definition whose program is not there, without a word"}
	case p.Type == "file" && h.makeTrusted(path.Dir(hook.Hook.Path)) != "":
		// A new file in a directory of others would not help.
		c.Fix = h.makeTrusted(hook.Hook.Path)
	}
	return c, true
}

// badCall returns what is wrong with how a definition calls gpu-hook.
func (h *host) badCall(engine string, hook facts.Hook, stage string) []report.Check {
	var out []report.Check
	words := []string{stage}
	if stage == "createRuntime" {
		words = append(words, "prestart") // NVIDIA's word for it
	}
	if !slices.ContainsFunc(words, func(word string) bool { return slices.Contains(hook.Hook.Args, word) }) {
		c := h.fail(stage, fmt.Sprintf("%s calls gpu-hook without the word %s, so that every container fails", hook.File, stage))
		c.Cause, c.Fix = "arguments "+hook.File, h.installOver(hook.File)
		out = append(out, c)
	}
	if hook.Hook.Timeout > 0 && hook.Hook.Timeout < 10 {
		c := h.warn(stage, fmt.Sprintf("%s gives gpu-hook %d s: %s kills it then, in the middle of its work",
			hook.File, hook.Hook.Timeout, subject(engine)))
		c.Cause, c.Fix = "timeout "+hook.File, h.installOver(hook.File)
		out = append(out, c)
	}
	if flags := h.otherFlags(hook, words); flags != "" {
		c := h.warn(stage, fmt.Sprintf("%s runs gpu-hook with %s, which this look over the host was not told", hook.File, flags))
		c.Cause, c.Fix = "flags "+hook.File, "gpu-hook "+flags+" doctor"
		out = append(out, c)
	}
	return out
}

// otherFlags returns the flags of a definition by which gpu-hook reads another configuration, or other Specs, than here.
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
	if bad := h.impossible(hook.When); bad != "" {
		c.Details = []string{bad}
		return c, true
	}
	c.Status = report.CheckWarn
	c.Message = fmt.Sprintf("%s calls gpu-hook for some containers alone: \"when\" in %s has %s",
		subject(engine), hook.File, strings.Join(conditions, ", "))
	return c, true
}

// impossible returns why conditions can hold for no container, as far as that can be told.
func (h *host) impossible(when map[string]json.RawMessage) string {
	var commands []string
	if json.Unmarshal(when["commands"], &commands) != nil || len(commands) == 0 {
		return ""
	}
	for _, pattern := range commands {
		expression, err := regexp.Compile(pattern)
		if err != nil {
			return fmt.Sprintf("the pattern %q of commands is not a regular expression", pattern)
		}
		for _, sample := range []string{"/bin/sh", "sh", "/usr/bin/python3", "nvidia-smi", "/usr/bin/nvidia-smi", "/entrypoint.sh"} {
			if expression.MatchString(sample) {
				return ""
			}
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
	case dir == facts.SystemHooks || dir == h.places.Podman:
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

// malformed returns in what a definition breaks the rules of oci-hooks(5), by which engines fail; or "".
func malformed(hook facts.Hook) string {
	// Definitions without a version are of an older format, which some engines still read.
	if hook.Version != "" && hook.Version != "1.0.0" && hook.Version != "0.1.0" {
		return fmt.Sprintf("version %q is not known", hook.Version)
	}
	if hook.Version != "1.0.0" {
		return ""
	}
	stages := []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop", "precreate"}
	for _, stage := range hook.Stages {
		if !slices.Contains(stages, stage) {
			return fmt.Sprintf("stage %q is not known", stage)
		}
	}
	switch {
	case len(hook.Stages) == 0:
		return "it lists no stage"
	case hook.Hook.Path == "":
		return "it names no program"
	}
	return ""
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
