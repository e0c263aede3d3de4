package holder

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/trace"
)

// errnosOf returns the errors that a call can have.
func errnosOf(call trace.Call) []unix.Errno {
	if strings.HasPrefix(call.Name, "pipe ") {
		return []unix.Errno{unix.EINTR}
	}
	var out []unix.Errno
	for errno, names := range map[unix.Errno]string{
		// A filter or a security module refuses any call with EPERM, and a filter also those that it does not know.
		unix.EPERM: `.*`,
		unix.ENOSYS: `openat2|open_tree|move_mount|mount_setattr|statx|bpf|pidfd_.*|fs(open|config|mount)|setns|unshare|` +
			`clone|renameat2?|mknodat|flock|capset|prctl`,
		unix.EIO: `read|write|pread64|getdents64|open.*|.*stat.*|mkdirat|mknodat|unlinkat|renameat2?|readlinkat|fsync|` +
			`fch.*|chdir|execve|close|flock|move_mount|mount_setattr`,
		unix.ENOSPC: `openat|write|mkdirat|mknodat|open_tree|move_mount|epoll_ctl|fsync|renameat2?|unshare|close`,
		unix.EROFS:  `openat|write|mkdirat|mknodat|unlinkat|fchmod.*|fchown.*|renameat2?`,
		unix.EMFILE: `open.*|pipe2|socket.*|fcntl|pidfd_open|epoll_create1|eventfd2|recvmsg|fsopen|fsmount|dup3|bpf`,
		unix.ENOMEM: `open.*|read|write|getdents64|.*stat.*|mkdirat|mknodat|unlinkat|renameat2?|move_mount|mount_setattr|` +
			`epoll_ctl|pipe2|socket.*|sendmsg|recvmsg|clone|execve|setns|unshare|capset|fcntl|flock|bpf|ppoll|waitid|chdir`,
		// Calls that wait, or look up what may be on another computer. bpf(2) does neither.
		unix.EINTR: `open.*|read|write|getdents64|.*stat.*|mkdirat|mknodat|unlinkat|renameat2?|readlinkat|fsync|fch.*|` +
			`flock|move_mount|ppoll|waitid|sendmsg|recvmsg|epoll_ctl|setns`,
		// Go reads and writes again only if the kernel says that it is ready now.
		unix.EAGAIN: `openat2|sendmsg|recvmsg|clone`,
	} {
		if regexp.MustCompile("^(?:" + names + ")$").MatchString(call.Name) {
			out = append(out, errno)
		}
	}
	slices.Sort(out)
	return out
}

// verdict is how a start with a fault ended.
type verdict struct {
	at      aFault
	outcome string
	said    string // its error
	problem string // what must not be, or ""
}

// try starts the container with a fault and judges what has become of it.
func (f *faultyContainer) try(at aFault) (v verdict) {
	f.t.Helper()
	v.at = at
	defer f.clean()
	end := f.hold()
	inside := f.inside()
	r, outcome := f.traced(trace.Plan{
		Name: at.call.Name, N: at.call.N, Errno: at.errno, Kill: at.errno == 0,
	})
	v.said = strings.TrimSpace(r.stderr)
	switch {
	case outcome.Hung:
		v.outcome, v.problem = "hung", "it did not end"
	case outcome.Hit == nil:
		v.outcome, v.problem = notReached, f.isServed(r)
	default:
		v.at.call = *outcome.Hit
		v.outcome, v.problem = f.judge(v.at, r, inside)
	}
	if f.group.allows(f.t, 5) {
		v.problem = join(v.problem, "another device can be opened")
	}
	end()
	if at.errno == 0 {
		v.problem = join(v.problem, f.startsAgain())
	}
	return v
}

// judge returns how a start with a fault ended, and what must not be. inside is what the container was before.
func (f *faultyContainer) judge(at aFault, r result, inside string) (outcome, problem string) {
	f.t.Helper()
	switch {
	case at.errno == 0:
		return killed, f.isNoWider(r)
	case r.status == 0 && f.kind.wish && f.isServed(r) != "":
		return leftOut, join(f.isLeftOut(r, inside), isRetried(at))
	case r.status == 0:
		return served, join(f.isServed(r), f.mayServe(at))
	case f.kind.wish:
		return refused, fmt.Sprintf("a wish has stopped the start, status %d", r.status)
	}
	return refused, join(f.isRefused(r), isRetried(at))
}

const (
	served, leftOut, refused, killed, notReached = "served", "left out", "refused", "killed", "not reached"
)

// isServed returns what is wrong with a container that should have its devices.
func (f *faultyContainer) isServed(r result) string {
	f.t.Helper()
	var problems []string
	if r.status != 0 || r.stderr != "" {
		problems = append(problems, fmt.Sprintf("status %d", r.status))
	}
	if got := f.sees("/dev/nvidia0"); got != node {
		problems = append(problems, "node: "+got)
	}
	if got := f.sees(libPath); got != lib {
		problems = append(problems, "library: "+got)
	}
	if !f.group.allows(f.t, gpuhost.Minor) {
		problems = append(problems, "the node cannot be opened")
	}
	return join(problems...)
}

// mayServe returns "" if a start may go on in spite of the fault.
func (f *faultyContainer) mayServe(at aFault) string {
	if isRetried(at) != "" || harmless(at) != "" {
		return ""
	}
	return "the start has gone on"
}

// isRetried returns what is wrong if a start has not gone on in spite of the error.
func isRetried(at aFault) string {
	const inRoot = "/bundle/rootfs " // elsewhere openat2(2) knows no races
	if at.errno == unix.EINTR || at.errno == unix.EAGAIN && strings.Contains(at.call.Detail, inRoot) {
		return "it was not retried"
	}
	return ""
}

// isLeftOut returns what is wrong with a container that should have started without its wish.
func (f *faultyContainer) isLeftOut(r result, inside string) string {
	f.t.Helper()
	var problems []string
	isWeak := func(m report.Message) bool { return m.Code == fault.Weak }
	if r.report == nil || !slices.ContainsFunc(r.report.Warnings, isWeak) {
		problems = append(problems, "the record does not say so")
	}
	if after := f.inside(); after != inside {
		problems = append(problems, "the container is changed: "+diff(inside, after))
	}
	if f.group.allows(f.t, gpuhost.Minor) {
		problems = append(problems, "the node can be opened")
	}
	return join(append(problems, f.isUndone())...)
}

// isRefused returns what is wrong with a start that should have been refused.
func (f *faultyContainer) isRefused(r result) string {
	f.t.Helper()
	var problems []string
	if r.status != 1 {
		problems = append(problems, fmt.Sprintf("status %d", r.status))
	}
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	if !regexp.MustCompile(`^gpu-hook: E-[A-Z]+: [^: ]+ [^:]+: .+`).MatchString(lines[0]) || len(lines) > 3 {
		problems = append(problems, "the message names no step")
	}
	if strings.Contains(lines[0], "has ended") {
		problems = append(problems, "the message tells of an end of the process that runs")
	}
	for _, phrase := range []string{
		"no such file or directory", "permission denied", "operation not permitted", "executable file not found",
	} {
		if strings.Contains(strings.ToLower(r.stderr), phrase) {
			problems = append(problems, "podman would rewrite the message")
		}
	}
	return join(append(problems, f.isUndone())...)
}

// isUndone returns what a start has left behind.
func (f *faultyContainer) isUndone() string {
	f.t.Helper()
	if after := f.snapshot(); after != f.before {
		return "left behind: " + diff(f.before, after)
	}
	return ""
}

// isNoWider returns what a start that was killed has changed outside the root filesystem.
func (f *faultyContainer) isNoWider(r result) string {
	f.t.Helper()
	var problems []string
	if r.status != -1 {
		problems = append(problems, fmt.Sprintf("it was not killed, status %d", r.status))
	}
	for line := range strings.Lines(diff(f.before, f.snapshot())) {
		if !strings.HasPrefix(line, "+ "+f.rootfs("")+"/") {
			problems = append(problems, "changed: "+line)
		}
	}
	return join(problems...)
}

// startsAgain returns what is wrong with the next start of the container.
func (f *faultyContainer) startsAgain() string {
	f.t.Helper()
	defer f.hold()()
	r, _ := f.traced(trace.Plan{})
	if problem := f.isServed(r); problem != "" {
		return "the next start: " + problem
	}
	return ""
}
