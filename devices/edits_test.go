package devices

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

func node(path string, major int64) *DeviceNode {
	return &DeviceNode{Path: path, HostPath: path, Type: "c", Major: major, Status: Apply}
}

func mount(host, container string) *Mount {
	return &Mount{HostPath: host, ContainerPath: container, Options: []string{}, Status: Apply}
}

func hook(stage, path string, args, env []string) *Hook {
	return &Hook{HookName: stage, Path: path, Args: args, Env: env, Status: Apply}
}

func TestAppend(t *testing.T) {
	for _, test := range []struct {
		name     string
		to, what *Edits
		want     *Edits
	}{
		{"nothing to nothing", NewEdits(), &Edits{}, NewEdits()},
		{
			"a variable takes the place of its namesake",
			&Edits{Env: []*Env{{"AB=1", Late}, {"A=1", Late}, {"B=1", Late}}},
			&Edits{Env: []*Env{{"C=2", Late}, {"A=2", Late}}},
			&Edits{Env: []*Env{{"AB=1", Late}, {"A=2", Late}, {"B=1", Late}, {"C=2", Late}}},
		},
		{
			"a node takes the place of that on its path",
			&Edits{DeviceNodes: []*DeviceNode{node("/dev/a", 1), node("/dev/b", 1)}},
			&Edits{DeviceNodes: []*DeviceNode{node("/dev/c", 2), node("/dev/./a/", 2)}},
			&Edits{DeviceNodes: []*DeviceNode{node("/dev/./a/", 2), node("/dev/b", 1), node("/dev/c", 2)}},
		},
		{
			"a mount takes the place of that on its path, and mounts go by depth",
			&Edits{Mounts: []*Mount{mount("/1", "/a"), mount("/1", "/a/b/c"), mount("/1", "/z/y/x")}},
			&Edits{Mounts: []*Mount{mount("/2", "/d//e/"), mount("/2", "/a/b/c"), mount("/2", "/f")}},
			&Edits{
				Mounts: []*Mount{
					mount("/1", "/a"), mount("/2", "/f"), mount("/2", "/d//e/"), mount("/2", "/a/b/c"), mount("/1", "/z/y/x"),
				},
			},
		},
		{
			"the same hook is one, and any difference makes another",
			&Edits{Hooks: []*Hook{hook("createContainer", "/h", []string{"h", "a"}, []string{"E=1"})}},
			&Edits{Hooks: []*Hook{
				hook("createContainer", "/h", []string{"h", "a"}, []string{"E=1"}),
				hook("prestart", "/h", []string{"h", "a"}, []string{"E=1"}),
				hook("createContainer", "/g", []string{"h", "a"}, []string{"E=1"}),
				hook("createContainer", "/h", []string{"h", "b"}, []string{"E=1"}),
				hook("createContainer", "/h", []string{"h", "a"}, nil),
			}},
			&Edits{Hooks: []*Hook{
				hook("createContainer", "/h", []string{"h", "a"}, []string{"E=1"}),
				hook("prestart", "/h", []string{"h", "a"}, []string{"E=1"}),
				hook("createContainer", "/g", []string{"h", "a"}, []string{"E=1"}),
				hook("createContainer", "/h", []string{"h", "b"}, []string{"E=1"}),
				hook("createContainer", "/h", []string{"h", "a"}, nil),
			}},
		},
		{
			"the same group is one",
			&Edits{AdditionalGIDs: []*GID{{39, Late}, {44, Late}}},
			&Edits{AdditionalGIDs: []*GID{{44, Late}, {45, Late}}},
			&Edits{AdditionalGIDs: []*GID{{39, Late}, {44, Late}, {45, Late}}},
		},
		{
			"a network device takes the place of that of its name on the host",
			&Edits{NetDevices: []*NetDevice{{"eth1", "a", Apply}, {"eth2", "b", Apply}}},
			&Edits{NetDevices: []*NetDevice{{"eth1", "c", Apply}}},
			&Edits{NetDevices: []*NetDevice{{"eth1", "c", Apply}, {"eth2", "b", Apply}}},
		},
		{
			"network devices and resource control are added",
			&Edits{NetDevices: []*NetDevice{{"eth1", "a", Apply}}, IntelRdt: []*IntelRdt{{"x", Late, nil}}},
			&Edits{NetDevices: []*NetDevice{{"eth2", "b", Apply}}, IntelRdt: []*IntelRdt{{"y", Late, nil}}},
			&Edits{
				NetDevices: []*NetDevice{{"eth1", "a", Apply}, {"eth2", "b", Apply}}, IntelRdt: []*IntelRdt{{"y", Late, nil}},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.to.Append(test.what)
			if diff := cmp.Diff(test.want, test.to); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFromSpec(t *testing.T) {
	seconds := 3
	got := fromSpec(&cdispecs.ContainerEdits{
		Env: []string{"A=1"},
		DeviceNodes: []*cdispecs.DeviceNode{
			{Path: "/dev/a"}, {Path: "/dev/b", HostPath: "/dev/h", Type: "b", Major: 1, Minor: 2, Permissions: "r"},
		},
		Mounts: []*cdispecs.Mount{
			{HostPath: "/h", ContainerPath: "/c"}, {HostPath: "/h", ContainerPath: "/d", Options: []string{"ro"}, Type: "bind"},
		},
		Hooks: []*cdispecs.Hook{
			{HookName: "prestart", Path: "/h"},
			{HookName: "createRuntime", Path: "/h"},
			{HookName: "createContainer", Path: "/h", Args: []string{"h"}, Env: []string{"E=1"}, Timeout: &seconds},
			{HookName: "startContainer", Path: "/h"},
			{HookName: "poststart", Path: "/h"},
			{HookName: "poststop", Path: "/h"},
		},
		NetDevices:     []*cdispecs.LinuxNetDevice{{HostInterfaceName: "eth1", Name: "a"}},
		AdditionalGIDs: []uint32{0, 39},
		IntelRdt:       &cdispecs.IntelRdt{ClosID: "x"},
	})
	want := &Edits{
		Env: []*Env{{"A=1", Late}},
		DeviceNodes: []*DeviceNode{
			{Path: "/dev/a", HostPath: "/dev/a", Status: Apply},
			{Path: "/dev/b", HostPath: "/dev/h", Type: "b", Major: 1, Minor: 2, Permissions: "r", Status: Apply},
		},
		Mounts: []*Mount{{"/h", "/c", []string{}, Apply, "", ""}, {"/h", "/d", []string{"ro"}, Apply, "bind", ""}},
		Hooks: []*Hook{
			{HookName: "prestart", Path: "/h", Args: []string{}, Status: Apply},
			{HookName: "createRuntime", Path: "/h", Args: []string{}, Status: Apply},
			{
				HookName: "createContainer", Path: "/h", Args: []string{"h"}, Status: Apply, Env: []string{"E=1"},
				Timeout: &seconds,
			},
			{HookName: "startContainer", Path: "/h", Args: []string{}, Status: Late},
			{HookName: "poststart", Path: "/h", Args: []string{}, Status: Late},
			{HookName: "poststop", Path: "/h", Args: []string{}, Status: Late},
		},
		NetDevices:     []*NetDevice{{"eth1", "a", Apply}},
		AdditionalGIDs: []*GID{{39, Late}},
		IntelRdt:       []*IntelRdt{{"x", Late, &cdispecs.IntelRdt{ClosID: "x"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// In JSON, lists are never null.
func TestEmptyEditsAsJSON(t *testing.T) {
	edits := NewEdits()
	edits.Append(fromSpec(&cdispecs.ContainerEdits{}))
	got, err := json.Marshal(edits)
	const want = `{"env":[],"deviceNodes":[],"mounts":[],"hooks":[],"netDevices":[],"additionalGids":[],"intelRdt":[]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
