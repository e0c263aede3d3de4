package holder

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// harmlessFault is a fault in spite of which the container gets all.
type harmlessFault struct {
	name   string
	detail string     // a regular expression, of the whole detail; "" is every call of this name
	errno  unix.Errno // 0 is every error
	reason string
}

func harmlessFaults() []harmlessFault {
	const (
		run      = `.*/host/run(/.*)?`
		lifetime = "a record need not name the process"
	)
	var out []harmlessFault
	for _, name := range []string{
		"openat", "newfstatat", "fstat", "statx", "fstatfs", "read", "write", "fchmod", "fsync", "renameat", "unlinkat",
		"mkdirat", "getdents64", "flock",
	} {
		out = append(out, harmlessFault{name, run, 0, "a record that cannot be written is a warning"})
	}
	return append(out,
		harmlessFault{"close", "", 0, "the kernel closes the descriptor whatever it returns"},
		harmlessFault{"epoll_ctl", "", 0, "Go then waits in the call itself"},
		harmlessFault{"fstat", `(/proc|/sys/fs/cgroup)/.*`, 0, "os.ReadFile asks for the size, which is 0"},
		harmlessFault{"pidfd_open", "", 0, "Go then waits for a program by its pid"},
		harmlessFault{"pidfd_send_signal", "", 0, "Go then waits for a program by its pid"},
		harmlessFault{"waitid", "", 0, "Go then waits for a program by another call"},
		harmlessFault{"umask", "", 0, "it cannot fail"},
		harmlessFault{"clone", "20736", 0, "Go tries whether it can wait by a descriptor"},
		harmlessFault{"bpf", "0|5|15", 0, "the library tries what the kernel can"},
		harmlessFault{"openat2", "", unix.EPERM, "the path is walked by other calls, as where a filter refuses this one"},
		harmlessFault{"openat2", "", unix.ENOSYS, "the path is walked by other calls, as on an older kernel"},
		harmlessFault{"flock", "", 0, "there are filesystems without locks"},
		harmlessFault{"newfstatat", "/run/systemd/system", 0, "the rules are set without systemd, as where there is none"},
		harmlessFault{"newfstatat", "/proc/thread-self/mountinfo", 0, "/proc/self/mountinfo is read, of the same thread"},
		harmlessFault{"openat", "/proc/[0-9]+/stat|/proc/sys/kernel/random/boot_id", 0, lifetime},
		harmlessFault{"read", "/proc/[0-9]+/stat|/proc/sys/kernel/random/boot_id", 0, lifetime},
	)
}

// harmless returns why a start may go on in spite of the fault, or "".
func harmless(at aFault) string {
	for _, h := range harmlessFaults() {
		if h.name == at.call.Name && (h.errno == 0 || h.errno == at.errno) &&
			(h.detail == "" || regexp.MustCompile("^(?:"+h.detail+")$").MatchString(at.call.Detail)) {
			return h.reason
		}
	}
	return ""
}

// faultTable collects verdicts.
type faultTable struct {
	mutex    sync.Mutex
	verdicts []verdict
}

func (f *faultTable) add(v verdict) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.verdicts = append(f.verdicts, v)
}

// print prints one line a call, and reports what must not be.
func (f *faultTable) print(t *testing.T, took time.Duration) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%-14s %6s %8s %8s %7s %7s %12s  %s\n",
		"call", "faults", "refused", "left out", "served", "killed", "not reached", "errors")
	msgs := map[string]int{}
	counts, errnos := map[string]map[string]int{}, map[string][]string{}
	for _, v := range f.verdicts {
		name := v.at.call.Name
		if counts[name] == nil {
			counts[name] = map[string]int{}
		}
		for _, row := range []string{name, "all"} {
			if counts[row] == nil {
				counts[row] = map[string]int{}
			}
			counts[row][v.outcome]++
			counts[row][""]++
		}
		if errno := unix.ErrnoName(v.at.errno); errno != "" && !slices.Contains(errnos[name], errno) {
			errnos[name] = append(errnos[name], errno)
		}
		if v.outcome == refused || v.outcome == leftOut {
			msgs[regexp.MustCompile(`(/tmp/Test[^/]*/[0-9]*|[0-9]{3,})`).ReplaceAllString(strings.Split(v.said+" "+v.reason, "\n")[0], "N")]++
		}
		if v.problem != "" {
			t.Errorf("%s: %s: %s\n%s", v.at, v.outcome, v.problem, v.said)
		}
	}
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := counts[name]
		slices.Sort(errnos[name])
		fmt.Fprintf(&b, "%-14s %6d %8d %8d %7d %7d %12d  %s\n", name, c[""], c[refused], c[leftOut], c[served], c[killed],
			c[notReached], strings.Join(errnos[name], " "))
	}
	for m, n := range msgs {
		fmt.Fprintf(&b, "MSG %4d %s\n", n, m)
	}
	t.Logf("faults of the apply phase\n%s%s", b.String(), took.Round(time.Second))
}
