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

// maxAloud bounds what is written past crun, in bytes: a pipe takes that much in one piece or not at all, and conmon reads
// not much more.
const maxAloud = 4000

// sayPastCrun writes the lines of a refusal to the standard error of crun, which throws away what a hook writes to its own:
// conmon reads that, and podman shows it unless crun's log holds exactly one object, so one of ours is put there too. Where
// the parent is not crun, where the administrator has given hooks a place to write to, and where something does not go as
// it should, nothing more is said. It never waits.
func sayPastCrun(lines []string) {
	text := strings.Join(lines, "\n") + "\n"
	if len(text) > maxAloud {
		text = text[:maxAloud]
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
	dir  string // in /proc
	args []string
}

func parent() (caller, error) {
	c := caller{dir: fmt.Sprintf("/proc/%d", os.Getppid())}
	data, err := os.ReadFile(filepath.Join(c.dir, "cmdline"))
	c.args = strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	return c, err
}

// isCrun goes by the name that it was called by and by its program.
func (c caller) isCrun() bool {
	program, err := os.Readlink(filepath.Join(c.dir, "exe"))
	return strings.HasPrefix(filepath.Base(c.args[0]), "crun") || (err == nil && strings.HasPrefix(filepath.Base(program), "crun"))
}

// discarded reports whether what is written to the file is thrown away.
func discarded(file *os.File) bool {
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := file.Stat()
	return err == nil && os.SameFile(info, null)
}

// write writes to the caller's standard error, if that is a pipe or a terminal. A file could be overwritten, as we do not
// share the caller's place in it.
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

// log appends an object to the log in JSON that the caller was started with, if that is a file of ours.
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
	object, err := json.Marshal(map[string]string{"msg": strings.TrimSpace(text), "level": "error", "time": time.Now().UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return err
	}
	return writeTo(path, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW, string(append(object, '\n')))
}

// option returns the value of the last option of that name, or "".
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

// writeTo writes in one piece, or not at all. The file is not Go's own kind of file, which would wait.
func writeTo(path string, flags int, text string) error {
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	_, err = unix.Write(fd, []byte(text))
	return errors.Join(os.NewSyscallError("write", err), unix.Close(fd))
}
