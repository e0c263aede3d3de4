// Command start starts a program as a runtime starts its createRuntime hooks, and prints what that cost.
//
//	start MODE BUNDLE PROGRAM ARG...
//
// The modes are "bare": nothing on standard input; "state": the state of a container; "held": that of a container that
// exists, whose root filesystem is a new overlay; "told": as held, in a scope of systemd's that denies devices;
// "listed": in one that allows the synthetic GPUs; "untold": as told, where systemd is not to be found when the program
// starts; "whole": nothing on standard input, and the figures of what the program leaves running count too; "created":
// so too, but what is left is killed; a number: so many starts at once, as by "state". The program inherits no
// descriptor beyond 2 and finds a descriptor table of 64 entries, as a hook of a runtime does.
//
// It prints one line: nanoseconds from the start to the end, microseconds of user and of system time, the peak of the
// resident memory in KiB, and the exit status that is not 0, if there is one. The figures of many starts at once are
// sums. It is a program of its own because a child's peak counts from that of the process it is started by.
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// held in the place of the mode makes the process the one whose mount namespace the hook joins.
const holder = "holder"

func init() {
	runtime.LockOSThread() // the mount namespace is a thread's, and the children die with the thread that started them
}

func main() {
	// One inherited descriptor above 63 would enlarge the tables of all that is started from here.
	must("close", unix.CloseRange(3, ^uint(0), 0))
	mode, bundle := os.Args[1], os.Args[2]
	if mode == holder {
		hold(bundle + "/rootfs")
	}
	m := &measurement{bundle: bundle, id: "bench" + strconv.Itoa(os.Getpid()), argv: os.Args[3:], starts: 1}
	for i, arg := range m.argv {
		m.argv[i] = strings.ReplaceAll(arg, "{rootfs}", bundle+"/rootfs")
	}
	switch mode {
	case "bare":
		m.bundle = ""
	case "whole", "created":
		m.bundle, m.whole, m.kill = "", true, mode == "created"
	case "state":
	case "held":
		m.hold()
	case "told", "listed", "untold":
		m.hold()
		m.scope(mode == "listed")
		if mode == "untold" {
			must("hide systemd", unix.Mount("tmpfs", "/run/systemd", "tmpfs", 0, ""))
		}
	default:
		n, err := strconv.Atoi(mode)
		must("mode", err)
		m.starts = n
	}
	m.run()
}

func must(what string, err error) {
	if err != nil {
		_, _ = os.Stderr.WriteString("start: " + what + ": " + err.Error() + "\n")
		os.Exit(1)
	}
}

// measurement is what is started, and for whom.
type measurement struct {
	bundle, id string
	argv       []string
	starts     int
	holder     int
	whole      bool // what is left running counts
	kill       bool // and is killed
}

// hold starts the holder in a mount namespace of its own below ours, where the root filesystem is an overlay.
func (m *measurement) hold() {
	must("unshare", unix.Unshare(unix.CLONE_NEWNS))
	must("private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	scratch := m.bundle + "/scratch"
	must("scratch", unix.Mount("tmpfs", scratch, "tmpfs", 0, ""))
	must("upper", unix.Mkdir(scratch+"/upper", 0o755))
	must("work", unix.Mkdir(scratch+"/work", 0o755))
	root := m.bundle + "/rootfs"
	options := "lowerdir=" + root + ",upperdir=" + scratch + "/upper,workdir=" + scratch + "/work"
	must("overlay", unix.Mount("overlay", root, "overlay", 0, options))
	ready := make([]int, 2)
	must("pipe", unix.Pipe2(ready, unix.O_CLOEXEC))
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"start", holder, m.bundle}, &syscall.ProcAttr{
		Files: []uintptr{0, uintptr(ready[1]), 2},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL},
	})
	must("holder", err)
	must("pipe", unix.Close(ready[1]))
	if n, err := unix.Read(ready[0], make([]byte, 1)); n != 1 {
		must("holder", syscall.ECHILD)
	} else {
		must("holder", err)
	}
	must("pipe", unix.Close(ready[0]))
	m.holder = pid
}

// scope has systemd make a scope of the holder, of the name by which the hook knows it for the container's own.
func (m *measurement) scope(listed bool) {
	name, pid := "runc-"+m.id+".scope", strconv.Itoa(m.holder)
	argv := []string{
		"busctl", "--quiet", "call",
		"org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
		"StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace",
		"3", "PIDs", "au", "1", pid, "DevicePolicy", "s", "closed", "DeviceAllow", "a(ss)",
	}
	if listed {
		argv = append(argv, "2", "/dev/null", "rwm", "/dev/char/1:11", "rw", "0")
	} else {
		argv = append(argv, "1", "/dev/null", "rwm", "0")
	}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 2, 2}}
	busctl, err := syscall.ForkExec("/usr/bin/busctl", argv, attr)
	must("busctl", err)
	var status syscall.WaitStatus
	_, err = syscall.Wait4(busctl, &status, 0, nil)
	must("busctl", err)
	for range 1000 {
		groups, err := os.ReadFile("/proc/" + pid + "/cgroup")
		must("cgroup", err)
		if strings.Contains(string(groups), name) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	must("scope", syscall.ETIMEDOUT)
}

// hold leaves the mounts as a runtime does when it calls the hook, and waits to be killed.
func hold(root string) {
	must("private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must("bind", unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""))
	must("dev", unix.Mount("tmpfs", root+"/dev", "tmpfs", unix.MS_NOSUID, "mode=755"))
	must("proc", unix.Mount("proc", root+"/proc", "proc", 0, ""))
	_, err := unix.Write(1, []byte{'.'})
	must("ready", err)
	for {
		_ = unix.Pause()
	}
}

// env is what hooks get; an engine gets ours.
func (m *measurement) env() []string {
	if m.whole {
		must("subreaper", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		return os.Environ()
	}
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}

// run starts, waits and prints.
func (m *measurement) run() {
	stderr, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	must("memfd", err)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must("/dev/null", err)
	attr := syscall.ProcAttr{
		Env:   m.env(),
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(stderr)},
	}
	// One input at a time, since more than 64 descriptors of ours would enlarge the children's tables.
	var begin time.Time
	for i := range m.starts {
		input := m.input(null)
		if i == 0 {
			begin = time.Now()
		}
		attr.Files[0] = uintptr(input)
		_, err := syscall.ForkExec(m.argv[0], m.argv, &attr)
		must(m.argv[0], err)
		if input != null {
			must("input", unix.Close(input))
		}
	}
	var sum figures
	for range m.starts {
		if !sum.wait(m.holder) {
			must("wait", syscall.ECHILD)
		}
	}
	sum.wall = time.Since(begin)
	status := sum.status
	if m.kill {
		killChildren()
	}
	for m.whole && sum.wait(m.holder) {
	}
	sum.status = status // of what was started
	if sum.status != 0 {
		text := make([]byte, 4096)
		n, _ := unix.Pread(stderr, text, 0)
		_, _ = unix.Write(2, text[:max(n, 0)])
	}
	sum.print()
	if m.holder != 0 {
		_ = unix.Kill(m.holder, unix.SIGKILL)
	}
}

// killChildren ends what has become a child of ours, such as the container that a runtime has made and left waiting.
func killChildren() {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	must("children", err)
	for _, list := range lists {
		text, err := os.ReadFile(list)
		must("children", err)
		for _, field := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(field)
			must("children", err)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// input is a file of the container's state, or null where there is no container. A container that does not exist has
// our process, which a hook looks at only if something is asked of it.
func (m *measurement) input(null int) int {
	if m.bundle == "" {
		return null
	}
	pid := m.holder
	if pid == 0 {
		pid = os.Getpid()
	}
	text := `{"ociVersion": "1.0.2", "id": "` + m.id + `", "status": "creating", ` +
		`"pid": ` + strconv.Itoa(pid) + `, "bundle": "` + m.bundle + `"}`
	fd, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC)
	must("memfd", err)
	_, err = unix.Pwrite(fd, []byte(text), 0)
	must("state", err)
	return fd
}

type figures struct {
	wall         time.Duration
	user, system int64 // microseconds
	peak         int64 // KiB
	status       int
}

// wait adds the figures of the next child that ends, which must not be the holder, and reports whether there was one.
// It waits without telling Go's scheduler, whose answer would come late.
func (f *figures) wait(holder int) bool {
	var status syscall.WaitStatus
	var usage syscall.Rusage
	pid, _, errno := syscall.RawSyscall6(
		syscall.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), 0, uintptr(unsafe.Pointer(&usage)), 0, 0,
	)
	if errno == syscall.ECHILD {
		return false
	}
	if errno != 0 || int(pid) == holder {
		must("wait", syscall.ESRCH)
	}
	f.user += usage.Utime.Sec*1e6 + usage.Utime.Usec
	f.system += usage.Stime.Sec*1e6 + usage.Stime.Usec
	f.peak = max(f.peak, usage.Maxrss)
	if status != 0 {
		f.status = int(status)
	}
	return true
}

func (f *figures) print() {
	var line []byte
	for _, n := range []int64{f.wall.Nanoseconds(), f.user, f.system, f.peak, int64(f.status)} {
		line = append(strconv.AppendInt(line, n, 10), ' ')
	}
	line[len(line)-1] = '\n'
	_, err := os.Stdout.Write(line)
	must("stdout", err)
}
