package engines

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// stages are the hook stages of runtime-spec, in the order in which they run.
var stages = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// whole gives the host a Spec with every kind of edit. The hook of each stage writes its name into the file runs; that
// of startContainer, which is a program of the container, writes it into /tmp/runs there.
func (s *site) whole() {
	s.t.Helper()
	var spec strings.Builder
	spec.WriteString(strings.Replace(s.Host.Spec(), `cdiVersion: "0.5.0"`, `cdiVersion: "0.7.0"`, 1))
	spec.WriteString("  additionalGids: [4321]\n  hooks:\n")
	for _, stage := range stages {
		if stage == "startContainer" {
			spec.WriteString("  - {hookName: startContainer, path: /bin/sh, " +
				"args: [sh, -c, \"echo $STAGE >>/tmp/runs\"], env: [STAGE=startContainer]}\n")
			continue
		}
		fmt.Fprintf(&spec, "  - {hookName: %[1]s, path: %[2]s, args: [count, %[1]s], timeout: 20}\n",
			stage, s.Host.Path("bin/count"))
	}
	text := strings.Replace(spec.String(), "  - NVIDIA_VISIBLE_DEVICES=void\n",
		"  - NVIDIA_VISIBLE_DEVICES=void\n  - FROM_SPEC=it is\n", 1)
	err := errors.Join(
		s.Host.Write("cdi/nvidia.yaml", text, 0o644),
		s.Host.Write("runs", "", 0o666),
		s.Host.Write("bin/count", "#!/bin/sh\ncat >/dev/null; echo $1 >>"+s.Host.Path("runs")+"\n", 0o755),
	)
	if err != nil {
		s.t.Fatal(err)
	}
}

// wholeScript shows what the container got of that Spec.
const wholeScript = script + `
echo "variable $FROM_SPEC"; echo "visible $NVIDIA_VISIBLE_DEVICES"
for g in $(id -G); do echo "group $g"; done
while read line; do
	case $line in *libcuda.so*) echo mounted;; *" /dev/nvidia0 "*) echo bound;; esac
done </proc/self/mountinfo
while read stage; do echo "ran $stage"; done </tmp/runs`

// ran checks how often the hooks of the stages outside the container have run.
func (s *site) ran(times map[string]int) {
	s.t.Helper()
	data, err := os.ReadFile(s.Host.Path("runs"))
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[string]int{}
	for _, stage := range strings.Fields(string(data)) {
		got[stage]++
	}
	for _, stage := range stages {
		if got[stage] != times[stage] {
			s.t.Errorf("the hook of %s ran %d times, not %d", stage, got[stage], times[stage])
		}
	}
}

func (o outcome) count(line string) (n int) {
	for _, l := range o.lines() {
		if l == line {
			n++
		}
	}
	return n
}

// precreates returns podman with each runtime of this machine, with the precreate hook.
func precreates(t *testing.T) []starter {
	t.Helper()
	return slices.DeleteFunc(starters(t), func(e starter) bool { return !strings.HasPrefix(e.name, "precreate") })
}

// Every kind of edit takes effect once: precreate makes those that a createRuntime hook cannot make, and createRuntime
// makes the others.
func TestPrecreateGivesAll(t *testing.T) {
	for _, e := range precreates(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.whole()
			b := asks("device=0")
			b.Env, b.Args = []string{"FROM_SPEC=it is not"}, []string{"sh", "-c", wholeScript}
			o := e.run(s, b)
			s.gaveAll(o)
			o.has(t, "visible void")
			r := s.last()
			if r.Result != plan.ResultApplied || len(r.Warnings) > 0 || r.Container.Stage != "createRuntime" {
				t.Errorf("record: %s %+v %+v", r.Result, r.Container, r.Warnings)
			}
			s.shared(r)
		})
	}
}

// The variable by which a container requests devices keeps its value. Programs read it, and so does the later stage.
func TestPrecreateKeepsTheRequest(t *testing.T) {
	for _, e := range precreates(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.whole()
			o := e.run(s, gpuhost.Bundle{Env: []string{"NVIDIA_VISIBLE_DEVICES=0"}, Args: []string{"sh", "-c", wholeScript}})
			s.gaveAll(o)
			o.has(t, "visible 0")
		})
	}
}

// shared checks which stage has made what: createRuntime makes nodes and mounts and runs the early hooks.
func (s *site) shared(r *report.Report) {
	s.t.Helper()
	early := func(h *devices.Hook) bool { return slices.Contains(stages[:3], h.HookName) }
	for _, d := range r.Edits.DeviceNodes {
		s.is(d.Path, d.Status, devices.Applied)
	}
	for _, m := range r.Edits.Mounts {
		s.is(m.ContainerPath, m.Status, devices.Applied)
	}
	for _, h := range r.Edits.Hooks {
		want := devices.Present
		if early(h) {
			want = devices.Applied
		}
		s.is(h.HookName, h.Status, want)
	}
	for _, v := range r.Edits.Env {
		s.is(v.Value, v.Status, devices.Present)
	}
	for _, g := range r.Edits.AdditionalGIDs {
		s.is(fmt.Sprint(g.Value), g.Status, devices.Present)
	}
}

func (s *site) is(what string, got, want devices.Status) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s is %s, not %s", what, got, want)
	}
}

// gaveAll checks the output of a container that ran wholeScript.
func (s *site) gaveAll(o outcome) {
	s.t.Helper()
	if o.Status != 0 {
		s.t.Fatalf("status %d: %s", o.Status, o.Stderr)
	}
	for _, line := range []string{
		"node /dev/nvidia0", "node /dev/nvidiactl", library, "open", "variable it is", "group 4321", "mounted",
		"ran startContainer",
	} {
		if n := o.count(line); n != 1 {
			s.t.Errorf("the container prints %q %d times:\n%s", line, n, o.Stdout)
		}
	}
	s.ran(map[string]int{"prestart": 1, "createRuntime": 1, "createContainer": 1, "poststart": 1, "poststop": 1})
}

// Without the precreate stage, exactly what it alone could have made is late, and everything else is made.
func TestLateWithoutPrecreate(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.whole()
			b := asks("device=0")
			b.Args = []string{"sh", "-c", wholeScript + " 2>/dev/null || true"}
			o := e.run(s, b)
			o.has(t, "node /dev/nvidia0", library, "open", "mounted")
			o.hasNot(t, "variable it is", "group 4321", "ran startContainer")
			s.ran(map[string]int{"prestart": 1, "createRuntime": 1, "createContainer": 1})
			r := s.last()
			var late []string
			for _, v := range r.Edits.Env {
				late = append(late, v.Value+" "+string(v.Status))
			}
			for _, g := range r.Edits.AdditionalGIDs {
				late = append(late, fmt.Sprint(g.Value, " ", g.Status))
			}
			for _, h := range r.Edits.Hooks {
				late = append(late, h.HookName+" "+string(h.Status))
			}
			want := []string{
				"NVIDIA_VISIBLE_DEVICES=void late", "FROM_SPEC=it is late", "4321 late",
				"prestart applied", "createRuntime applied", "createContainer applied",
				"startContainer late", "poststart late", "poststop late",
			}
			if !slices.Equal(late, want) {
				t.Errorf("edits: %q", late)
			}
			if len(r.Warnings) != 1 || r.Warnings[0].Code != "W-LATE" {
				t.Errorf("warnings: %+v", r.Warnings)
			}
		})
	}
}

// createRuntime reports a refusal, with the whole message if the runtime shows it.
func TestPrecreateRefusesNothing(t *testing.T) {
	for _, e := range precreates(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.refused(e, e.run(s, asks("device=7")), "E-NAME", "nvidia.com/gpu=7")
			if r := s.last(); r.Container.Stage != hook.StageCreateRuntime {
				t.Errorf("record: %+v", r.Container)
			}
		})
	}
}

// A container that is started again gets everything once.
func TestPrecreateStartAgain(t *testing.T) {
	for _, e := range precreates(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.whole()
			b := precreated(asks("device=0"))
			b.Args = []string{"sh", "-c", wholeScript + "; rm /tmp/runs"}
			p := s.session(e, &b)
			s.podmanRun(p, append([]string{"create", "--name", "again"}, p.Container(b)...)...)
			for n := 1; n <= 2; n++ {
				s.podmanRun(p, "start", "--attach", "again").has(t, "group 4321", "open", "variable it is")
				if n == 1 {
					s.podmanRun(p, "wait", "again")
				}
			}
			s.podmanRun(p, "rm", "again")
			s.ran(map[string]int{"prestart": 2, "createRuntime": 2, "createContainer": 2, "poststart": 2, "poststop": 2})
		})
	}
}

// With podman's own CDI, both stages of gpu-hook and a Spec's hook, everything is done once, and the duplicate is
// reported.
func TestPrecreateBesideEngine(t *testing.T) {
	s := newSite(t)
	b := asks("device=0")
	file := "libcuda.so." + gpuhost.Driver
	b.Flags = []string{"--volume", s.Host.Path("lib/"+file) + ":" + gpuhost.LibDir + "/" + file + ":ro"}
	o := precreates(t)[0].run(s, b)
	if o.Status != 0 || o.count(library) != 1 {
		t.Fatalf("status %d: %s%s", o.Status, o.Stdout, o.Stderr)
	}
	if r := s.last(); len(r.Warnings) != 1 || r.Warnings[0].Code != "W-DUP" {
		t.Errorf("warnings: %+v", r.Warnings)
	}
}

// The delegate is left to the later stage. The container's program sees the variables by which programs know their
// devices.
func TestPrecreateDelegates(t *testing.T) {
	s := newSite(t)
	s.delegate()
	b := asks(`"device=0","capabilities=compute"`)
	b.Env = []string{"NVIDIA_VISIBLE_DEVICES=void"}
	b.Args = []string{"sh", "-c", script + `; echo "$NVIDIA_VISIBLE_DEVICES $NVIDIA_DRIVER_CAPABILITIES"`}
	o := precreates(t)[0].run(s, b)
	if o.Status != 0 {
		t.Fatalf("status %d: %s", o.Status, o.Stderr)
	}
	o.has(t, "node /dev/nvidia0", "put here by the delegate", "open", "0 compute")
	s.delegated()
}

// A plan annotation that the container's author has written has no effect.
func TestForgedPlan(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := gpuhost.Bundle{
				Annotations: map[string]string{
					request.AnnotationPlan: `{"digest":"sha256:0","requests":[{"source":"flag","devices":["all"]}],` +
						`"env":{"NVIDIA_VISIBLE_DEVICES":"all"}}`,
				},
				Env: []string{"NVIDIA_VISIBLE_DEVICES=void"}, Args: []string{"sh", "-c", script + "; echo started"},
			}
			o := e.run(s, b)
			o.has(t, "started")
			o.hasNot(t, "node /dev/nvidia0", "node /dev/nvidia1", library)
			if r := s.last(); len(r.Warnings) != 1 || r.Warnings[0].Code != "W-PLAN" || r.Result != plan.ResultNothing {
				t.Errorf("record: %s %+v", r.Result, r.Warnings)
			}
		})
	}
}

// In a user namespace nodes are bound, and the host's own nodes do not change.
func TestPrecreateUserNamespace(t *testing.T) {
	s := newSite(t)
	s.whole()
	b := asks("device=0")
	b.Flags = []string{
		"--uidmap", fmt.Sprintf("0:%d:65536", mappedRoot), "--gidmap", fmt.Sprintf("0:%d:65536", mappedRoot),
	}
	b.Owner, b.Args = mappedRoot, []string{"sh", "-c", wholeScript}
	s.gaveAll(precreates(t)[0].run(s, b))
	unchangedNode(t, s.Host.Path("dev/nvidia0"))
}

func TestPrecreateRootless(t *testing.T) {
	s, u := rootless(t)
	s.whole()
	for name, flags := range map[string][]string{"alone": nil, "keep-id": {"--userns=keep-id"}} {
		t.Run(name, func(t *testing.T) {
			if err := s.Host.Write("runs", "", 0o666); err != nil {
				t.Fatal(err)
			}
			b := precreated(asks("device=0"))
			b.User, b.Flags, b.Args = u, flags, []string{"sh", "-c", wholeScript}
			s.gaveAll(s.ended(s.Podman(b)))
			unchangedNode(t, s.Host.Path("dev/nvidia0"))
			last := s.lastOf(u)
			if !strings.Contains(last, "got its devices") || !strings.Contains(last, "present") ||
				strings.Contains(last, "warning") {
				t.Errorf("last: %s", last)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		b := precreated(withArgs(asks("device=7")))
		b.User = u
		if o := s.ended(s.Podman(b)); o.Status == 0 {
			t.Errorf("it started: %s", o.Stdout)
		}
		if last := s.lastOf(u); !strings.Contains(last, "createRuntime ") || !strings.Contains(last, "E-NAME") {
			t.Errorf("last: %s", last)
		}
	})
}
