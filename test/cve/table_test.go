package cve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// outcome is how a start must end.
type outcome string

const (
	// refused: the container does not start.
	refused outcome = "refused"
	// contained: it starts, and every effect is inside its root filesystem.
	contained outcome = "contained"
	// either of them: what the vulnerability needs is not there.
	either outcome = "refused or contained"
)

// attack is one case.
type attack struct {
	number string // in the list of vulnerabilities
	title  string
	want   outcome
	// asks is the annotation gpu-hook/gpus; "" stands for "device=0", and "-" for none.
	asks string
	// spec is the containerEdits of device 0, in which HOST stands for the synthetic host, ROOT for the root filesystem
	// and OUTSIDE for the directory that must not change. "" is the host's usual Spec.
	spec string
	// edit changes the rest of the bundle before it is written.
	edit func(b *gpuhost.Bundle)
	// plant prepares the image and the host.
	plant func(s *scene)
	// during attacks while the container is started, until the function that it returns is called.
	during func(s *scene) (stop func())
	// starts is how often the container is started, each time anew; 0 is once.
	starts int
	// script runs in the container, after the one that lists what is there.
	script string
	// check looks at more than what every case is checked for.
	check func(s *scene, r result)
	// run replaces the start.
	run func(s *scene) result
	// gap is why the case is known to fail; "" is for all that hold. What fails is then printed and is no error.
	gap string
	// venues are those in which the case makes sense; nil is all of them.
	venues []string
}

// attacks is the whole suite.
func attacks() []attack {
	return slices.Concat(pathAttacks(), groundAttacks(), programAttacks(), requestAttacks(), raceAttacks(),
		rollbackAttacks())
}

// numbers is how many vulnerabilities the list has: S01 to S32.
const numbers = 32

// Every vulnerability of the list is tried in every venue and with both resolvers, and gets nothing.
func TestAttacks(t *testing.T) {
	results.began = time.Now()
	for _, v := range venues(t) {
		for _, a := range attacks() {
			if a.venues != nil && !slices.Contains(a.venues, v.name) {
				continue
			}
			for _, resolver := range resolvers() {
				t.Run(strings.Join([]string{v.name, a.number, a.title, resolver}, "/"), func(t *testing.T) {
					var got outcome
					for range max(1, a.starts) {
						got = attempt(t, v, a, resolver)
					}
					results.add(row{a.number, a.title, resolver, v.name, got, t.Failed()})
				})
			}
		}
	}
}

// The list is complete.
func TestEveryNumber(t *testing.T) {
	for n := range numbers {
		number := fmt.Sprintf("S%02d", n+1)
		if !slices.ContainsFunc(attacks(), func(a attack) bool { return a.number == number }) {
			t.Errorf("nothing tries %s", number)
		}
	}
}

// attempt starts one container under attack and checks what has become of it and its surroundings.
func attempt(t *testing.T, v venue, a attack, resolver string) outcome {
	t.Helper()
	s := newScene(t, v, a, resolver)
	before := s.snapshot()
	stop := func() {}
	if a.during != nil {
		stop = a.during(s)
	}
	var r result
	if a.run != nil {
		r = a.run(s)
	} else {
		r = s.start()
	}
	stop()
	if after := s.snapshot(); after != before {
		s.errorf("outside the root filesystem something has changed:\n%s", difference(before, after))
	}
	s.judge(r)
	if a.check != nil {
		a.check(s, r)
	}
	return s.report(r)
}

// errorf notes something that must not be.
func (s *scene) errorf(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// report reports what was noted, and returns the outcome.
func (s *scene) report(r result) outcome {
	s.t.Helper()
	for _, wrong := range s.wrong {
		if s.attack.gap != "" {
			s.t.Logf("a known gap, %s: %s", s.attack.gap, wrong)
			continue
		}
		s.t.Error(wrong)
	}
	if s.attack.gap != "" && len(s.wrong) > 0 {
		return outcome("GAP, " + s.attack.gap)
	}
	return r.outcome()
}

// row is a line of the table.
type row struct {
	number, title, resolver, venue string
	got                            outcome
	failed                         bool
}

// collected are the results of a run.
type collected struct {
	began time.Time
	rows  []row
}

var results collected // TestMain prints what the tests collect

func (c *collected) add(r row) { c.rows = append(c.rows, r) }

// table returns the results with one line a case: the outcome with openat2 and without, in each venue.
func (c *collected) table() string {
	if len(c.rows) == 0 {
		return ""
	}
	cells, failed := map[string][]string{}, 0
	var order []string
	for _, r := range c.rows {
		key := r.number + " " + r.title
		if _, known := cells[key]; !known {
			order = append(order, key)
		}
		said := string(r.got)
		if r.failed {
			failed++
			said = "FAILED"
		}
		cells[key] = append(cells[key], r.venue+" "+r.resolver+": "+said)
	}
	slices.SortStableFunc(order, func(a, b string) int { return strings.Compare(a[:3], b[:3]) })
	var b strings.Builder
	for _, key := range order {
		fmt.Fprintf(&b, "%s%s  %s\n", key, strings.Repeat(" ", max(0, 76-utf8.RuneCountInString(key))), summary(cells[key]))
	}
	fmt.Fprintf(&b, "%d cases, %d attacks, %d failed, %s\n", len(order), len(c.rows), failed,
		time.Since(c.began).Round(time.Second))
	return b.String()
}

// summary joins cells that say the same: "refused (direct openat2, runc fallback, ...)", or "refused everywhere".
func summary(cells []string) string {
	by := map[string][]string{}
	var order []string
	for _, cell := range cells {
		where, said, _ := strings.Cut(cell, ": ")
		if by[said] == nil {
			order = append(order, said)
		}
		by[said] = append(by[said], where)
	}
	var out []string
	for _, said := range order {
		out = append(out, said+" ("+strings.Join(by[said], ", ")+")")
	}
	if len(order) == 1 {
		return fmt.Sprintf("%s in all %d", order[0], len(cells))
	}
	return strings.Join(out, "; ")
}
