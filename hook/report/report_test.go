package report

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// example is a plan for two requests, the second of which is a wish with a delegate.
func example() plan.Plan {
	asked, wish := devices.NewEdits(), devices.NewEdits()
	asked.DeviceNodes = []*devices.DeviceNode{{Path: "/dev/a", Status: devices.Apply}}
	asked.Env = []*devices.Env{{Value: "A=b", Status: devices.Late}}
	wish.Hooks = []*devices.Hook{{HookName: "createContainer", Path: "/bin/h", Status: devices.Apply}}
	hook := &plan.Delegate{Path: "/usr/bin/hook"}
	return plan.Plan{
		Requests: []plan.Request{
			{Source: "flag", Status: plan.Granted},
			{Source: "env:X", Value: "all", Status: plan.Granted},
		},
		Grants: []plan.Grant{
			{Request: 0, CDIDevices: []string{"a.com/b=0"}},
			{Request: 1, CDIDevices: []string{"c.com/d=0"}, Delegate: hook},
		},
		CDIDevices: []string{"a.com/b=0", "c.com/d=0"},
		Asked:      plan.Part{Requests: []int{0}, Edits: asked},
		Wishes:     []plan.Part{{Requests: []int{1}, Edits: wish, Delegates: []*plan.Delegate{hook}}},
		Warnings:   []*fault.Error{fault.New(fault.Late, "a", "b")},
	}
}

// shown is what a test compares of a report.
func shown(r *Report) (out []string) {
	out = append(out, r.Result, fmt.Sprint(r.CDIDevices))
	for _, q := range r.Requests {
		out = append(out, q.Source+" "+q.Status)
	}
	for e := range r.Edits.All() {
		out = append(out, e.Label()+" "+string(*e.State()))
	}
	for _, m := range append(r.Warnings, r.Errors...) {
		out = append(out, string(m.Code))
	}
	return out
}

func TestMake(t *testing.T) {
	applied := func(p plan.Plan, o *plan.Outcome) {
		for e := range p.Edits().All() {
			if *e.State() == devices.Apply {
				*e.State() = devices.Applied
			}
		}
		o.Output["/usr/bin/hook"] = "done\nso"
	}
	for _, test := range []struct {
		name string
		plan func(*plan.Plan)
		do   func(plan.Plan, *plan.Outcome) // nil where nothing was carried out
		want []string
	}{
		{"planned", nil, nil, []string{
			"planned", "[a.com/b=0 c.com/d=0]", "flag granted", "env:X granted",
			"variable A=b late", "node /dev/a apply", "createContainer hook /bin/h apply", "W-LATE",
		}},
		{"refused", func(p *plan.Plan) { p.Errors = []*fault.Error{fault.New(fault.Policy, "a", "b")} }, nil, []string{
			"refused", "[a.com/b=0 c.com/d=0]", "flag unserved", "env:X unserved",
			"variable A=b late", "node /dev/a apply", "createContainer hook /bin/h apply", "W-LATE", "E-POLICY",
		}},
		{"applied", nil, applied, []string{
			"applied", "[a.com/b=0 c.com/d=0]", "flag granted", "env:X granted",
			"variable A=b late", "node /dev/a applied", "createContainer hook /bin/h applied", "W-LATE",
		}},
		{"a wish comes to nothing", nil, func(p plan.Plan, o *plan.Outcome) {
			o.Forgo(p, p.Wishes[0], fault.New(fault.Hook, "h", "failed"))
			*p.Asked.Edits.DeviceNodes[0].State() = devices.Applied
		}, []string{
			"applied", "[a.com/b=0]", "flag granted", "env:X unserved",
			"variable A=b late", "node /dev/a applied", "createContainer hook /bin/h skipped", "W-LATE", "W-WEAK",
		}},
		{"failed half way: what was made is taken back, a hook that ran has run", nil, func(p plan.Plan, o *plan.Outcome) {
			applied(p, o)
			o.Fail(fault.New(fault.Cgroup, "a", "b"))
		}, []string{
			"failed", "[a.com/b=0 c.com/d=0]", "flag unserved", "env:X unserved",
			"variable A=b late", "node /dev/a apply", "createContainer hook /bin/h applied", "W-LATE", "E-CGROUP",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := example()
			if test.plan != nil {
				test.plan(&p)
			}
			var o *plan.Outcome
			if test.do != nil {
				made, work := plan.NewOutcome(), p.Copy()
				made.Edits = work.Edits()
				test.do(work, &made)
				o = &made
			}
			before := shown(Make(NewRun("createRuntime"), p, nil))
			if diff := cmp.Diff(test.want, shown(Make(NewRun("createRuntime"), p, o))); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, shown(Make(NewRun("createRuntime"), p, nil))); diff != "" {
				t.Error("carrying the plan out has changed it:", diff)
			}
		})
	}
}

func TestDelegatesOutput(t *testing.T) {
	p, o := example(), plan.NewOutcome()
	o.Edits, o.Output["/usr/bin/hook"] = devices.NewEdits(), "permission denied\nso"
	if got := Make(NewRun(""), p, &o).Grants[1].Delegate.Output; got != "access is denied; so" {
		t.Errorf("it says %q", got)
	}
	if p.Grants[1].Delegate.Output != "" {
		t.Error("the plan was changed")
	}
}

// Warnings and errors reach the system's log, one line each.
func TestTell(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r := Make(NewRun(""), plan.Plan{
		Warnings: []*fault.Error{fault.New(fault.Late, "edits", "b")}, Errors: []*fault.Error{fault.New(fault.Node,
			"node", "d\ne")},
	}, nil)
	r.Container.ID = "c\n"
	r.tell(socket)
	// Datagrams that were sent are there: nothing is waited for unless one is missing.
	if err := log.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`<28>gpu-hook[%d]: container "c\n": W-LATE: edits: b`, os.Getpid()),
		fmt.Sprintf(`<27>gpu-hook[%d]: container "c\n": E-NODE: node: d; e`, os.Getpid()),
	} {
		buffer := make([]byte, 1<<10)
		n, err := log.Read(buffer)
		if err != nil || string(buffer[:n]) != want {
			t.Errorf("%q %v, want %q", buffer[:n], err, want)
		}
	}
}

// A record's name is the container's id, which must not lead out of the directory.
func TestRecordsStayInTheirDirectory(t *testing.T) {
	for _, id := range []string{"../x", "..", ".", "", "a/b", "/x", "x\x00", "-x/../../y", strings.Repeat("a", 201)} {
		top := t.TempDir()
		dir := filepath.Join(top, "run")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		r := Make(NewRun(""), plan.Plan{}, nil)
		r.Container.ID = id
		r.Keep(dir, 5)
		if len(r.Warnings) != 1 || r.Warnings[0].Code != fault.RecordNote {
			t.Errorf("%q: warnings %v", id, r.Warnings)
		}
		err := filepath.Walk(top, func(path string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				t.Errorf("%q: %s was written", id, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestKeepAndLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	for _, id := range []string{"aa", "ab", "b"} {
		r := Make(NewRun("createRuntime"), example(), nil)
		r.Container.ID = id
		if r.Keep(dir, 5); len(r.Warnings) != 1 {
			t.Fatal(r.Warnings)
		}
	}
	for id, want := range map[string]string{"b": "b", "ab": "ab", "": "b", "a": "begin with", "c": "no record"} {
		r, err := Last(dir, id)
		switch {
		case err != nil && !strings.Contains(err.Error(), want), err == nil && r.Container.ID != want && id != "":
			t.Errorf("%q: %v %v, want %s", id, r, err, want)
		case err == nil && len(r.Edits.DeviceNodes) != 1:
			t.Errorf("%q: %v", id, r.Edits)
		}
	}
}
