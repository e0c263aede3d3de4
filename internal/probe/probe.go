// Package probe asks programs of the host what they are and whether they work. It is for commands that a person calls:
// no start of a container runs a program to look at the host.
package probe

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// ErrNoAnswer is that of a program which was not run, or did not end in time: nothing is known of it.
var ErrNoAnswer = errors.New("it gave no answer")

// timeout bounds one program, and maxSaid what is kept of its output, in bytes.
const (
	timeout = 2 * time.Second
	maxSaid = 4 << 10
)

// Ask runs the program, whose path is absolute, and returns what it wrote. The error is that of a program that ended
// with another status than 0, or is [ErrNoAnswer].
//
// The program must be root's alone, with everything on the way to it. Its arguments must be such that it changes
// nothing. It gets nothing of this process but its rights: no environment, no input, its own process group, which is
// killed at the timeout.
func Ask(program string, args ...string) (said string, err error) {
	if err := trust.Root().Executable(program); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	output := &head{}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/nonexistent"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // its output is read a while after its end on a busy host
	err = cmd.Run()
	said = strings.TrimSpace(string(output.kept))
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil, err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay):
		return "", fmt.Errorf("%w: %w", ErrNoAnswer, err)
	case exit != nil:
		return said, exit
	}
	return said, nil
}

// head keeps the beginning of what is written to it, and accepts everything.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), maxSaid-len(h.kept))]...)
	return len(p), nil
}
