// Package definition holds the hook definitions that podman and CRI-O read, ready to install (oci-hooks(5), 1.0.0).
//
// They match every container, because no engine can match on the environment; for a container that requests nothing,
// gpu-hook takes about as long as an empty program. Their env is not empty, because the hook would then get the
// engine's own environment.
package definition

import (
	_ "embed"
	"encoding/json"
)

// Names of the definitions' files in a hooks directory. [Precreate] is for podman alone: CRI-O does not start if a
// definition names a stage that it does not know. The names differ, because a definition replaces one of the same name
// in a directory that is read earlier.
const (
	CreateRuntime = "gpu-hook.json"
	Precreate     = "gpu-hook-precreate.json"
)

//go:embed gpu-hook.json
var createRuntime []byte

//go:embed gpu-hook-precreate.json
var precreate []byte

// definition is the content of a definition's file.
type definition struct {
	Version string          `json:"version"`
	Hook    hook            `json:"hook"`
	When    json.RawMessage `json:"when"`
	Stages  []string        `json:"stages"`
}

// hook is the program that a definition makes engines run.
type hook struct {
	Path    string   `json:"path"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Timeout int      `json:"timeout"`
}

// For returns the shipped definition of this name for the binary at path. The flags are added before the command. The
// engine, unless it is "", is named after the command. The variables in env are added to the shipped ones.
//
// allowed is the time in seconds that gpu-hook allows itself. The engine's timeout is at least twice that, so that the
// engine does not kill gpu-hook while it undoes its changes.
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
