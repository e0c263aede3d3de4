package holder

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// How many containers are started. GPU_HOOK_SOAK is another number in a row.
const (
	inARow = 500
	atOnce = 200
)

// load is a host on which many containers are started, one after the other or at once.
type load struct {
	host    *gpuhost.Host
	version int // of the cgroups
	mutex   sync.Mutex
	memory  []int64 // that each run of the hook has had at most, in KiB
}

// loaded is one of the containers.
type loaded struct {
	*container
	load  *load
	id    string
	group *group
}

// asked is what a container asks for, and the GPUs that it must get.
type asked struct {
	text string
	gpus []int
}

// request returns what the n-th container asks for.
func (l *load) request(n int) asked {
	all := []asked{
		{"device=0", []int{0}},
		{"device=1", []int{1}},
		{"all", []int{0, 1}},
		{"1", []int{0}},
		{"device=0,1", []int{0, 1}},
		{"device=" + gpuhost.UUID(1), []int{1}},
	}
	return all[n%len(all)]
}

func newLoad(t *testing.T) *load {
	t.Helper()
	c := hooked(t) // its host
	return &load{host: c.host, version: require.Cgroup(t)}
}

// bundle makes a bundle on the host.
func (l *load) bundle(t *testing.T) *container {
	t.Helper()
	c := &container{t: t, host: l.host, bundle: filepath.Join(t.TempDir(), "bundle")}
	c.must(gpuhost.WriteBundle(c.bundle, gpuhost.Bundle{Args: []string{"true"}}))
	return c
}

// prepare starts the holder of the n-th container in a cgroup of its own, and returns what ends both.
func (l *load) prepare(c *container, n int) (*loaded, func()) {
	c.t.Helper()
	s := &loaded{container: c, load: l, id: fmt.Sprintf("soak-%d", n), group: newGroup(c.t, l.version)}
	s.group.name += "-" + strconv.Itoa(n)
	s.group.dir += "-" + strconv.Itoa(n)
	config := filepath.Join(c.bundle, "config.json")
	var spec map[string]any
	c.must(json.Unmarshal([]byte(readFile(c.t, config)), &spec))
	spec["annotations"] = map[string]string{"gpu-hook/gpus": l.request(n).text}
	spec["linux"].(map[string]any)["cgroupsPath"] = s.group.name
	data, err := json.Marshal(spec)
	c.must(err)
	c.must(os.WriteFile(config, data, 0o600))
	end := c.begin()
	s.group.make(c.t, c.pid)
	return s, func() {
		end()
		s.group.remove(c.t)
	}
}

// run runs the hook and returns what is wrong with the container then.
func (s *loaded) run(n int) string {
	state := s.state()
	state["id"] = s.id
	data, err := json.Marshal(state)
	if err != nil {
		return err.Error()
	}
	cmd := s.hookOn(string(data))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		return fmt.Sprintf("%v: %s", err, stderr.String())
	}
	if usage, isUsage := cmd.ProcessState.SysUsage().(*syscall.Rusage); isUsage {
		s.load.mutex.Lock()
		s.load.memory = append(s.load.memory, usage.Maxrss)
		s.load.mutex.Unlock()
	}
	return join(s.got(n), s.recorded(n))
}

// got returns what the container lacks, or has of what it did not ask for.
func (s *loaded) got(n int) string {
	var problems []string
	request := s.load.request(n)
	for i, name := range []string{"/dev/nvidia0", "/dev/nvidia1"} {
		want := "missing"
		if slices.Contains(request.gpus, i) {
			want = node
		}
		if got := s.sees(name); got != want {
			problems = append(problems, fmt.Sprintf("asked for %s, %s: %s", request.text, name, got))
		}
	}
	if got := s.sees(libPath); got != lib {
		problems = append(problems, "library: "+got)
	}
	return join(problems...)
}

// recorded returns what is wrong with the container's record: it must be of this container, process and request.
func (s *loaded) recorded(n int) string {
	r, err := report.Last(s.host.Path("run"), s.id)
	switch {
	case err != nil:
		return err.Error()
	case r.Container.ID != s.id, r.Container.Bundle != s.bundle, r.Container.Process.PID != s.pid,
		len(r.Requests) != 1, r.Requests[0].Value != s.load.request(n).text, r.Result != "applied":
		return fmt.Sprintf("not the record of %s: %+v %+v", s.id, r.Container, r.Requests)
	}
	return ""
}

// join joins problems.
func join(problems ...string) string {
	return strings.Join(slices.DeleteFunc(problems, func(p string) bool { return p == "" }), "; ")
}

// leftovers describes what starts may leave behind: descriptors, children, mounts, cgroups, and processes and mounts of
// anybody that name this host.
func (l *load) leftovers(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, "descriptors", len(fds))
	mounts := readFile(t, "/proc/self/mountinfo")
	fmt.Fprintln(&b, "mounts", strings.Count(mounts, "\n"))
	fmt.Fprintln(&b, "cgroups", l.cgroups(t))
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	children := ""
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		children += string(data)
	}
	fmt.Fprintln(&b, "children", strings.Fields(children))
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		if data, _ := os.ReadFile(name); strings.Contains(string(data), l.host.Dir) {
			fmt.Fprintf(&b, "process %q\n", data)
		}
	}
	unfinished, _ := filepath.Glob(l.host.Path("run/records/.*"))
	fmt.Fprintln(&b, "unfinished records", unfinished)
	return b.String()
}

// cgroups returns the cgroups of the containers.
func (l *load) cgroups(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(newGroup(t, l.version).dir + "*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// records returns how many records there are.
func (l *load) records(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(l.host.Path("run/records"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Many containers in a row, and each of them again with others: each gets what it asks for and has a record of its own,
// and what there was before is what there is afterwards.
func TestSoak(t *testing.T) {
	require.Root(t)
	l, starts := newLoad(t), inARow
	if n, err := strconv.Atoi(os.Getenv("GPU_HOOK_SOAK")); err == nil && n > 0 {
		starts = n
	}
	c := l.bundle(t)
	var before string
	failed := 0
	for n := range starts {
		s, end := l.prepare(c, n)
		if problem := s.run(n); problem != "" {
			failed++
			t.Errorf("start %d: %s", n, problem)
		}
		end()
		if n == 0 {
			before = l.leftovers(t)
		}
	}
	if after := l.leftovers(t); after != before {
		t.Errorf("something is left:\n%s", diff(before, after))
	}
	const keep = 100
	records := l.records(t)
	if most := keep + keep/4; records > most || starts >= keep && records < keep {
		t.Errorf("%d records", records)
	}
	first, last := l.growth()
	if last > first+first/4 {
		t.Errorf("the hook has had %d KiB of memory, and %d in the end", first, last)
	}
	t.Logf("%d starts in a row: %d failed, %d records, memory of the hook %d KiB in the beginning and %d in the end\n%s",
		starts, failed, records, first, last, before)
}

// growth returns how much memory the hook has had at most, in KiB: the middle one of the first tenth of the starts, and
// of the last.
func (l *load) growth() (first, last int64) {
	middle := func(list []int64) int64 {
		list = slices.Sorted(slices.Values(list))
		return list[len(list)/2]
	}
	part := max(1, len(l.memory)/10)
	return middle(l.memory[:part]), middle(l.memory[len(l.memory)-part:])
}

// Many containers at once.
func TestSoakAtOnce(t *testing.T) {
	require.Root(t)
	l := newLoad(t)
	before := l.leftovers(t)
	containers, ends := make([]*loaded, atOnce), make([]func(), atOnce)
	for n := range containers {
		containers[n], ends[n] = l.prepare(l.bundle(t), n)
	}
	problems, began := make([]string, atOnce), time.Now()
	var all sync.WaitGroup
	for n, s := range containers {
		all.Go(func() { problems[n] = s.run(n) })
	}
	all.Wait()
	took := time.Since(began)
	failed := 0
	for n, problem := range problems {
		// All of them run: none has lost its record to another.
		if problem = join(problem, containers[n].recorded(n)); problem != "" {
			failed++
			t.Errorf("container %d: %s", n, problem)
		}
	}
	records := l.records(t)
	for _, end := range ends {
		end()
	}
	if records != atOnce {
		t.Errorf("%d records", records)
	}
	if after := l.leftovers(t); after != before {
		t.Errorf("something is left:\n%s", diff(before, after))
	}
	first, last := l.growth()
	t.Logf("%d containers at once: %d failed, %d records, %d to %d KiB of memory each, %s\n%s", atOnce, failed, records,
		min(first, last), max(first, last), took.Round(time.Millisecond), before)
}
