package report

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// spaced is text without the blanks at the ends of its lines, which columns leave.
func spaced(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, strings.TrimRight(line, " \n"))
	}
	return strings.Join(out, "\n") + "\n"
}

func TestText(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	edits := func(e devices.Edits) *devices.Edits { return &e }
	for name, test := range map[string]struct {
		report Report
		want   string
	}{
		"nothing was asked for": {Report{Edits: devices.NewEdits(), Result: "nothing", explained: true}, `
an example: would start

asks:   nothing
`},
		"a bundle without an id": {Report{
			Container: ContainerInfo{Bundle: "/b", Stage: "createRuntime"}, Edits: devices.NewEdits(),
			Result: "planned", explained: true, Unseen: []string{"its root"},
		}, `
/b: would start

asks:   nothing

not seen: its root
`},
		"one that was applied": {Report{
			Container: ContainerInfo{ID: "c1", Bundle: "/b", Engine: "podman", Stage: "createRuntime", Name: "web"},
			Requests: []plan.Request{
				{Source: "annotation:gpu-hook/gpus", Value: "device=0\n", Vendor: "nvidia", Status: "granted"},
				{Source: "env:X", Value: "1", Vendor: "nvidia", Status: "overridden", Reason: "it is lower"},
			},
			Attempts: []plan.Attempt{
				{Request: 0, Driver: "nvidia.cdi", Status: "chosen"},
				{Request: 0, Driver: "nvidia.runtime-hook", Status: "skipped", Reason: "nvidia.cdi serves the request"},
			},
			Grants: []plan.Grant{
				{Driver: "nvidia.cdi", CDIDevices: []string{"nvidia.com/gpu=0", "nvidia.com/gpu=1"}},
				{Driver: "acme.runtime-hook", Delegate: &plan.Delegate{Path: "/bin/h", Env: []string{"A=0", "B=1"}}},
			},
			Edits: edits(devices.Edits{
				DeviceNodes: []*devices.DeviceNode{
					{Path: "/dev/nvidia0", Type: "c", Major: 195, Minor: 1, Permissions: "rw", Status: "applied"},
				},
				Env: []*devices.Env{{Value: "A=b", Status: "late"}},
			}),
			Warnings: []Message{{fault.Late, "w", "do this"}, {fault.Weak, "v", ""}},
			Result:   "applied", Time: at,
			Phases: []Phase{{"state", 1200}, {"apply", 345}},
		}, `
web (podman, c1): got its devices
createRuntime 2026-03-04T05:06:07Z, 1.5 ms: applied

asks:   annotation:gpu-hook/gpus  "device=0\n"  nvidia  granted
        env:X                     "1"           nvidia  overridden: it is lower

tried:  nvidia.cdi           chosen
        nvidia.runtime-hook  skipped  nvidia.cdi serves the request

gives:  by nvidia.cdi         nvidia.com/gpu=0 nvidia.com/gpu=1
        by acme.runtime-hook  /bin/h A=0 B=1
        env A=b                           late
        node /dev/nvidia0     c 195:1 rw  applied

warning W-LATE: w
  fix: do this

warning W-WEAK: v
`},
		// The reasons of a request that no driver serves are those of the drivers.
		"one that was refused": {Report{
			Container: ContainerInfo{ID: strings.Repeat("0a", 32), Stage: "createRuntime", UID: 7, Name: "x\x1b"},
			Requests: []plan.Request{
				{Source: "flag", Value: "all", Vendor: "amd", Status: "unserved", Reason: "no driver"},
				{Source: "mount", Value: "0", Vendor: "nvidia", Status: "unserved", Reason: "no driver"},
			},
			Attempts: []plan.Attempt{
				{Driver: "amd.cdi", Status: "failed", Reason: "no Spec"},
				{Request: 1, Driver: "nvidia.cdi", Status: "failed", Reason: "no Spec"},
			},
			Edits: devices.NewEdits(), Errors: []Message{{fault.NoSpec, "no driver", "install it"}, {fault.Name, "none", ""}},
			Result: "refused", Time: at,
		}, `
"x\x1b" (0a0a0a0a0a0a, uid 7): did not start
createRuntime 2026-03-04T05:06:07Z, 0.0 ms: refused

asks:   flag   "all"  amd     unserved
        mount  "0"    nvidia  unserved

cause:  E-NOSPEC: no driver
fix:    install it

cause:  E-NAME: none

tried:  amd.cdi     failed  for flag   no Spec
        nvidia.cdi  failed  for mount  no Spec
`},
		// What such a plan would have given is of no interest.
		"one that would be refused": {Report{
			Container: ContainerInfo{Engine: "cri-o", Name: "job", Pod: "p", Namespace: "default"},
			Requests:  []plan.Request{{Source: "mount", Value: "0", Vendor: "nvidia", Status: "unserved"}},
			Grants:    []plan.Grant{{Driver: "nvidia.cdi", CDIDevices: []string{"nvidia.com/gpu=0"}}},
			Edits:     devices.NewEdits(), Errors: []Message{{fault.Mount, "a volume", ""}}, Result: "refused", explained: true,
		}, `
default/p/job (cri-o): would not start

asks:   mount  "0"  nvidia  unserved

cause:  E-MOUNT: a volume
`},
		"a wish that would come to nothing": {Report{
			Requests: []plan.Request{{Source: "env:X", Value: "all", Vendor: "nvidia", Status: "unserved"}},
			Edits:    devices.NewEdits(), Result: "nothing", explained: true,
		}, `
an example: would start without devices

asks:   env:X  "all"  nvidia  unserved
`},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := test.report.Text(&out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), spaced(out.String())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInventoryText(t *testing.T) {
	full := Inventory{
		Vendors: []VendorInfo{{
			Name: "nvidia", Kind: "nvidia.com/gpu", Env: "NVIDIA_VISIBLE_DEVICES", Capabilities: []string{"gpu", "video"},
			Drivers: []DriverInfo{
				{Name: "nvidia.cdi", Found: true, Paths: []string{"/a.yaml", "/b.yaml"}},
				{Name: "nvidia.runtime-hook", Reason: "it is not installed"},
			},
		}},
		Devices: []devices.Device{
			{Name: "nvidia.com/gpu=0", Spec: "/a.yaml", Aliases: []string{"nvidia.com/gpu=GPU-1"}},
			{Name: "a.com/b=c", Spec: "/b.yaml"},
		},
		Conflicts: []devices.Conflict{{Name: "nvidia.com/gpu=1", Specs: []string{"/a.yaml", "/b.yaml"}}},
		Sources: []SourcesInfo{
			{Sources: []string{"annotation", "env"}},
			{Engine: "cri-o", Sources: []string{"mount"}, Namespaces: map[string][]string{
				"b": {"env"}, "a": {"env", "annotation"}, "c": {"env"},
			}},
		},
		Errors: []Message{{fault.Parse, "no YAML", "correct it"}},
	}
	for name, test := range map[string]struct {
		inventory Inventory
		want      string
	}{
		"nothing": {Inventory{}, `
vendors, the first that can serve a request gets it:

devices that CDI knows:
  none

sources of requests that count, highest first:
`},
		"everything": {full, `
vendors, the first that can serve a request gets it:
  nvidia                      nvidia.com/gpu                NVIDIA_VISIBLE_DEVICES  gpu,video
    driver nvidia.cdi         yes: /a.yaml /b.yaml
    driver nvidia.runtime-hook  no: it is not installed

devices that CDI knows:
  nvidia.com/gpu=0  /a.yaml   also nvidia.com/gpu=GPU-1
  a.com/b=c         /b.yaml
  nvidia.com/gpu=1  CONFLICT  in /a.yaml and /b.yaml

sources of requests that count, highest first:
  (any other)    annotation env
  cri-o          mount
    namespace a  and env annotation
    namespace b  and env
    namespace c  and env

error E-PARSE: no YAML
  fix: correct it
`},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := test.inventory.Text(&out); err != nil {
				t.Fatal(err)
			}
			// The width of a column is the table writer's.
			squeeze := func(text string) string {
				var lines []string
				for line := range strings.Lines(text) {
					indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
					lines = append(lines, indent+strings.Join(strings.Fields(line), " "))
				}
				return strings.Join(lines, "\n")
			}
			if diff := cmp.Diff(squeeze(strings.TrimPrefix(test.want, "\n")), squeeze(out.String())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckup(t *testing.T) {
	var c Checkup
	c.Add("kernel", CheckOK, "Linux\n6.1", "")
	c.Add("records", CheckWarn, "permission denied", "make\nit readable")
	if c.Failed() {
		t.Error("a warning fails the checkup")
	}
	var out strings.Builder
	if err := c.Text(&out); err != nil {
		t.Fatal(err)
	}
	want := `WARN  2  access is denied
         fix: make; it readable
ok       1 more (gpu-hook doctor --all)
`
	if got := spaced(out.String()); got != want {
		t.Errorf("%s", cmp.Diff(want, got))
	}
	c.Add("drivers", CheckFail, "none", "")
	if !c.Failed() {
		t.Error("what does not work does not fail the checkup")
	}
}

// Errors go to standard error, a line each, and what to do another.
func TestLines(t *testing.T) {
	err := fault.New(fault.Node, "node", "no such file or directory\nreally").WithHint("make\nit")
	want := []string{"gpu-hook: E-NODE: node: it does not exist; really", "gpu-hook: fix: make; it"}
	if diff := cmp.Diff(want, Lines(err)); diff != "" {
		t.Error(diff)
	}
	r := Make(NewRun(""), plan.Plan{Errors: []*fault.Error{err, fault.New(fault.Name, "", "x")}}, nil)
	r.Warn(fault.New(fault.Late, "", "no line of it"))
	if diff := cmp.Diff(append(want, "gpu-hook: E-NAME: x"), r.Lines()); diff != "" {
		t.Error(diff)
	}
}

// The values of requests are shortened for a width of 120 columns, in the middle, and the cause never is.
func TestNarrow(t *testing.T) {
	long := strings.Repeat("GPU-", 40)
	env := func(value string) plan.Request { return plan.Request{Source: "env:X", Value: value} }
	a, b := env(long), plan.Request{Source: "flag", Value: long + "0"}
	for _, test := range []struct {
		name     string
		message  string
		requests []plan.Request
		want     string
	}{
		{"the message fits", a.String()[:90] + ": why", []plan.Request{a}, a.String()[:90] + ": why"},
		{"the value is too long", a.String() + ": why", []plan.Request{a}, "X=" + long[:63] + "…" + long[129:] + ": why"},
		{
			"the cause is too", a.String() + ": " + long,
			[]plan.Request{a},
			"X=" + long[:21] + "…" + long[150:] + ": " + long,
		},
		{"the value is short", "X=1: " + long, []plan.Request{env("1")}, "X=1: " + long},
		{"no request", long + ": why", []plan.Request{env("1")}, long + ": why"},
		{
			"two requests", a.String() + ": not with " + b.String(),
			[]plan.Request{a, b},
			"X=" + long[:21] + "…" + long[150:] + ": not with --gpus " + b.Value[:33] + "…" + b.Value[145:],
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &Report{Requests: test.requests}
			got := r.narrow(Message{Code: fault.Name, Message: test.message})
			if got != test.want {
				t.Errorf("%d %s\n%d %s", len(got), got, len(test.want), test.want)
			}
		})
	}
}

// Where a record was left, the last line says how to read it: by the part of the id that engines show.
func TestMore(t *testing.T) {
	for id, want := range map[string]string{
		"web": "web", strings.Repeat("0a", 32): "0a0a0a0a0a0a", strings.Repeat("0g", 32): strings.Repeat("0g", 32),
	} {
		r := Make(NewRun(""), plan.Plan{Errors: []*fault.Error{fault.New(fault.Name, "", "x")}}, nil)
		r.Container.ID = id
		if lines := r.Lines(); len(lines) != 1 {
			t.Errorf("without a record: %q", lines)
		}
		r.Keep(t.TempDir()+"/run", 1)
		want := []string{"gpu-hook: E-NAME: x", "gpu-hook: more: gpu-hook last " + want}
		if diff := cmp.Diff(want, r.Lines()); diff != "" {
			t.Error(diff)
		}
	}
}
