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
	return []harmlessFault{}
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
	t.Logf("faults of the apply phase\n%s%s", b.String(), took.Round(time.Second))
}
