// Package early ends the process for a container that requests nothing, before main and before the libraries of the
// program are initialised. Their initialisation takes as long as all the rest of such a run.
//
// Go initialises packages in the order of their import paths, each once its imports are initialised. This package
// imports little but syscall, so that it comes before every package that needs more. TestBeforeLibraries holds that.
//
// It does not decide itself. Package internal/quiet decides, and any container that is not certainly quiet is left to
// main, together with what was read of standard input.
package early

import (
	"errors"
	"syscall"

	"github.com/gpu-hook/gpu-hook/internal/quiet"
)

// maxState bounds a state that may be a quiet container's, in bytes.
const maxState = 256 << 10

// defaultConfig is the host's configuration file, and userConfig that of a user below the directory of configurations.
const (
	defaultConfig = "/etc/gpu-hook/config.toml"
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

// isQuiet reports whether the command line is that of a hook and its container requests nothing. If so, the work of the
// stage is done.
func isQuiet() (quiet bool) {
	// A defect must not end the process with Go's own exit status.
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

// triggersOf returns the triggers with those of the configuration. Where two files may be the configuration, both
// count.
func triggersOf(c command) (t *quiet.Triggers, ok bool) {
	t = quiet.NewTriggers()
	files := []string{c.config}
	if c.config == "" {
		files = append(userFiles(), defaultConfig)
	}
	for _, file := range files {
		if climbs(file) {
			return nil, false
		}
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

// climbs reports whether a path has an element "..". Package config removes it together with the element before it, but
// the kernel follows that one, which may be a link or missing: each would find another file.
func climbs(path string) bool {
	start := 0
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if path[start:i] == ".." {
			return true
		}
		start = i + 1
	}
	return false
}

// userFiles returns the paths at which a user may have a configuration. The host's root has none. It must not be looked
// for: podman runs precreate with its caller's HOME, and a file that main never looks for is never in the kernel's
// cache. So each start went the full way, 3.3 ms instead of 1.4.
func userFiles() []string {
	if syscall.Getuid() == 0 && isInitial(uidMap()) {
		return nil
	}
	return filesOfUser()
}

// filesOfUser is userFiles by the environment alone.
func filesOfUser() []string {
	if dir, _ := syscall.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return []string{dir + userConfig}
	}
	if dir, _ := syscall.Getenv("HOME"); dir != "" {
		return []string{dir + "/.config" + userConfig}
	}
	return nil
}
