//go:build amd64

package trace

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracer traces one run.
type tracer struct {
	pid     int
	plan    Plan
	outcome Outcome
	names   map[uint64]string
	counts  map[string]int // calls by their name, since the beginning
	known   map[int]bool   // threads and processes whose first stop was seen
	failing map[int]bool   // those in the call that is to fail
	hung    atomic.Bool
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

// begin waits until the program is there.
func (t *tracer) begin() error {
	var status unix.WaitStatus
	if _, err := wait(t.pid, &status); err != nil {
		return err
	}
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return err
	}
	return unix.PtraceSyscall(t.pid, 0)
}

// wait waits for a process, or with -1 for all that this thread traces.
func wait(pid int, status *unix.WaitStatus) (int, error) {
	for {
		got, err := unix.Wait4(pid, status, unix.WALL|unix.WNOTHREAD, nil)
		if !errors.Is(err, unix.EINTR) {
			return got, err
		}
	}
}

// loop follows the program to its end.
func (t *tracer) loop() error {
	for {
		var status unix.WaitStatus
		tid, err := wait(-1, &status)
		switch {
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case tid == t.pid && status.Exited():
			t.outcome.Status = status.ExitStatus()
			return nil
		case tid == t.pid && status.Signaled():
			t.outcome.Status = -1
			return nil
		case status.Stopped():
			// A thread that is gone meanwhile is reported by the next wait.
			if err := t.stopped(tid, status); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
}

// stopped lets a stopped thread go on.
func (t *tracer) stopped(tid int, status unix.WaitStatus) error {
	const syscallStop = unix.SIGTRAP | 0x80
	first := !t.known[tid]
	t.known[tid] = true
	switch signal := status.StopSignal(); {
	case signal == syscallStop:
		if err := t.call(tid); err != nil {
			return err
		}
	case status.TrapCause() == unix.PTRACE_EVENT_EXEC && tid != t.pid:
		return unix.PtraceDetach(tid) // another program
	case signal == unix.SIGTRAP && status.TrapCause() > 0, signal == unix.SIGSTOP && first:
	default:
		return unix.PtraceSyscall(tid, int(signal))
	}
	return unix.PtraceSyscall(tid, 0)
}

// info is struct ptrace_syscall_info.
type info struct {
	op     uint8
	_      [3]uint8
	_      uint32
	_, _   uint64
	number uint64
	args   [6]uint64
	_      uint64
}

const (
	getSyscallInfo = 0x420e
	opEntry        = 1
	opExit         = 2
)

// call looks at a thread that is about to make a call or has made one.
func (t *tracer) call(tid int) error {
	var i info
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(i),
		uintptr(unsafe.Pointer(&i)), 0, 0)
	switch {
	case errno != 0:
		return errno
	case i.op == opExit && t.failing[tid]:
		delete(t.failing, tid)
		return change(tid, func(r *unix.PtraceRegs) { r.Rax = -uint64(t.plan.Errno) })
	case i.op != opEntry:
		return nil
	}
	name, counted := t.nameOf(tid, i)
	if t.outcome.Begun < t.plan.Times || !counted {
		if (i.number == unix.SYS_NEWFSTATAT || i.number == unix.SYS_OPENAT) && text(tid, i.args[1]) == t.plan.Begin {
			t.outcome.Begun++
		}
		return nil
	}
	t.counts[name]++
	call := Call{Name: name, N: t.counts[name]}
	switch {
	case t.plan.Name == "":
		call.Detail = detail(tid, i)
		t.outcome.Calls = append(t.outcome.Calls, call)
	case t.plan.Name == name && t.plan.N == call.N:
		call.Detail = detail(tid, i)
		t.outcome.Hit = &call
		return t.hit(tid, i)
	}
	return nil
}

// hit carries the plan out.
func (t *tracer) hit(tid int, i info) error {
	if t.plan.Kill {
		return unix.Kill(t.pid, unix.SIGKILL)
	}
	t.failing[tid] = true
	if i.number == unix.SYS_CLOSE {
		return nil // the kernel closes the descriptor whatever it returns
	}
	return change(tid, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) })
}

func change(tid int, how func(r *unix.PtraceRegs)) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	how(&r)
	return unix.PtraceSetRegs(tid, &r)
}

// text returns the text at an address of the thread, or "".
func text(tid int, address uint64) string {
	data := make([]byte, 256)
	n, _ := unix.PtracePeekData(tid, uintptr(address), data)
	s, _, _ := strings.Cut(string(data[:n]), "\x00")
	return s
}
