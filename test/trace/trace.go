//go:build amd64

// Package trace runs a program under ptrace(2) and makes one of its system calls fail, or kills it there. strace does
// that too, but it counts the calls of each thread by themselves. A Go program moves its work between threads, so that
// it would depend on chance which call is hit.
package trace

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Plan says what to do with which call. The zero value changes nothing.
type Plan struct {
	// Begin is a path: the calls are counted from the last of so many calls that look it up.
	Begin string
	Times int

	// Name and N are the call: the N-th of this name since the beginning, of all threads together.
	Name string
	N    int

	Errno unix.Errno // that it fails with
	Kill  bool       // the process is killed before it

	// Enter is called before the program is started, on a thread that runs nothing else and ends with it, if it is not
	// nil.
	Enter func() error
}

// Call is a system call since the beginning.
type Call struct {
	Name   string
	N      int
	Detail string // its path, or the file of its descriptor
}

func (c Call) String() string { return fmt.Sprintf("%s #%d (%s)", c.Name, c.N, c.Detail) }

// Outcome is how a run ended.
type Outcome struct {
	Status int    // or -1 if a signal ended it
	Hung   bool   // it was killed, because it did not end
	Calls  []Call // of a plan without a name: all that are counted
	Hit    *Call  // the call that failed, or before which the process was killed
	Begun  int    // how often the beginning was looked up
}

// patience is how long a run may take.
const patience = time.Minute

// Run runs the program with these files as its standard ones. Programs that it runs are not traced.
func Run(argv, env []string, dir string, files [3]*os.File, plan Plan) (outcome Outcome, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // a tracer is a thread, and this one is not used again
		if plan.Enter != nil {
			if err = plan.Enter(); err != nil {
				return
			}
		}
		outcome, err = run(argv, env, dir, files, plan)
	}()
	<-done
	return outcome, err
}

func run(argv, env []string, dir string, files [3]*os.File, plan Plan) (Outcome, error) {
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Ptrace: true}}
	for _, file := range files {
		attr.Files = append(attr.Files, file.Fd())
	}
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		return Outcome{}, err
	}
	t := &tracer{
		pid: pid, plan: plan, names: names(), counts: map[string]int{}, known: map[int]bool{pid: true},
		failing: map[int]bool{},
	}
	hung := time.AfterFunc(patience, func() {
		t.hung.Store(true)
		_ = unix.Kill(pid, unix.SIGKILL)
	})
	defer hung.Stop()
	if err := t.begin(); err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		return Outcome{}, err
	}
	err = t.loop()
	t.outcome.Hung = t.hung.Load()
	return t.outcome, err
}
