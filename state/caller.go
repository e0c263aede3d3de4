package state

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Caller is what /proc shows of the programs that run this hook: the runtime, and the program that started the runtime.
// A container's configuration cannot change it. /proc is read once, at the first question. A nil Caller knows nothing.
type Caller struct {
	read func() commandLines
}

// commandLines are the arguments of the two programs, each with its own name first.
type commandLines struct{ runtime, launcher []string }

// CallerOf returns the caller of a hook whose parent process, the runtime, is pid.
func CallerOf(pid int) *Caller {
	return &Caller{sync.OnceValue(func() commandLines {
		out := commandLines{runtime: commandLine(pid)}
		if launcher, err := parentOf(pid); err == nil {
			out.launcher = commandLine(launcher)
		}
		return out
	})}
}

// runFor returns the command lines if the runtime was run for the container with this id: its arguments name it.
func (c *Caller) runFor(id string) (commandLines, bool) {
	if c == nil || id == "" {
		return commandLines{}, false
	}
	lines := c.read()
	return lines, len(lines.runtime) > 1 && slices.Contains(lines.runtime[1:], id)
}

// conmon returns the command line of the conmon by which podman watches the container with this id, or nil.
func (c *Caller) conmon(id string) []string {
	lines, ok := c.runFor(id)
	if !ok || len(lines.launcher) == 0 || filepath.Base(lines.launcher[0]) != "conmon" {
		return nil
	}
	exitCommand := flagValue(lines.launcher, "--exit-command")
	if flagValue(lines.launcher, "-c", "--cid") != id || filepath.Base(exitCommand) != "podman" {
		return nil
	}
	return lines.launcher
}

// bundle returns the absolute path of the bundle of the container with this id, or "". It is taken from the runtime's
// arguments or else from crun's status file.
func (c *Caller) bundle(id string) string {
	lines, ok := c.runFor(id)
	if !ok {
		return ""
	}
	if dir := flagValue(lines.runtime[1:], "--bundle", "-b"); filepath.IsAbs(dir) {
		return dir
	}
	if filepath.Base(id) != id {
		return ""
	}
	for _, root := range lines.crunRoots() {
		if dir := bundleInStatus(filepath.Join(root, id, "status")); filepath.IsAbs(dir) {
			return dir
		}
	}
	return ""
}

// crunRoots returns the directories in which crun may keep the status files of its containers.
func (l commandLines) crunRoots() []string {
	if root := flagValue(l.runtime[1:], "--root"); root != "" {
		return []string{root}
	}
	return []string{"/run/crun", fmt.Sprintf("/run/user/%d/crun", trust.Identify().UID)}
}

// bundleInStatus returns the bundle that crun's status file of a container names, or "".
func bundleInStatus(path string) string {
	var status struct{ Bundle string }
	data, err := readSmall(path)
	if err != nil || json.Unmarshal(data, &status) != nil {
		return ""
	}
	return status.Bundle
}

// flagValue returns the value of the first argument that is one of the flags, as "FLAG VALUE" or "FLAG=VALUE", or "".
func flagValue(args []string, flags ...string) string {
	for i, arg := range args {
		for _, flag := range flags {
			if arg == flag && i+1 < len(args) {
				return args[i+1]
			}
			if value, found := strings.CutPrefix(arg, flag+"="); found {
				return value
			}
		}
	}
	return ""
}

// commandLine returns the arguments of a process, its own name first, or nil if they cannot be read.
func commandLine(pid int) []string {
	data, err := readSmall(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// readSmall reads the first bytes of a file, which is one of /proc, of a runtime or of an engine.
func readSmall(path string) ([]byte, error) {
	// O_NONBLOCK: a FIFO in its place must not block the container's start.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(linux.NoWait(file), limits.SmallFile))
}
