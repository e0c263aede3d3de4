package checkup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
)

// checkEngines looks whether each engine calls gpu-hook: whether it reads a definition that does, and can run its
// program.
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

// needsPrecreate reports whether podman's own definitions are wanted: not where those in these directories are
// another's.
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
	if engine != state.CRIO && h.lacksDropIn(e) {
		c.Details = append(c.Details, fmt.Sprintf("%s, which tells podman of %s, is missing", facts.PodmanDropIn,
			facts.AdminPodmanHooks))
	}
	if c.Fix == "" {
		c.Fix, c.Hint = h.installFor(engine, e)
	}
	return c
}

// lacksDropIn reports whether podman's own definitions are in place and the drop-in by which podman reads them is not.
func (h *host) lacksDropIn(e *facts.Engine) bool {
	return !h.Paths[facts.PodmanDropIn].Exists() && slices.ContainsFunc(e.Others, inDir(facts.AdminPodmanHooks))
}

// inDir returns a function that reports whether a definition is in that directory.
func inDir(dir string) func(facts.Hook) bool {
	return func(hook facts.Hook) bool { return path.Dir(hook.File) == dir }
}

// installFor is how gpu-hook gets into a directory that the engine reads.
func (h *host) installFor(engine string, e *facts.Engine) (command, words string) {
	switch {
	case h.places.Named:
		return "gpu-hook install", ""
	case h.byUser() && overrules(e.SetBy) && strings.HasPrefix(e.SetBy, h.places.UserDir) &&
		!slices.Contains(e.Dirs, userHooks(h.places.UserDir)):
		return userDropIn(h.places.UserDir), ""
	case h.byUser():
		return "gpu-hook install --user", ""
	case engine == state.CRIO && slices.Contains(e.Dirs, facts.SystemHooks) &&
		slices.ContainsFunc(e.Others, inDir(facts.AdminHooks)):
		// Installed where the default directory cannot be written.
		return crioDropIn(append(slices.Clone(e.Dirs), facts.AdminHooks)) + ` && systemctl restart crio`, ""
	case slices.Contains(e.Dirs, facts.SystemHooks), engine != state.CRIO && !overrules(e.SetBy):
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
		return crioDropIn([]string{facts.SystemHooks}) + ` && gpu-hook install --engine crio && systemctl restart crio`, ""
	}
	return `printf '[engine]\nhooks_dir = ["` + facts.SystemHooks + `", "` + h.places.Podman + `"]\n' ` +
		`>/etc/containers/containers.conf.d/zz-gpu-hook.conf && gpu-hook install`, ""
}

// crioDropIn is the command by which CRI-O reads these directories whatever its other drop-ins say.
func crioDropIn(dirs []string) string {
	return `mkdir -p /etc/crio/crio.conf.d && printf '[crio.runtime]\nhooks_dir = [` + quoted(dirs) + `]\n' ` +
		`>/etc/crio/crio.conf.d/99-zz-gpu-hook.conf`
}

// overrules reports whether podman reads the file later than the drop-in of gpu-hook install.
func overrules(setBy string) bool {
	file, _, _ := strings.Cut(setBy, ":")
	return strings.HasSuffix(path.Dir(file), "/containers.conf.d") && path.Base(file) > "50-gpu-hook.conf"
}

// userHooks is where gpu-hook install --user puts its definitions.
func userHooks(config string) string { return config + "/containers/oci/hooks.d" }

// userDropIn is the command by which a user's podman reads gpu-hook's definitions whatever its other drop-ins say.
func userDropIn(config string) string {
	dir := config + "/containers/containers.conf.d"
	return `mkdir -p ` + dir + ` && printf '[engine]\nhooks_dir = ["` + userHooks(config) + `"]\n' >` + dir +
		`/zz-gpu-hook.conf && gpu-hook install --user`
}

func quoted(list []string) string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return strings.Join(out, ", ")
}
