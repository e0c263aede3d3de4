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

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// maxOutput and maxQuoted bound how many bytes of a program's output are kept, and how many are quoted in an error.
const (
	maxOutput = 64 << 10
	maxQuoted = 600
)

// command is a program that is not ours: a Spec's hook or the delegate.
type command struct {
	path    string
	args    []string // with argv[0]
	env     []string // the whole environment: nothing of ours or the container's is added
	dir     string
	stdin   []byte
	timeout time.Duration // 0: only the context ends it
}

// run runs the command in the namespaces of the calling thread, waits for it and returns the end of its output, on one
// line. An error quotes that output.
//
// The command has a process group of its own, which is killed at the timeout and when ctx ends. A grandchild that keeps
// the output open is not waited for.
func (c command) run(ctx context.Context) (said string, err error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	// Pdeathsig kills the program when the thread that started it ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := linux.DropInheritable(); err != nil {
		return "", err
	}
	output := &tail{}
	cmd := exec.CommandContext(ctx, c.path)
	cmd.Args = c.args
	// With nil it would get our own environment.
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

// tail keeps the end of what is written to it. It accepts everything, so that a program which writes more than is kept
// does not block on a full pipe.
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
