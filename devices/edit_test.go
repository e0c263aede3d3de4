package devices

import (
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

// TestEveryKindOfEdit reads the lists of Edits by reflection. It fails for a kind that is not in editLists, or whose
// list is not made, copied or read as a whole.
func TestEveryKindOfEdit(t *testing.T) {
	all := twoOfEach(t)
	edits := NewEdits()
	edits.Append(fromSpec(all))
	edits.Append(fromSpec(all)) // the same once more
	for _, list := range lists(edits) {
		want := 2
		if list.name == "IntelRdt" { // a container has one setting
			want = 1
		}
		if list.value.Len() != want {
			t.Errorf("%s has %d edits, not %d", list.name, list.value.Len(), want)
		}
	}
	for e := range edits.All() {
		if label, _ := e.Row(); label == "" || e.Label() == "" || *e.State() == "" {
			t.Errorf("%T has row %q, label %q, status %q", e, label, e.Label(), *e.State())
		}
	}
	edits.IntelRdt = append(edits.IntelRdt, &IntelRdt{ClosID: "d", Status: Late})
	want := listed(edits)
	if len(want) < 14 {
		t.Fatalf("only %d edits", len(want))
	}
	for stop := 1; stop <= len(want); stop++ {
		if diff := cmp.Diff(want[:stop], first(edits, stop)); diff != "" {
			t.Fatalf("the first %d edits: %s", stop, diff)
		}
	}
	clone := edits.Clone()
	if diff := cmp.Diff(edits, clone); diff != "" {
		t.Error("a clone differs:", diff)
	}
	if n := len(clone.Statuses()); n != len(want) {
		t.Errorf("%d edits have %d statuses", len(want), n)
	}
	for i, status := range clone.Statuses() {
		if status == edits.Statuses()[i] {
			t.Errorf("a clone shares the status of %s", want[i].Label())
		}
	}
}

// twoOfEach returns CDI edits with two edits of each kind, and of those of which a container has one, with one.
func twoOfEach(t *testing.T) *cdispecs.ContainerEdits {
	t.Helper()
	mode, id := os.FileMode(0o600), uint32(1)
	all := cdispecs.ContainerEdits{
		Env:            []string{"A=b", "B=b"},
		DeviceNodes:    []*cdispecs.DeviceNode{{Path: "/dev/a", FileMode: &mode, UID: &id, GID: &id}, {Path: "/dev/b"}},
		Mounts:         []*cdispecs.Mount{{HostPath: "/a", ContainerPath: "/b"}, {HostPath: "/a", ContainerPath: "/c"}},
		Hooks:          []*cdispecs.Hook{{HookName: "poststop", Path: "/bin/a"}, {HookName: "prestart", Path: "/bin/a"}},
		NetDevices:     []*cdispecs.LinuxNetDevice{{HostInterfaceName: "a", Name: "b"}, {HostInterfaceName: "c", Name: "d"}},
		AdditionalGIDs: []uint32{7, 8},
		IntelRdt:       &cdispecs.IntelRdt{ClosID: "c"},
	}
	for i := range reflect.TypeFor[cdispecs.ContainerEdits]().NumField() {
		name, list := reflect.TypeFor[cdispecs.ContainerEdits]().Field(i).Name, reflect.ValueOf(all).Field(i)
		if list.IsZero() || list.Kind() == reflect.Slice && list.Len() != 2 {
			t.Errorf("CDI has edits that this test does not know: %s", name)
		}
	}
	return &all
}

// editsField is a list of edits in Edits.
type editsField struct {
	name  string
	value reflect.Value
}

// lists returns the lists of e that the JSON form has, in its order.
func lists(e *Edits) []editsField {
	var out []editsField
	for i := range reflect.TypeFor[Edits]().NumField() {
		if field := reflect.TypeFor[Edits]().Field(i); field.Tag.Get("json") != "-" {
			out = append(out, editsField{field.Name, reflect.ValueOf(*e).Field(i)})
		}
	}
	return out
}

// listed returns the edits of all lists in the order of the JSON form.
func listed(e *Edits) []Edit {
	var out []Edit
	for _, list := range lists(e) {
		for i := range list.value.Len() {
			if edit, ok := list.value.Index(i).Interface().(Edit); ok {
				out = append(out, edit)
			}
		}
	}
	return out
}

// first returns the first n edits of All. The runtime panics if All goes on after that.
func first(e *Edits, n int) []Edit {
	var out []Edit
	for edit := range e.All() {
		out = append(out, edit)
		if len(out) == n {
			break
		}
	}
	return out
}

// A hook's row tells by its first argument what it does, where it has one.
func TestHookRow(t *testing.T) {
	for want, args := range map[string][]string{
		"hook createContainer": {"x"}, "hook createContainer chmod": {"x", "chmod", "y"},
	} {
		h := Hook{HookName: "createContainer", Path: "/x", Args: args}
		if label, detail := h.Row(); label != want || detail != "/x" {
			t.Errorf("%q: %q %q", args, label, detail)
		}
	}
}
