package facts

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// SystemHooks is where podman and CRI-O look for hook definitions unless they are configured otherwise.
const SystemHooks = "/usr/share/containers/oci/hooks.d"

// Directories in which gpu-hook install puts its definitions where the default ones are read-only, and the drop-in by
// which podman reads its own.
const (
	AdminHooks       = "/etc/containers/oci/hooks.d"
	AdminPodmanHooks = "/etc/gpu-hook/podman-hooks.d"
	PodmanDropIn     = "/etc/containers/containers.conf.d/50-gpu-hook.conf"
)

// Engine is what an engine's configuration says of hooks, and what is there.
type Engine struct {
	Present bool
	Dirs    []string // that it reads, in order: of two definitions of one name that of the later directory counts
	SetBy   string   // the file and line that set them, or "" for the default
	Broken  []string // configuration files that cannot be parsed, with the reason
	Runtime string   // the configured OCI runtime, or ""
	Hooks   []Hook   // in Dirs, masked ones too
	Others  []Hook   // definitions that call gpu-hook in directories that it does not read
	Unread  []string // files in Dirs that may be definitions of gpu-hook and are not read because of their names
}

// Hook is a hook definition.
type Hook struct {
	File   string
	Error  string // why it cannot be read, or ""
	Masked string // the file of a later directory that takes its place, or ""

	Version string `json:"version"`
	Hook    struct {
		Path    string   `json:"path"`
		Args    []string `json:"args"`
		Timeout int      `json:"timeout"`
	} `json:"hook"`
	When   map[string]json.RawMessage `json:"when"`
	Stages []string                   `json:"stages"`
}

// Calls reports whether the definition calls gpu-hook at the stage.
func (h *Hook) Calls(stage string) bool {
	return h.Error == "" && path.Base(h.Hook.Path) == "gpu-hook" && slices.Contains(h.Stages, stage)
}

// Engine is the one that the definition names, or "".
func (h *Hook) Engine() string {
	i := slices.Index(h.Hook.Args, "--engine")
	if i < 0 || i+1 == len(h.Hook.Args) {
		return ""
	}
	return h.Hook.Args[i+1]
}

// Active returns the definitions that take effect.
func (e *Engine) Active() []Hook {
	var out []Hook
	for _, h := range e.Hooks {
		if h.Masked == "" {
			out = append(out, h)
		}
	}
	return out
}

// podman reads podman's configuration in the order in which podman does: the host's, the administrator's, the user's.
func (r reader) podman(q Query) Engine {
	e := Engine{Present: r.installed("podman"), Dirs: []string{SystemHooks}}
	places := []string{"/usr/share/containers", "/etc/containers"}
	if q.UserDir != "" {
		places = append(places, q.UserDir+"/containers")
	}
	for _, place := range places {
		files := []string{place + "/containers.conf"}
		for _, name := range r.names(place + "/containers.conf.d") {
			if strings.HasSuffix(name, ".conf") {
				files = append(files, place+"/containers.conf.d/"+name)
			}
		}
		for _, file := range files {
			r.configure(&e, file, func(c engineConf) ([]any, string) { return c.Engine.HooksDir, c.Engine.Runtime })
		}
	}
	r.definitions(&e, q)
	return e
}

// crio reads CRI-O's configuration.
func (r reader) crio(q Query) Engine {
	e := Engine{Present: r.installed("crio"), Dirs: []string{SystemHooks}}
	files := []string{"/etc/crio/crio.conf"}
	for _, name := range r.names("/etc/crio/crio.conf.d") {
		files = append(files, "/etc/crio/crio.conf.d/"+name)
	}
	for _, file := range files {
		r.configure(&e, file, func(c engineConf) ([]any, string) {
			return c.CRIO.Runtime.HooksDir, c.CRIO.Runtime.DefaultRuntime
		})
	}
	r.definitions(&e, q)
	return e
}

func (r reader) installed(name string) bool {
	found := map[string]string{}
	r.tools(found)
	return found[name] != ""
}

// engineConf is what containers.conf and crio.conf have in them that matters here.
type engineConf struct {
	Engine struct {
		HooksDir []any  `toml:"hooks_dir"`
		Runtime  string `toml:"runtime"`
	} `toml:"engine"`
	CRIO struct {
		Runtime struct {
			HooksDir       []any  `toml:"hooks_dir"`
			DefaultRuntime string `toml:"default_runtime"`
		} `toml:"runtime"`
	} `toml:"crio"`
}

// configure applies a configuration file to what is known of the engine.
func (r reader) configure(e *Engine, file string, of func(engineConf) ([]any, string)) {
	text := r.text(file)
	if text == "" {
		return
	}
	var conf engineConf
	if _, err := toml.Decode(text, &conf); err != nil {
		e.Broken = append(e.Broken, file+": "+strings.ReplaceAll(err.Error(), "toml: ", ""))
		return
	}
	dirs, runtime := of(conf)
	if runtime != "" {
		e.Runtime = runtime
	}
	if dirs == nil {
		return
	}
	e.SetBy = fmt.Sprintf("%s:%d", file, lineOf(r.text(file), "hooks_dir"))
	var list []string
	more := false
	for _, v := range dirs {
		switch v := v.(type) {
		case string:
			list = append(list, v)
		case map[string]any: // {append = true} of newer podmans
			more, _ = v["append"].(bool)
		}
	}
	if more {
		list = append(slices.Clone(e.Dirs), list...)
	}
	e.Dirs = list
}

// lineOf returns the number of the first line that sets the key, or 1.
func lineOf(text, key string) int {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), key) {
			return n
		}
	}
	return 1
}

// definitions reads the definitions in the engine's directories, and looks for those of gpu-hook in others.
func (r reader) definitions(e *Engine, q Query) {
	if q.Only != nil {
		e.Dirs, e.SetBy = q.Only, ""
	}
	for _, dir := range e.Dirs {
		for _, h := range r.hooks(dir) {
			for i := range e.Hooks {
				if path.Base(e.Hooks[i].File) == path.Base(h.File) {
					e.Hooks[i].Masked = h.File
				}
			}
			e.Hooks = append(e.Hooks, h)
		}
		for _, name := range r.names(dir) {
			if strings.Contains(name, "gpu-hook") && !strings.HasSuffix(name, ".json") {
				e.Unread = append(e.Unread, path.Join(dir, name))
			}
		}
	}
	for _, dir := range q.HookDirs {
		if slices.Contains(e.Dirs, dir) {
			continue
		}
		for _, h := range r.hooks(dir) {
			if h.Calls("createRuntime") {
				e.Others = append(e.Others, h)
			}
		}
	}
}

// hooks reads the definitions in a directory.
func (r reader) hooks(dir string) []Hook {
	var out []Hook
	for _, name := range r.names(dir) {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		h := Hook{File: path.Join(dir, name)}
		if err := h.decode([]byte(r.text(h.File))); err != nil {
			h.Error = err.Error()
		}
		out = append(out, h)
	}
	return out
}

// decode reads a definition of the format 1.0.0, or of the older one that names its program by a string.
func (h *Hook) decode(data []byte) error {
	var old struct {
		Version string   `json:"version"`
		Hook    string   `json:"hook"`
		Stages  []string `json:"stages"`
	}
	if json.Unmarshal(data, &old) == nil && old.Version != "1.0.0" {
		h.Version, h.Hook.Path, h.Stages = old.Version, old.Hook, old.Stages
		return nil
	}
	return json.Unmarshal(data, h)
}
