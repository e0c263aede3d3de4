package holder

import (
	"fmt"
	"maps"
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

// row counts how the starts with faults of one call ended.
type row struct {
	faults   int
	outcomes map[string]int
	errnos   []string
}

// rows returns the rows of all calls by their names, and their sum as "all".
func (f *faultTable) rows() map[string]*row {
	rows := map[string]*row{}
	for _, v := range f.verdicts {
		for _, name := range []string{v.at.call.Name, "all"} {
			r := rows[name]
			if r == nil {
				r = &row{outcomes: map[string]int{}}
				rows[name] = r
			}
			r.faults++
			r.outcomes[v.outcome]++
			errno := unix.ErrnoName(v.at.errno)
			if errno != "" && name != "all" && !slices.Contains(r.errnos, errno) {
				r.errnos = append(r.errnos, errno)
			}
		}
	}
	return rows
}

// print prints one line a call, and reports what must not be.
func (f *faultTable) print(t *testing.T, took time.Duration) {
	t.Helper()
	const columns = "%-18s %6v %8v %8v %7v %7v %12v  %s\n"
	var b strings.Builder
	fmt.Fprintf(&b, columns, "call", "faults", refused, leftOut, served, killed, notReached, "errors")
	rows := f.rows()
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		slices.Sort(r.errnos)
		fmt.Fprintf(&b, columns, name, r.faults, r.outcomes[refused], r.outcomes[leftOut], r.outcomes[served],
			r.outcomes[killed], r.outcomes[notReached], strings.Join(r.errnos, " "))
	}
	wrong := 0
	for _, v := range f.verdicts {
		if v.problem != "" {
			wrong++
			t.Errorf("%s: %s: %s\n%s", v.at, v.outcome, v.problem, v.said)
		}
	}
	t.Logf("faults of the apply phase\n%s%d faults, %d wrong, %s", b.String(), len(f.verdicts), wrong,
		took.Round(time.Second))
	f.reasons(t)
}

// reasons prints why starts have gone on in spite of faults, and how many.
func (f *faultTable) reasons(t *testing.T) {
	t.Helper()
	counts := map[string]int{}
	for _, v := range f.verdicts {
		if v.outcome == served && v.problem == "" {
			reason := harmless(v.at)
			if reason == "" || isRetried(v.at) != "" {
				reason = "the call was made again"
			}
			counts[v.at.call.Name+": "+reason]++
		}
	}
	var b strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%5d %s\n", counts[reason], reason)
	}
	t.Logf("starts that went on\n%s", b.String())
}
