package engine

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// Tries is a script for containers of [Running]. It reads paths, tries to open each of them for writing, and answers.
const Tries = `while read -r path; do (: >"$path") 2>/dev/null && echo open || echo denied; done`

// Evaluates is a script for containers of [Running]. It runs each line that it reads as a shell command, and answers
// with everything that the command prints.
const Evaluates = `while read -r line; do echo $(eval "$line" 2>&1); done`

// Running is a container in the foreground whose process answers each line that it reads with one line. It is the same
// process all the time, so a test need not wait for anything but the answer.
type Running struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// Start starts a container by this command line, in dir.
func Start(dir string, argv ...string) (*Running, error) {
	r := &Running{cmd: exec.Command(argv[0], argv[1:]...)}
	r.cmd.Dir = dir
	r.cmd.Stderr = &r.stderr
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r.stdout = bufio.NewReader(stdout)
	return r, r.cmd.Start()
}

// Ask returns the container's answer. If there is none, the container did not start, and the error has what the runtime
// wrote.
func (r *Running) Ask(line string) (string, error) {
	_, err := io.WriteString(r.stdin, line+"\n")
	var answer string
	if err == nil {
		answer, err = r.stdout.ReadString('\n')
	}
	if err != nil {
		_ = r.End()
		return "", fmt.Errorf("no answer: %w: %s", err, r.stderr.String())
	}
	return strings.TrimSpace(answer), nil
}

// End ends the container by closing its input, and waits for it. It may be called more than once.
func (r *Running) End() error {
	if r.cmd.ProcessState != nil {
		return nil
	}
	_ = r.stdin.Close()
	return r.cmd.Wait()
}

// Start starts a container of this name in the foreground, whose program must answer. Other commands of podman can name
// it.
func (p *Podman) Start(name string, b gpuhost.Bundle) (*Running, error) {
	run := append([]string{"run", "--rm", "--interactive", "--name", name}, p.Container(b)...)
	return Start(p.site.Dir, p.Command(run...)...)
}
