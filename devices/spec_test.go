package devices

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// A Spec of another version or with unknown fields is read, and its notes say what was not understood.
func TestUnknownVersionsAndFields(t *testing.T) {
	const valid = `cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/a}]
`
	version := func(v string) string { return strings.Replace(valid, `"0.5.0"`, v, 1) }
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"nothing unknown", valid, nil},
		{"the newest", version(`"1.1.0"`), nil},
		{"with a v", version("v0.5.0"), nil},
		{"newer", version(`"1.2.0"`), []string{`cdiVersion "1.2.0" is not known to this gpu-hook (up to 1.1.0)`}},
		{"much newer", version(`"2.0.0"`), []string{`cdiVersion "2.0.0" is not known to this gpu-hook (up to 1.1.0)`}},
		{"malformed", version("newest"), []string{`cdiVersion "newest" is not known to this gpu-hook (up to 1.1.0)`}},
		{"two numbers", version("0.5"), []string{`cdiVersion "0.5" is not known to this gpu-hook (up to 1.1.0)`}},
		{
			"missing", strings.SplitAfterN(valid, "\n", 2)[1],
			[]string{`cdiVersion "" is not known to this gpu-hook (up to 1.1.0)`},
		},
		{
			"older than what it uses", version(`"0.4.0"`),
			[]string{`cdiVersion "0.4.0" is older than what the file uses (the spec version must be at least v0.5.0)`},
		},
		{
			"fields",
			version(`"1.2.0"`) +
				"    newEdits: [{a: 1}]\n  colour: red\nmore: {kind: 1, b: [1]}\n" +
				"containerEdits:\n  mounts:\n  - {hostPath: /a, containerPath: /b, subPath: c}\n",
			[]string{
				`cdiVersion "1.2.0" is not known to this gpu-hook (up to 1.1.0)`,
				"field devices[0].containerEdits.newEdits (line 7)", "field devices[0].colour (line 8)", "field more (line 9)",
				"field containerEdits.mounts[0].subPath (line 12)",
			},
		},
		{"fields of a version that should not have them", valid + "colour: red\n", []string{"field colour (line 7)"}},
		{
			"another letter case", strings.Replace(valid, "deviceNodes", "devicenodes", 1),
			[]string{"field devices[0].containerEdits.devicenodes (line 6)"},
		},
		{
			"annotations are the vendor's", valid + "annotations: {a/b: c, d: e}\n",
			[]string{`cdiVersion "0.5.0" is older than what the file uses (the spec version must be at least v0.6.0)`},
		},
		{
			"JSON",
			`{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "x": null, "devices": [{"name": "0", "containerEdits": ` +
				`{"deviceNodes": [{"path": "/dev/a", "y": 1}]}}]}`,
			[]string{"field x (line 1)", "field devices[0].containerEdits.deviceNodes[0].y (line 1)"},
		},
		{
			"by alias and merge",
			valid + "- name: \"1\"\n  containerEdits: &e {deviceNodes: [{path: /dev/b}], z: 1}\n" +
				"- {name: \"2\", containerEdits: *e}\n- {name: \"3\", containerEdits: {<<: *e, env: [A=1]}}\n",
			[]string{
				"field devices[1].containerEdits.z (line 8)", "field devices[2].containerEdits.z (line 8)",
				"field devices[3].containerEdits.z (line 8)",
			},
		},
		{"a second document", "---\n" + valid + "---\nkind: x\n", []string{"what follows its first document"}},
		{
			"a stage of the future", version(`"1.2.0"`) + "    hooks: [{hookName: soon, path: /h}]\n",
			[]string{`cdiVersion "1.2.0" is not known to this gpu-hook (up to 1.1.0)`, `stage "soon" of hook /h`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Load([]string{specDirs(t, map[string]string{"a/x.yaml": test.text}) + "/a"}, us())
			edits, err := r.Resolve([]string{"nvidia.com/gpu=0"})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Problems()) > 0 || (test.name != "another letter case" && len(edits.DeviceNodes) != 1) {
				t.Errorf("problems %v, edits %+v", r.Problems(), edits)
			}
			if diff := cmp.Diff(test.want, r.devices["nvidia.com/gpu=0"].spec.notes); diff != "" {
				t.Error(diff)
			}
			for _, h := range edits.Hooks {
				if h.Status != Late {
					t.Errorf("hook %+v", h)
				}
			}
		})
	}
}

// The note of a Spec comes with its edits, once, and is in the list of all notes.
func TestNotes(t *testing.T) {
	top := specDirs(t, map[string]string{
		"a/x.yaml": specText("nvidia.com/gpu", "X", "0", "1") + "colour: red\n",
		"a/y.yaml": specText("acme.com/npu", "Y", "0") + "taste: sour\n",
	})
	r := Load([]string{top + "/a"}, us())
	edits, err := r.Resolve([]string{"nvidia.com/gpu=0", "nvidia.com/gpu=1"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Files("nvidia.com/gpu")
	if err != nil {
		t.Fatal(err)
	}
	edits.Append(files.Edits)
	for i, notes := range [][]*fault.Error{edits.Notes, r.Notes()[1:]} {
		want := top + "/a/x.yaml: it was read, but not all of it was understood: field colour (line 8)"
		if len(notes) != 1 || notes[0].Code() != fault.SpecNote || notes[0].Error() != want || notes[0].Hint() == "" {
			t.Errorf("%d: %v", i, notes)
		}
	}
	if notes := r.Notes(); len(notes) != 2 || !strings.Contains(notes[0].Error(), "field taste") {
		t.Errorf("all: %v", notes)
	}
}

// Every file is either a Spec that can be used, or an error.
func FuzzParseSpec(f *testing.F) {
	f.Add(specText("nvidia.com/gpu", "X", "0"))
	f.Add(`{"cdiVersion": "2.0.0", "kind": "a/b", "x": [{"y": null}], "devices": [null]}`)
	f.Add("kind: a/b\ncontainerEdits: &e {hooks: [{hookName: x}], <<: [{env: [A=b]}, *e]}\n")
	f.Add("cdiVersion: 1.1.0\nkind: a/b\n" +
		"devices: [{name: c, containerEdits: {netDevices: [{name: d}], intelRdt: {closID: /}, mounts: [null]}}]\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSpec(text)
		if err != nil {
			return
		}
		r := &Registry{devices: map[string]*device{}}
		r.add(s)
		for _, d := range r.Devices() {
			if _, err := r.Resolve([]string{d.Name}); err != nil {
				t.Error(err)
			}
		}
	})
}

// What pathsAlone passes, the library passes: of each kind of edit by itself, and of nodes with one field.
func TestPathsAlone(t *testing.T) {
	check := func(name string, e cdispecs.ContainerEdits, want bool) {
		t.Helper()
		got := pathsAlone(e)
		if got != want {
			t.Errorf("%s: %v", name, got)
		}
		if err := (&cdi.ContainerEdits{ContainerEdits: &e}).Validate(); got && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("nothing", cdispecs.ContainerEdits{}, true)
	all := reflect.ValueOf(*twoOfEach(t))
	for i := range all.NumField() {
		e, name := cdispecs.ContainerEdits{}, all.Type().Field(i).Name
		reflect.ValueOf(&e).Elem().Field(i).Set(all.Field(i))
		check(name, e, name == "DeviceNodes" || name == "AdditionalGIDs")
	}
	for _, node := range []cdispecs.DeviceNode{{}, {Path: "/a", Type: "x"}, {Path: "/a", Permissions: "x"}} {
		check(fmt.Sprintf("%+v", node), cdispecs.ContainerEdits{DeviceNodes: []*cdispecs.DeviceNode{&node}}, false)
	}
}
