package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxPastCrun bounds what is written past crun, in bytes. A pipe takes that much in one piece or not at all (PIPE_BUF),
// and conmon does not read much more.
const maxPastCrun = 4000

// sayPastCrun writes the lines of a refusal to the standard error of crun, because crun discards what a hook writes to
// its own. conmon reads crun's standard error, and podman shows it unless crun's log holds exactly one object.
// Therefore sayPastCrun also appends an object to that log.
//
// It writes nothing if the parent is not crun, or if the administrator has configured where the output of hooks goes.
// It ignores errors, and it never blocks.
func sayPastCrun(lines []string) {
	text := strings.Join(lines, "\n") + "\n"
	if len(text) > maxPastCrun {
		text = text[:maxPastCrun]
	}
	crun, err := parent()
	if err != nil || !crun.isCrun() || !discarded(os.Stderr) {
		return
	}
	if crun.write(text) == nil {
		_ = crun.log(text)
	}
}

// caller is the process that runs this hook.
type caller struct {
	dir  string   // its directory in /proc
	args []string // its command line
}

// parent returns the parent process.
func parent() (caller, error) {
	c := caller{dir: fmt.Sprintf("/proc/%d", os.Getppid())}
	data, err := os.ReadFile(filepath.Join(c.dir, "cmdline"))
	c.args = strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	return c, err
}

// isCrun reports whether the caller is crun: by its first argument, or by the name of the program that it executes.
func (c caller) isCrun() bool {
	program, err := os.Readlink(filepath.Join(c.dir, "exe"))
	named := func(path string) bool { return strings.HasPrefix(filepath.Base(path), "crun") }
	return named(c.args[0]) || err == nil && named(program)
}

// discarded reports whether the file is /dev/null.
func discarded(file *os.File) bool {
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := file.Stat()
	return err == nil && os.SameFile(info, null)
}

// write writes the text to the caller's standard error if that is a pipe or a terminal. In a regular file it could
// overwrite something, because opening the file again does not share the caller's offset.
func (c caller) write(text string) error {
	path := filepath.Join(c.dir, "fd/2")
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode()&(os.ModeNamedPipe|os.ModeCharDevice) == 0 {
		return errors.New("it is neither a pipe nor a terminal")
	}
	return writeTo(path, unix.O_WRONLY|unix.O_NOCTTY, text)
}

// log appends an object with the text to the JSON log that the caller was started with, if that is a regular file.
func (c caller) log(text string) error {
	path := c.option("--log")
	if c.option("--log-format") != "json" || !filepath.IsAbs(path) {
		return errors.New("it has no log in JSON")
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	object, err := json.Marshal(map[string]string{
		"msg": strings.TrimSpace(text), "level": "error", "time": time.Now().UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		return err
	}
	return writeTo(path, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW, string(append(object, '\n')))
}

// option returns the value of the last option of this name on the caller's command line, or "".
func (c caller) option(name string) (value string) {
	for i, arg := range c.args {
		switch after, found := strings.CutPrefix(arg, name+"="); {
		case found:
			value = after
		case arg == name && i+1 < len(c.args):
			value = c.args[i+1]
		}
	}
	return value
}

// writeTo writes the text in one system call that does not block. It does not use [os.File], whose writes would wait
// until a full pipe is read.
func writeTo(path string, flags int, text string) error {
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	_, err = unix.Write(fd, []byte(text))
	return errors.Join(os.NewSyscallError("write", err), unix.Close(fd))
}
