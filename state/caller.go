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

	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// maxStatus bounds what is read of /proc and of a runtime's own notes, in bytes.
const maxStatus = 1 << 20

// Caller is what the kernel says of the programs that have this hook run: the runtime, and the one that has started the
// runtime. Nothing that a container carries can change it. It is asked once, when something is to be known. nil knows
// nothing.
type Caller struct {
	ask func() lines
}

// lines are command lines.
type lines struct{ runtime, launcher []string }

// CallerOf returns the caller of a hook whose parent is pid.
func CallerOf(pid int) *Caller {
	return &Caller{sync.OnceValue(func() lines {
		out := lines{runtime: commandLine(pid)}
		if launcher, err := parentOf(pid); err == nil {
			out.launcher = commandLine(launcher)
		}
		return out
	})}
}

// of returns the command lines if the runtime was called for the container of this id: its own names it.
func (c *Caller) of(id string) (lines, bool) {
	if c == nil || id == "" {
		return lines{}, false
	}
	l := c.ask()
	return l, len(l.runtime) > 1 && slices.Contains(l.runtime[1:], id)
}

// monitor returns the command line of podman's conmon that watches the container of this id, or nil.
func (c *Caller) monitor(id string) []string {
	l, ok := c.of(id)
	if !ok || len(l.launcher) == 0 || filepath.Base(l.launcher[0]) != "conmon" || valueOf(l.launcher, "-c", "--cid") != id {
		return nil
	}
	if filepath.Base(valueOf(l.launcher, "--exit-command")) != "podman" {
		return nil
	}
	return l.launcher
}

// bundle returns the bundle of the container of this id, absolute, as the runtime was told it or else as crun has noted
// it down, or "".
func (c *Caller) bundle(id string) string {
	l, ok := c.of(id)
	if !ok {
		return ""
	}
	if dir := valueOf(l.runtime[1:], "--bundle", "-b"); filepath.IsAbs(dir) {
		return dir
	}
	if filepath.Base(id) != id {
		return ""
	}
	for _, root := range l.roots() {
		if dir := noted(filepath.Join(root, id, "status")); filepath.IsAbs(dir) {
			return dir
		}
	}
	return ""
}

// roots are the directories in which crun may keep its notes.
func (l lines) roots() []string {
	if root := valueOf(l.runtime[1:], "--root"); root != "" {
		return []string{root}
	}
	return []string{"/run/crun", fmt.Sprintf("/run/user/%d/crun", trust.Identify().UID)}
}

// noted returns the bundle in crun's note about a container, or "".
func noted(path string) string {
	var note struct{ Bundle string }
	data, err := readSmall(path)
	if err != nil || json.Unmarshal(data, &note) != nil {
		return ""
	}
	return note.Bundle
}

// valueOf returns the value of the first of the flags that stands in a command line, as "FLAG VALUE" or "FLAG=VALUE", or "".
func valueOf(args []string, flags ...string) string {
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

// commandLine returns the arguments of a process, the first of which is its own name, or nil.
func commandLine(pid int) []string {
	data, err := readSmall(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

func readSmall(path string) ([]byte, error) {
	// O_NONBLOCK: a FIFO in its place must not hold the container's start.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxStatus))
}
