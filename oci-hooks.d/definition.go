// Package definition holds the hook definitions that podman and CRI-O read, ready to install (oci-hooks(5), 1.0.0). They
// match every container: no engine can match on environment, and gpu-hook decides by itself in about the time that an
// empty program takes. Their env is not empty, or the hook would get the engine's own.
package definition

import (
	_ "embed"
	"encoding/json"
)

// Names of the definitions' files in a hooks directory. [Precreate] is podman's alone: CRI-O does not start where it finds
// a stage that it does not know. The names differ, or a directory that is read later would hide one definition by the
// other.
const (
	CreateRuntime = "gpu-hook.json"
	Precreate     = "gpu-hook-precreate.json"
)

//go:embed gpu-hook.json
var createRuntime []byte

//go:embed gpu-hook-precreate.json
var precreate []byte

type definition struct {
	Version string          `json:"version"`
	Hook    hook            `json:"hook"`
	When    json.RawMessage `json:"when"`
	Stages  []string        `json:"stages"`
}

type hook struct {
	Path    string   `json:"path"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Timeout int      `json:"timeout"`
}

// For returns the shipped definition of that name for a binary at path, with flags before the command, the engine that
// reads it, if that is known, behind it, and variables beside the shipped ones. The engine's patience, in seconds, is the shipped one or, if that is less, twice what gpu-hook itself
// allows: it must not be killed while it takes back what it has made.
func For(name, path, engine string, flags, env []string, allowed int) ([]byte, error) {
	shipped := createRuntime
	if name == Precreate {
		shipped = precreate
	}
	var d definition
	if err := json.Unmarshal(shipped, &d); err != nil {
		return nil, err
	}
	d.Hook.Path = path
	d.Hook.Env = append(d.Hook.Env, env...)
	d.Hook.Timeout = max(d.Hook.Timeout, 2*allowed)
	args := append([]string{d.Hook.Args[0]}, flags...)
	d.Hook.Args = append(args, d.Hook.Args[1:]...)
	if engine != "" {
		d.Hook.Args = append(d.Hook.Args, "--engine", engine)
	}
	out, err := json.MarshalIndent(d, "", "  ")
	return append(out, '\n'), err
}
