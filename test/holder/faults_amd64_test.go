package holder

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
	"github.com/gpu-hook/gpu-hook/test/trace"
)

// faulty is a kind of container of which every start fails at another call.
type faulty struct {
	name   string
	option option
	wish   bool
	cgroup int // its version
}

func faultyContainers() []faulty {
	return []faulty{
		{name: "asked with cgroup version 1", option: annotated("all"), cgroup: 1},
		{name: "asked with cgroup version 2", option: annotated("all"), cgroup: 2},
		{name: "wish with cgroup version 1", option: withEnv("NVIDIA_VISIBLE_DEVICES=all"), wish: true, cgroup: 1},
	}
}

// share is which of the faults are tried: every tenth, or every so manyth as GPU_HOOK_FAULTS says.
func share() int {
	const tenth = 10
	if n, err := strconv.Atoi(os.Getenv("GPU_HOOK_FAULTS")); err == nil && n > 0 {
		return n
	}
	return tenth
}

// The apply phase begins with this: the user namespace of the container is compared.
const phase = "/proc/self/ns/user"

// Every system call of the apply phase fails once with each error that it can have, and the process is killed once
// before each. The start then fails with a line that names the step, or a wish is left out, and nothing stays. After a
// kill nobody can do more than before, and the next start is clean.
func TestFaults(t *testing.T) {
	require.Root(t)
	var results faultTable
	began := time.Now()
	for _, kind := range faultyContainers() {
		t.Run(kind.name, func(t *testing.T) {
			calls := newFaulty(t, kind).record()
			faults, step := faultsOf(calls), share()
			t.Logf("%d calls, %d faults", len(calls), len(faults))
			t.Run("faults", func(t *testing.T) {
				const workers = 4
				for worker := range workers {
					t.Run(fmt.Sprint(worker), func(t *testing.T) {
						t.Parallel()
						f := newFaulty(t, kind)
						for i := worker * step; i < len(faults); i += workers * step {
							results.add(f.try(faults[i]))
						}
					})
				}
			})
		})
	}
	results.print(t, time.Since(began))
}

// aFault is what happens at a call.
type aFault struct {
	call  trace.Call
	errno unix.Errno // or 0: the process is killed
}

func (f aFault) String() string {
	if f.errno == 0 {
		return "killed at " + f.call.String()
	}
	return unix.ErrnoName(f.errno) + " of " + f.call.String()
}

// faultsOf returns all that can happen at the calls.
func faultsOf(calls []trace.Call) (out []aFault) {
	for _, call := range calls {
		for _, errno := range append(errnosOf(call), 0) {
			out = append(out, aFault{call, errno})
		}
	}
	return out
}

// faultyContainer is a container of one kind.
type faultyContainer struct {
	*container
	kind  faulty
	group *group
	image map[string]bool // what is in the root filesystem
}

func newFaulty(t *testing.T, kind faulty) *faultyContainer {
	t.Helper()
	f := &faultyContainer{kind: kind, group: newGroup(t, kind.cgroup), image: map[string]bool{}}
	f.container = hooked(t, func(c *container, b *gpuhost.Bundle) {
		kind.option(c, b)
		b.Edit = func(config map[string]any) { config["linux"].(map[string]any)["cgroupsPath"] = f.group.name }
	})
	f.walk(func(path string) { f.image[path] = true })
	f.record() // its first start makes the directories of the records
	return f
}

// walk calls visit for each path in the root filesystem.
func (f *faultyContainer) walk(visit func(path string)) {
	f.t.Helper()
	f.must(filepath.WalkDir(f.rootfs(""), func(path string, _ os.DirEntry, err error) error {
		if !errors.Is(err, os.ErrNotExist) {
			visit(path)
		}
		return err
	}))
}

// clean removes what a start has left in the root filesystem: mount points.
func (f *faultyContainer) clean() {
	f.t.Helper()
	var left []string
	f.walk(func(path string) {
		if !f.image[path] {
			left = append(left, path)
		}
	})
	for _, path := range slices.Backward(left) {
		f.must(os.Remove(path))
	}
}

// hold starts a holder in a new cgroup, and returns what ends both.
func (f *faultyContainer) hold() (end func()) {
	f.t.Helper()
	endHolder := f.begin()
	f.group.make(f.t, f.pid)
	return func() {
		endHolder()
		f.group.remove(f.t)
	}
}

// record returns the calls of a start in which nothing fails.
func (f *faultyContainer) record() []trace.Call {
	f.t.Helper()
	defer f.clean()
	defer f.hold()()
	r, outcome := f.traced(trace.Plan{})
	if problem := f.isServed(r); problem != "" || outcome.Begun != 1 {
		f.t.Fatalf("%s; the phase began %d times\n%s", problem, outcome.Begun, r.stderr)
	}
	return outcome.Calls
}

// traced runs the hook. The result has no record of an earlier run.
func (f *faultyContainer) traced(plan trace.Plan) (result, trace.Outcome) {
	f.t.Helper()
	plan.Begin, plan.Times, plan.Enter = phase, 1, f.group.enter
	cmd := f.hook()
	state, err := io.ReadAll(cmd.Stdin)
	f.must(err)
	var files [3]*os.File
	for i, name := range []string{"stdin", "stdout", "stderr"} {
		files[i], err = os.Create(filepath.Join(f.group.temp, name))
		f.must(err)
		defer files[i].Close()
	}
	_, err = files[0].Write(state)
	f.must(err)
	_, err = files[0].Seek(0, io.SeekStart)
	f.must(err)
	outcome, err := trace.Run(cmd.Args, cmd.Env, "/", files, plan)
	f.must(err)
	r := result{status: outcome.Status, stdout: readFile(f.t, files[1].Name()), stderr: readFile(f.t, files[2].Name())}
	if last, err := report.Last(f.host.Path("run"), "test"); err == nil {
		r.report = last
	}
	return r, outcome
}
