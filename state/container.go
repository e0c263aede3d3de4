package state

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// Container is a container as the runtime describes it to a hook. The author of the container's image or pod may have
// chosen anything in Spec.
type Container struct {
	State State
	Spec  *specs.Spec

	identity identity
}

// Load reads config.json, a regular file of at most 16 MiB, from the state's bundle. Spec.Process and Spec.Root may be
// nil.
func Load(s State) (*Container, error) {
	if !canBeBundle(s.Bundle) {
		return nil, fault.New(fault.Bundle, "state on standard input",
			"bundle %q cannot be a bundle, and the runtime's command line names no other", s.Bundle).
			WithHint("the runtime that calls this hook writes a state that runtime-spec does not allow")
	}
	path := filepath.Join(s.Bundle, "config.json")
	spec, err := readConfig(path)
	if err != nil {
		return nil, fault.New(fault.Bundle, path, "%w", err).
			WithHint("the bundle must hold the config.json that the runtime was started with")
	}
	return &Container{State: s, Spec: spec}, nil
}

// Parse is [Load] with a config.json that was read already.
func Parse(s State, config []byte) (*Container, error) {
	path := filepath.Join(s.Bundle, "config.json")
	spec, err := decodeConfig(bytes.NewReader(config), int64(len(config)))
	if err != nil {
		return nil, fault.New(fault.Bundle, path, "%w", err).WithHint("start the container again")
	}
	return &Container{State: s, Spec: spec}, nil
}

// readConfig reads a config.json. Its errors do not name the path.
func readConfig(path string) (*specs.Spec, error) {
	file, size, err := openConfig(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > limits.Config {
		return nil, ErrTooLarge
	}
	return decodeConfig(linux.NoWait(file), size)
}

// openConfig opens a config.json, and returns its size. Its errors do not name the path.
func openConfig(path string) (file *os.File, size int64, err error) {
	// O_NONBLOCK: a FIFO in its place must not block the container's start.
	if file, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
		return nil, 0, cause(err)
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		return file, info.Size(), nil
	}
	_ = file.Close()
	if err != nil {
		return nil, 0, cause(err)
	}
	return nil, 0, errNotRegular
}

// Env returns the value of name in the process's environment, and whether it is there. Of several entries it takes the
// last, as runtimes do. The name "" is never there: it stands for no variable.
func (c *Container) Env(name string) (unsafeValue string, set bool) {
	if name == "" || strings.Contains(name, "=") {
		return "", false
	}
	for _, entry := range slices.Backward(c.Environment()) {
		// Not strings.Cut, which searches every entry of what may be a megabyte.
		if rest, found := strings.CutPrefix(entry, name); found && strings.HasPrefix(rest, "=") {
			return rest[1:], true
		}
	}
	return "", false
}

// Environment returns the process's environment as config.json has it.
func (c *Container) Environment() (unsafeEntries []string) {
	if c.Spec.Process == nil {
		return nil
	}
	return c.Spec.Process.Env
}

// Privileged reports whether CAP_SYS_ADMIN is in the bounding set of the container's process.
func (c *Container) Privileged() bool {
	p := c.Spec.Process
	return p != nil && p.Capabilities != nil && slices.Contains(p.Capabilities.Bounding, "CAP_SYS_ADMIN")
}
