package devices

import (
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

// TestEveryKindOfEdit goes over the lists of Edits by reflection: a kind that is added and forgotten in one of the places
// that handle all of them fails it.
func TestEveryKindOfEdit(t *testing.T) {
	mode, id := os.FileMode(0o600), uint32(1)
	all := cdispecs.ContainerEdits{
		Env:            []string{"A=b"},
		DeviceNodes:    []*cdispecs.DeviceNode{{Path: "/dev/a", FileMode: &mode, UID: &id, GID: &id}},
		Mounts:         []*cdispecs.Mount{{HostPath: "/a", ContainerPath: "/b"}},
		Hooks:          []*cdispecs.Hook{{HookName: "poststop", Path: "/bin/true"}},
		NetDevices:     []*cdispecs.LinuxNetDevice{{HostInterfaceName: "a", Name: "b"}},
		AdditionalGIDs: []uint32{7},
		IntelRdt:       &cdispecs.IntelRdt{ClosID: "c"},
	}
	for i := range reflect.TypeFor[cdispecs.ContainerEdits]().NumField() {
		if reflect.ValueOf(all).Field(i).IsZero() {
			t.Errorf("CDI has edits that this test knows nothing of: %s", reflect.TypeFor[cdispecs.ContainerEdits]().Field(i).Name)
		}
	}
	appended := NewEdits()
	appended.Append(fromSpec(&all))
	appended.Append(fromSpec(&all)) // the same once more
	lists := 0
	for i := range reflect.TypeFor[Edits]().NumField() {
		field, list := reflect.TypeFor[Edits]().Field(i), reflect.ValueOf(*appended).Field(i)
		if field.Tag.Get("json") == "-" {
			continue
		}
		lists++
		if list.Len() != 1 {
			t.Errorf("%s has %d edits", field.Name, list.Len())
		}
		visited := 0
		for e := range appended.All() {
			if reflect.ValueOf(e).Type() == list.Type().Elem() {
				visited++
				if e.Label() == "" || *e.State() == "" {
					t.Errorf("%s: label %q, status %q", field.Name, e.Label(), *e.State())
				}
			}
		}
		if visited != 1 {
			t.Errorf("%s is visited %d times", field.Name, visited)
		}
	}
	if diff := cmp.Diff(appended, appended.Clone()); diff != "" {
		t.Error("a clone differs:", diff)
	}
	for i, status := range appended.Clone().Statuses() {
		if status == appended.Statuses()[i] {
			t.Error("a clone shares its statuses")
		}
	}
	if n := len(appended.Statuses()); n != lists {
		t.Errorf("%d lists have %d edits", lists, n)
	}
}
