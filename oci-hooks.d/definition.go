// Package definition holds the hook definition that podman and CRI-O read, ready to install (oci-hooks(5), 1.0.0). It
// matches every container: no engine can match on environment, and gpu-hook decides by itself in about the time that an
// empty program takes. Its env is not empty, or the hook would get the engine's own.
package definition

import (
	_ "embed"
	"encoding/json"
)

// Name is the file's name in a hooks directory.
const Name = "gpu-hook.json"

//go:embed gpu-hook.json
var shipped []byte

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

// For returns the shipped definition for a binary at path, with flags before the command and variables beside the shipped
// ones. The engine's patience, in seconds, is the shipped one or, if that is less, twice what gpu-hook itself allows: it
// must not be killed while it takes back what it has made.
func For(path string, flags, env []string, allowed int) ([]byte, error) {
	var d definition
	if err := json.Unmarshal(shipped, &d); err != nil {
		return nil, err
	}
	d.Hook.Path = path
	d.Hook.Env = append(d.Hook.Env, env...)
	d.Hook.Timeout = max(d.Hook.Timeout, 2*allowed)
	args := append([]string{d.Hook.Args[0]}, flags...)
	d.Hook.Args = append(args, d.Hook.Args[1:]...)
	out, err := json.MarshalIndent(d, "", "  ")
	return append(out, '\n'), err
}
