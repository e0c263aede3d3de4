package inject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxOutput bounds what is kept of a program's output, in bytes; maxQuoted what of it goes into an error.
const (
	maxOutput = 64 << 10
	maxQuoted = 600
)

// command is a foreign program: a Spec's hook or the delegate.
type command struct {
	path    string
	args    []string // with argv[0]
	env     []string // all of it: nothing of our own environment, nothing of the container's
	dir     string
	stdin   []byte
	timeout time.Duration // 0: the context's alone
}

// run runs the command in a process group of its own, waits for it and returns the end of what it wrote, on one line. At
// the deadline, and when ctx ends, the whole group is killed; a grandchild that keeps the output open is not waited for.
// An error carries what the program wrote. It runs in the namespaces of the calling thread.
func (c command) run(ctx context.Context) (said string, err error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	// Pdeathsig follows the thread, which must not end before the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output := &tail{}
	cmd := exec.CommandContext(ctx, c.path)
	cmd.Args = c.args
	// nil would mean our own environment.
	cmd.Env = append([]string{}, c.env...)
	cmd.Dir = c.dir
	cmd.Stdin = bytes.NewReader(c.stdin)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	said = output.line()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return said, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = errors.New("it did not end in time and was killed")
	case ctx.Err() != nil:
		err = errors.New("it was killed, because gpu-hook was told to end")
	}
	if said != "" {
		err = fmt.Errorf("%w; it said: %q", err, said)
	}
	return said, err
}

// tail keeps the end of what is written to it. Reading a child's pipe to its end without keeping all of it is what lets
// the child go on.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxOutput; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// line is the end of the output, on one line.
func (t *tail) line() string {
	text := strings.Join(strings.Fields(string(t.kept)), " ")
	if len(text) > maxQuoted {
		text = "…" + text[len(text)-maxQuoted:]
	}
	return text
}
