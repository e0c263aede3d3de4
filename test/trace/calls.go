//go:build amd64

package trace

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// names are the calls that gpu-hook makes.
func names() map[uint64]string {
	return map[uint64]string{
		unix.SYS_READ: "read", unix.SYS_WRITE: "write", unix.SYS_PREAD64: "pread64", unix.SYS_CLOSE: "close",
		unix.SYS_FSTAT: "fstat", unix.SYS_NEWFSTATAT: "newfstatat", unix.SYS_STATX: "statx", unix.SYS_FSTATFS: "fstatfs",
		unix.SYS_STATFS: "statfs", unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2", unix.SYS_FCNTL: "fcntl",
		unix.SYS_FLOCK: "flock", unix.SYS_EPOLL_CTL: "epoll_ctl", unix.SYS_PPOLL: "ppoll", unix.SYS_POLL: "poll",
		unix.SYS_OPEN_TREE: "open_tree", unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_MOUNT_SETATTR: "mount_setattr",
		unix.SYS_MKDIRAT: "mkdirat", unix.SYS_MKNODAT: "mknodat", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_UMASK: "umask",
		unix.SYS_READLINKAT: "readlinkat", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FCHMOD: "fchmod",
		unix.SYS_FCHOWNAT: "fchownat", unix.SYS_FCHOWN: "fchown", unix.SYS_RENAMEAT: "renameat",
		unix.SYS_RENAMEAT2: "renameat2", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FSYNC: "fsync",
		unix.SYS_GETDENTS64: "getdents64", unix.SYS_UNSHARE: "unshare", unix.SYS_SETNS: "setns", unix.SYS_CLONE: "clone",
		unix.SYS_PRCTL: "prctl", unix.SYS_CAPGET: "capget", unix.SYS_CAPSET: "capset", unix.SYS_PIPE2: "pipe2",
		unix.SYS_DUP3: "dup3", unix.SYS_EXECVE: "execve", unix.SYS_SETPGID: "setpgid", unix.SYS_CHDIR: "chdir",
		unix.SYS_FCHDIR: "fchdir", unix.SYS_WAITID: "waitid", unix.SYS_WAIT4: "wait4", unix.SYS_KILL: "kill",
		unix.SYS_PIDFD_OPEN: "pidfd_open", unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal", unix.SYS_BPF: "bpf",
		unix.SYS_SOCKET: "socket", unix.SYS_SOCKETPAIR: "socketpair", unix.SYS_CONNECT: "connect",
		unix.SYS_SENDMSG: "sendmsg", unix.SYS_SENDTO: "sendto", unix.SYS_RECVMSG: "recvmsg", unix.SYS_RECVFROM: "recvfrom",
		unix.SYS_SETSOCKOPT: "setsockopt", unix.SYS_GETSOCKNAME: "getsockname", unix.SYS_GETPEERNAME: "getpeername",
		unix.SYS_PRLIMIT64: "prlimit64", unix.SYS_SETFSUID: "setfsuid", unix.SYS_SETFSGID: "setfsgid",
		unix.SYS_UMOUNT2: "umount2", unix.SYS_MOUNT: "mount", unix.SYS_MKDIR: "mkdir", unix.SYS_FSOPEN: "fsopen",
		unix.SYS_FSCONFIG: "fsconfig", unix.SYS_FSMOUNT: "fsmount", unix.SYS_COPY_FILE_RANGE: "copy_file_range",
		unix.SYS_SPLICE: "splice", unix.SYS_SENDFILE: "sendfile", unix.SYS_LSEEK: "lseek",
		unix.SYS_UNAME: "uname", unix.SYS_SYSINFO: "sysinfo", unix.SYS_FACCESSAT: "faccessat",
		unix.SYS_FACCESSAT2: "faccessat2", unix.SYS_EPOLL_CREATE1: "epoll_create1", unix.SYS_EVENTFD2: "eventfd2",
		unix.SYS_CLOSE_RANGE: "close_range", unix.SYS_UTIMENSAT: "utimensat", unix.SYS_SYMLINKAT: "symlinkat",
		unix.SYS_LINKAT: "linkat",
	}
}

// runtimes are the calls by which Go's runtime waits, schedules and gets memory. They are not counted: how many there
// are depends on chance, and that of memory which is refused ends the process, as a signal does.
func runtimes(number uint64) bool {
	switch number {
	case unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_NANOSLEEP, unix.SYS_EPOLL_PWAIT, unix.SYS_MADVISE,
		unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_BRK, unix.SYS_RT_SIGPROCMASK,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_TGKILL, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP,
		unix.SYS_SCHED_GETAFFINITY, unix.SYS_MINCORE, unix.SYS_GETRANDOM,
		// These cannot fail.
		unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID,
		unix.SYS_GETEGID:
		return true
	}
	return false
}

// flags reports whether the call is fcntl(2) for a descriptor's flags, which cannot fail: Go reads them of each file.
func flags(i info) bool {
	if i.number != unix.SYS_FCNTL {
		return false
	}
	switch i.args[1] {
	case unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL:
		return true
	}
	return false
}

// nameOf returns the name of a call, and whether it is counted. Pipes are read and written while other things are done,
// so that these calls are counted by themselves. Go's runtime wakes itself by an event descriptor.
func (t *tracer) nameOf(tid int, i info) (name string, counted bool) {
	name, known := t.names[i.number]
	if i.number == unix.SYS_READ || i.number == unix.SYS_WRITE {
		switch on := file(tid, i.args[0]); {
		case strings.HasPrefix(on, "anon_inode:[event"):
			return "", false
		case strings.HasPrefix(on, "pipe:"):
			return "pipe " + name, true
		}
	}
	switch {
	case runtimes(i.number), flags(i), i.number == unix.SYS_CLONE && i.args[0]&unix.CLONE_THREAD != 0:
		return "", false
	case !known:
		name = fmt.Sprintf("call %d", i.number)
	}
	return name, true
}

// detail returns the path of a call or the file of its descriptor.
func detail(tid int, i info) string {
	switch i.number {
	case unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_OPEN_TREE, unix.SYS_MKDIRAT,
		unix.SYS_MKNODAT, unix.SYS_UNLINKAT, unix.SYS_READLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
		unix.SYS_MOUNT_SETATTR, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_FCHMODAT, unix.SYS_FCHOWNAT:
		if path := text(tid, i.args[1]); path != "" {
			return strings.TrimPrefix(file(tid, i.args[0])+" ", " ") + path
		}
		return file(tid, i.args[0])
	case unix.SYS_EXECVE, unix.SYS_CHDIR, unix.SYS_STATFS, unix.SYS_MKDIR:
		return text(tid, i.args[0])
	case unix.SYS_EPOLL_CTL:
		return file(tid, i.args[2])
	case unix.SYS_BPF, unix.SYS_PRCTL, unix.SYS_UNSHARE, unix.SYS_UMASK, unix.SYS_SOCKET, unix.SYS_WAITID, unix.SYS_PIPE2,
		unix.SYS_CLONE, unix.SYS_CAPGET, unix.SYS_CAPSET, unix.SYS_PRLIMIT64:
		return fmt.Sprint(int64(i.args[0]))
	case unix.SYS_PPOLL:
		return ""
	}
	return file(tid, i.args[0])
}

// file returns what a descriptor of the thread is open for, or "".
func file(tid int, fd uint64) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(fd)))
	return name
}
