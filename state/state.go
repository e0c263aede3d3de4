// Package state reads what an OCI runtime hands to a hook: the state JSON on standard input, the bundle's config.json,
// and the process and root filesystem that they name. It changes nothing. The runtime is trusted to write well-formed
// JSON about its own child. Its content (environment, annotations, paths) may come from the author of an image or a pod
// and is not trusted.
package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// State is the state JSON of runtime-spec, with the root filesystem that crun adds to it.
type State struct {
	specs.State
	// Root is an extension of crun: the path of the root filesystem as crun has resolved it, or "".
	Root string `json:"root,omitempty"`
	// Raw is the object as it was read.
	Raw []byte `json:"-"`
}

// Read reads one state object from r, of [limits.State] bytes at most. Nothing but white space may follow it. Its
// content is not checked yet.
func Read(r io.Reader) (State, error) {
	var s State
	raw, err := decode(r, 0, limits.State, &s)
	if err != nil {
		return State{}, fault.New(fault.State, "state on standard input", "%w", err).
			WithHint("gpu-hook createRuntime is run by a container runtime; " +
				"to try a bundle by hand use: gpu-hook explain --bundle DIR")
	}
	s.Raw = raw
	return s, nil
}

// Located returns the state with a bundle that can be one, in Bundle and in Raw. If the state's own cannot, it is
// replaced by the one that the caller names: crun writes "/" into the state of a container with a user namespace. If
// the caller names none either, the state is returned as it is.
func (s State) Located(caller *Caller) State {
	if canBeBundle(s.Bundle) {
		return s
	}
	bundle := caller.bundle(s.ID)
	if !canBeBundle(bundle) {
		return s
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(s.Raw, &fields); err != nil {
		return s
	}
	quoted, err := json.Marshal(bundle)
	if err != nil {
		return s
	}
	fields["bundle"] = quoted
	raw, err := json.Marshal(fields)
	if err != nil {
		return s
	}
	s.Bundle, s.Raw = bundle, raw
	return s
}

// canBeBundle reports whether a path can be that of a bundle.
func canBeBundle(bundle string) bool { return filepath.IsAbs(bundle) && filepath.Clean(bundle) != "/" }

// decode reads exactly one JSON value of at most limit bytes into v, and returns its bytes. size is the expected number
// of bytes, or 0.
func decode(r io.Reader, size, limit int64, v any) ([]byte, error) {
	data, err := readAll(io.LimitReader(r, limit+1), size)
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, ErrTooLarge
	case len(data) == 0:
		return nil, errors.New("it is empty")
	}
	return data, json.Unmarshal(data, v)
}

// readAll is [io.ReadAll] of what is expected to have size bytes: it need not grow and copy its buffer.
func readAll(r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(size, limits.Config)) + bytes.MinRead)
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// ErrTooLarge is in the chain of an error about a state or config.json that is larger than it may be.
var ErrTooLarge = errors.New("it is larger than gpu-hook reads")
