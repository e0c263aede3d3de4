package report

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// refused is the report on a container that did not start.
func refused(id string) *Report {
	r := Make(NewRun(""), plan.Plan{Errors: []*fault.Error{fault.New(fault.Node, "", "x")}}, nil)
	r.Container.ID = id
	return r
}

// nothing is the report on a container that started without what it wished for.
func nothing(id string) *Report {
	r := Make(NewRun(""), plan.Plan{}, nil)
	r.Container.ID = id
	return r
}

// ids returns the ids of the containers whose records are in dir, those that begin with prefix.
func ids(t *testing.T, dir, prefix string) []string {
	t.Helper()
	return slices.DeleteFunc(IDs(dir), func(id string) bool { return !strings.HasPrefix(id, prefix) })
}

// sleeper is a process that lasts until the test ends it, or the test ends.
func sleeper(t *testing.T) (lifetime state.Lifetime, end func()) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() { _, _ = cmd.Process.Kill(), cmd.Wait() }
	t.Cleanup(end)
	lifetime, err := state.LifetimeOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return lifetime, end
}

// A wrong container that is tried again a hundred times, each time with a new id, takes the records of no other: not of
// those that got devices, and not of another one that was refused.
func TestRetriesEvictNoOthers(t *testing.T) {
	const keep = 100
	for name, again := range map[string]func(id string) *Report{
		"refused": refused, "started without": nothing,
		"crashes": record,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i := range 90 {
				kept(t, dir, fmt.Sprintf("good%d", i), keep, time.Hour)
			}
			for _, other := range []*Report{refused("other-refused"), nothing("other-nothing")} {
				other.Container.Name = "other"
				keepRecord(t, dir, other, keep, time.Hour)
			}
			for i := range 150 {
				r := again(fmt.Sprintf("again%03d", i))
				r.Container.Name, r.Container.Pod, r.Container.Namespace = "main", "train-0", "ml"
				keepRecord(t, dir, r, keep, time.Duration(500-i)*time.Second)
			}
			if n := len(ids(t, dir, "good")); n != 90 {
				t.Errorf("%d of 90 records of good containers are left", n)
			}
			if left := ids(t, dir, "other-"); len(left) != 2 {
				t.Errorf("of the others %q are left", left)
			}
			left := ids(t, dir, "again")
			if !slices.Contains(left, "again149") || len(left) > 70 {
				t.Errorf("%d retries are left, the newest of them is %s", len(left), left[len(left)-1])
			}
		})
	}
}

// Containers that are refused under ever other names cannot be told apart. They too take only the place of each other.
func TestRefusedEvictRefusedAlone(t *testing.T) {
	const keep = 16
	dir := t.TempDir()
	for i := range keep {
		kept(t, dir, fmt.Sprintf("good%02d", i), keep, time.Hour)
	}
	for i := range 100 {
		keepRecord(t, dir, refused(fmt.Sprintf("bad%02d", i)), keep, time.Duration(500-i)*time.Second)
	}
	if n := len(ids(t, dir, "good")); n != keep {
		t.Errorf("%d records of good containers are left", n)
	}
	want := []string{"bad92", "bad93", "bad94", "bad95", "bad96", "bad97", "bad98", "bad99"}
	if diff := cmp.Diff(want, ids(t, dir, "bad")); diff != "" {
		t.Error(diff)
	}
}

// The record of a container that runs stays however many others come and go, and goes in its turn once it has ended.
func TestRunningContainersKeepTheirRecords(t *testing.T) {
	const keep = 8
	dir := t.TempDir()
	lifetime, end := sleeper(t)
	for _, id := range []string{"running-a", "running-b"} {
		r := record(id)
		r.Container.Process = lifetime
		keepRecord(t, dir, r, keep, 2*time.Hour)
	}
	reused := record("running-not") // its pid was given to another process since
	reused.Container.Process = lifetime
	reused.Container.Process.Start--
	keepRecord(t, dir, reused, keep, 2*time.Hour)
	start := func(n int) {
		for i := range 30 {
			kept(t, dir, fmt.Sprintf("ended%d-%02d", n, i), keep, time.Duration(500-i)*time.Second)
		}
	}
	start(1)
	if got := ids(t, dir, "running"); !slices.Equal(got, []string{"running-a", "running-b"}) {
		t.Errorf("the records of running containers that are left: %q", got)
	}
	if n := len(ids(t, dir, "ended")); n != keep {
		t.Errorf("%d records of ended containers are left", n)
	}
	end()
	start(2)
	if got := ids(t, dir, "running"); len(got) > 0 {
		t.Errorf("they have ended, and yet there are %q", got)
	}
}

// Even the records of running containers are bounded.
func TestVictims(t *testing.T) {
	list := func(n int, name string) (out []stored) {
		for i := range n {
			out = append(out, stored{file: fmt.Sprintf("%s%d", name, i), name: name})
		}
		return out
	}
	files := func(list []stored) (out []string) {
		for _, s := range list {
			out = append(out, s.file)
		}
		return out
	}
	isRunning := func(s stored) bool { return s.name == "r" }
	for name, test := range map[string]struct {
		list []stored
		most int
		want []string
	}{
		"few":                   {list(3, noName), 3, nil},
		"the oldest":            {list(5, noName), 3, []string{noName + "4", noName + "3"}},
		"running ones stay":     {append(list(3, noName), list(5, "r")...), 2, []string{noName + "2"}},
		"running ones, bounded": {list(10, "r"), 2, []string{"r9", "r8"}},
		"of one name":           {append(list(5, "a"), list(2, noName)...), 6, []string{"a4"}},
		"of one name and then others": {
			append(list(5, "a"), list(3, noName)...), 4, []string{"a4", "a3", noName + "2", noName + "1"},
		},
		"nobody": {nil, 1, nil},
	} {
		if diff := cmp.Diff(test.want, files(victims(test.list, test.most, isRunning))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Not every start spends the time that evicting takes, and none that only takes the place of its older record.
func TestEvictionIsRare(t *testing.T) {
	const keep = 80
	dir := t.TempDir()
	most := 0
	for i := range 3 * keep {
		kept(t, dir, fmt.Sprintf("c%03d", i), keep, time.Duration(1000-i)*time.Second)
		most = max(most, len(names(t, dir)))
	}
	if most != keep+keep/atOnce-1 {
		t.Errorf("at most there were %d records", most)
	}
	dir = t.TempDir()
	kept(t, dir, "c", keep, 0)
	for i := range keep + keep/atOnce - 1 {
		if err := os.WriteFile(filepath.Join(dir, "records", fmt.Sprintf("c%03d.json", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, again := len(names(t, dir)), record("c")
	again.Container.Process = state.Lifetime{PID: 1, Start: 1}
	if keepRecord(t, dir, again, keep, 0); len(names(t, dir)) != before {
		t.Errorf("%d records of %d are left", len(names(t, dir)), before)
	}
}

// A container that is started again has one record, that of its last start, whatever became of each.
func TestOneRecordForEachContainer(t *testing.T) {
	dir := t.TempDir()
	lifetime, _ := sleeper(t)
	again := record("a")
	again.Container.Process, again.Container.Name = lifetime, "train"
	for _, r := range []*Report{record("a"), record("a.b"), refused("a"), nothing("a"), again} {
		keepRecord(t, dir, r, 10, 0)
	}
	file := fmt.Sprintf("a@got-%s-%d-%d.json", "26d6cde3", lifetime.PID, lifetime.Start)
	if diff := cmp.Diff([]string{"a.b@got-0-0-0.json", file}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	r, err := Last(dir, "a")
	if err != nil || r.Container.Process != lifetime {
		t.Errorf("%+v %v", r.Container, err)
	}
}

// Records of earlier versions, whose files are named by the id alone, are read, counted and replaced.
func TestRecordsOfEarlierVersions(t *testing.T) {
	dir := t.TempDir()
	kept(t, dir, "new", 10, time.Minute)
	for i, id := range []string{"old", "older"} {
		path := filepath.Join(dir, "records", id+".json")
		text := `{"container": {"id": "` + id + `"}, "result": "applied"}`
		at := time.Now().Add(-time.Duration(i+2) * time.Minute)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Last(dir, "old"); err != nil || r.Result != "applied" {
		t.Errorf("%+v %v", r, err)
	}
	kept(t, dir, "old", 2, 0)
	kept(t, dir, "newest", 2, 0)
	want := []string{"newest@got-0-0-0.json", "old@got-0-0-0.json"}
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// What is not named as a record is none, and stays.
func TestStoredAs(t *testing.T) {
	for file, want := range map[string]bool{
		"a.json": true, "a@got-0-0-0.json": true, "a-b.c@refused-1f-12-345.json": true,
		"a@got-0-0.json": false, "a@got-0-0-0-0.json": false, "a@other-0-0-0.json": false, "a@got-0-x-0.json": false,
		"a@got-0-0-x.json": false, "@got-0-0-0.json": false, ".new-1.json": false, "a": false, ".json": false,
		"a b.json": false, "a@.json": false,
	} {
		if _, got := storedAs(file); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
	s, _ := storedAs("a-b@refused-1f-12-345.json")
	want := stored{
		file: "a-b@refused-1f-12-345.json", id: "a-b", class: classRefused, name: "1f",
		process: state.Lifetime{PID: 12, Start: 345},
	}
	if s != want {
		t.Errorf("%+v", s)
	}
}

// The longest name that a record's file can have is one that filesystems allow.
func TestLongestFileName(t *testing.T) {
	r := refused(strings.Repeat("a", 200))
	r.Container.Name = "x"
	r.Container.Process = state.Lifetime{PID: 1 << 22, Start: 1<<64 - 1}
	if n := len(r.fileName()); n > 255 {
		t.Errorf("%d bytes", n)
	}
}

func TestNamed(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []ContainerInfo{
		{ID: "a", Name: "train"}, {ID: "b", Name: "train"}, {ID: "c", Name: "main", Pod: "p-0", Namespace: "ml"}, {ID: "d"},
	} {
		r := record(c.ID)
		r.Container = c
		keepRecord(t, dir, r, 10, time.Duration(10+i)*time.Minute)
	}
	for name, want := range map[string]string{
		"train": "a", "main": "c", "p-0/main": "c", "ml/p-0/main": "c", "p-0": "", "": "", "a": "", "/train": "",
	} {
		r, err := Named(dir, name)
		if want == "" && !fault.Is(err, fault.Record) || want != "" && (err != nil || r.Container.ID != want) {
			t.Errorf("%q: %v, %v", name, r, err)
		}
	}
}

// BenchmarkPrune measures what a start pays for its record, with a hundred others beside it.
func BenchmarkPrune(b *testing.B) {
	for _, before := range []int{10, 100} {
		b.Run(fmt.Sprint(before), func(b *testing.B) {
			dir := b.TempDir()
			for i := range before {
				record(fmt.Sprintf("%064x", i)).Keep(dir, before)
				refused(fmt.Sprintf("%063xa", i)).Keep(dir, before)
			}
			records := recordsIn(dir)
			n := before
			for b.Loop() {
				b.StopTimer()
				n++
				r := record(fmt.Sprintf("%064x", n))
				if err := os.WriteFile(filepath.Join(records, r.fileName()), []byte("{}"), 0o600); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := prune(records, before, r.Container.ID, r.fileName()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
