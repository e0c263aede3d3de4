// Package early ends the process for a container that requests nothing, before main and before the libraries of the
// program are initialised: that takes as long as everything else that a quiet container costs.
//
// Go initialises packages in the order of their import paths, each once its imports are. This one imports little but
// syscall, so that it comes before all that needs more. TestBeforeLibraries holds that.
//
// It decides nothing itself: package internal/quiet does, and for all that is not certainly quiet main begins as if
// nothing had been.
package early

import (
	"errors"
	"syscall"

	"github.com/gpu-hook/gpu-hook/internal/quiet"
)

// maxState bounds a state that may be a quiet container's, in bytes.
const maxState = 256 << 10

// DefaultConfig is the host's configuration file, and userConfig that of a user below the directory of configurations.
const (
	DefaultConfig = "/etc/gpu-hook/config.toml"
	userConfig    = "/gpu-hook/config.toml"
)

// Input is what was read from standard input before main.
type Input struct {
	Data  []byte
	Ended bool // nothing follows it
}

var input Input //nolint:gochecknoglobals // init can hand nothing to main in another way

// Read returns what main no longer finds on standard input.
func Read() Input { return input }

func init() {
	if isQuiet() {
		syscall.Exit(0)
	}
}

// isQuiet reports whether the command line is a hook's and its container requests nothing. It has done then what the
// stage is there for.
func isQuiet() (quiet bool) {
	// A defect must not end the process with a status of Go's own.
	defer func() {
		if recover() != nil {
			quiet = false
		}
	}()
	c, ok := parse(commandLine())
	if !ok {
		return false
	}
	if c.stage == "precreate" {
		return precreate(c)
	}
	return createRuntime(c)
}

// createRuntime looks at the container whose state is on standard input.
func createRuntime(c command) bool {
	input.Data, input.Ended = readInput(maxState)
	if !input.Ended {
		return false
	}
	triggers, ok := triggersOf(c)
	if !ok {
		return false
	}
	bundle, ok := quiet.Bundle(input.Data, triggers)
	if !ok {
		return false
	}
	spec, err := readFile(bundle+"/config.json", quiet.MaxSpec)
	return err == nil && quiet.Spec(spec, triggers)
}

// precreate looks at the container whose spec is on standard input, and prints that.
func precreate(c command) bool {
	input.Data, input.Ended = readInput(quiet.MaxSpec)
	if !input.Ended {
		return false
	}
	triggers, ok := triggersOf(c)
	return ok && quiet.Spec(input.Data, triggers) && blocks(syscall.Stdout) && write(syscall.Stdout, input.Data)
}

// triggersOf returns the triggers with those of the configuration. Where two files may be the configuration, both count.
func triggersOf(c command) (t *quiet.Triggers, ok bool) {
	t = quiet.NewTriggers()
	files := []string{c.config}
	if c.config == "" {
		files = append(userFiles(), DefaultConfig)
	}
	for _, file := range files {
		text, err := readFile(file, quiet.MaxConfig)
		if errors.Is(err, syscall.ENOENT) {
			continue
		}
		if err != nil || !t.AddConfig(text) {
			return nil, false
		}
	}
	return t, true
}

// userFiles returns the paths at which a user may have a configuration.
func userFiles() []string {
	if dir, _ := syscall.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return []string{dir + userConfig}
	}
	if dir, _ := syscall.Getenv("HOME"); dir != "" {
		return []string{dir + "/.config" + userConfig}
	}
	return nil
}
