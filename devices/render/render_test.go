package render

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
)

func mode(m os.FileMode) *os.FileMode { return &m }

func id(n uint32) *uint32 { return &n }

func seconds(n int) *int { return &n }

func gpu(status devices.Status) *devices.DeviceNode {
	return &devices.DeviceNode{Path: "/dev/gpu", HostPath: "/host/gpu", Type: "c", Major: 195, Minor: 0, Permissions: "rw", Status: status, FileMode: mode(0o660), UID: id(7), GID: id(8)}
}

func lib(status devices.Status) *devices.Mount {
	return &devices.Mount{HostPath: "/host/lib", ContainerPath: "/usr/lib/lib", Options: []string{"ro", "rbind"}, Status: status}
}

const gpuRule = `{"allow":true,"type":"c","major":195,"minor":0,"access":"rw"}`

// Whole spec in, whole spec out.
func TestSpec(t *testing.T) {
	for _, test := range []struct {
		name string
		in   string
		plan Plan
		want string
	}{
		{
			"into nothing", `{}`,
			Plan{
				Edits: &devices.Edits{
					Env:            []*devices.Env{{Value: "A=1", Status: devices.Apply}},
					DeviceNodes:    []*devices.DeviceNode{gpu(devices.Apply)},
					Mounts:         []*devices.Mount{lib(devices.Apply)},
					Hooks:          []*devices.Hook{{HookName: "poststop", Path: "/h", Status: devices.Apply}},
					NetDevices:     []*devices.NetDevice{{HostInterfaceName: "eth1", Name: "nic0", Status: devices.Apply}},
					AdditionalGIDs: []*devices.GID{{Value: 44, Status: devices.Apply}},
					IntelRdt:       []*devices.IntelRdt{{ClosID: "c", Status: devices.Apply}},
				},
				Annotations: map[string]string{"k": "<&>"},
			},
			`{"process":{"env":["A=1"],"user":{"additionalGids":[44]}},
			"mounts":[{"destination":"/usr/lib/lib","type":"bind","source":"/host/lib","options":["ro","rbind"]}],
			"hooks":{"poststop":[{"path":"/h"}]},"annotations":{"k":"<&>"},
			"linux":{"devices":[{"path":"/dev/gpu","type":"c","major":195,"minor":0,"fileMode":432,"uid":7,"gid":8}],
			"resources":{"devices":[` + gpuRule + `]},"netDevices":{"eth1":{"name":"nic0"}},"intelRdt":{"closID":"c"}}}`,
		},
		{
			"what is not to be applied stays out", `{"linux":{"resources":{"devices":[` + gpuRule + `]}},"process":null,"hooks":{}}`,
			Plan{Edits: &devices.Edits{
				Env:            []*devices.Env{{Value: "A=1", Status: devices.Present}},
				DeviceNodes:    []*devices.DeviceNode{gpu(devices.Present)},
				Mounts:         []*devices.Mount{lib(devices.Present)},
				Hooks:          []*devices.Hook{{HookName: "poststop", Path: "/h", Status: devices.Present}},
				NetDevices:     []*devices.NetDevice{{HostInterfaceName: "eth1", Name: "nic0", Status: devices.Late}},
				AdditionalGIDs: []*devices.GID{{Value: 44, Status: devices.Present}},
				IntelRdt:       []*devices.IntelRdt{{ClosID: "c", Status: devices.Present}},
			}},
			`{"linux":{"resources":{"devices":[` + gpuRule + `]}},"process":null,"hooks":{}}`,
		},
		{
			"variables take the place of all their namesakes", `{"process":{"env":["AB=0","A=0","=","B=0","A=2","odd"],"cwd":"/"}}`,
			Plan{
				Edits: &devices.Edits{Env: []*devices.Env{{Value: "A=1", Status: devices.Apply}, {Value: "C=x=y", Status: devices.Apply}, {Value: "B=1", Status: devices.Apply}}},
				Env:   []string{"B=2"},
			},
			`{"process":{"env":["AB=0","A=1","=","B=2","odd","C=x=y"],"cwd":"/"}}`,
		},
		{
			"a node takes the place of that on its path, its rule stands last", `{"linux":{"devices":[{"path":"/dev/./gpu","type":"c","major":1,"minor":3},{"path":"/dev/x","type":"c","new":1}],
			"resources":{"devices":[` + gpuRule + `,{"allow":false,"access":"rwm"}],"pids":{"limit":3}}}}`,
			Plan{Edits: &devices.Edits{DeviceNodes: []*devices.DeviceNode{gpu(devices.Apply)}}},
			`{"linux":{"devices":[{"path":"/dev/x","type":"c","new":1},{"path":"/dev/gpu","type":"c","major":195,"minor":0,"fileMode":432,"uid":7,"gid":8}],
			"resources":{"devices":[` + gpuRule + `,{"allow":false,"access":"rwm"},` + gpuRule + `],"pids":{"limit":3}}}}`,
		},
		{
			"a privileged container needs no rule", `{"linux":{"resources":{"devices":[{"allow":true,"access":"rwm"}]}}}`,
			Plan{Edits: &devices.Edits{DeviceNodes: []*devices.DeviceNode{gpu(devices.Present)}}},
			`{"linux":{"resources":{"devices":[{"allow":true,"access":"rwm"}]}}}`,
		},
		{
			"a node that is there gets the rule that it lacks", `{"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}]}}}`,
			Plan{Edits: &devices.Edits{DeviceNodes: []*devices.DeviceNode{gpu(devices.Present)}}},
			`{"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"},` + gpuRule + `]}}}`,
		},
		{
			"in a user namespace nodes are bound, from where they are on the host", `{"mounts":[{"destination":"/dev","type":"tmpfs"}]}`,
			Plan{Edits: &devices.Edits{DeviceNodes: []*devices.DeviceNode{gpu(devices.Apply)}}, Bind: true},
			`{"mounts":[{"destination":"/dev","type":"tmpfs"},{"destination":"/dev/gpu","type":"bind","source":"/host/gpu","options":["bind","rprivate"]}],
			"linux":{"resources":{"devices":[` + gpuRule + `]}}}`,
		},
		{
			"mounts go by depth and take the place of those on their path",
			`{"mounts":[{"destination":"/a/b/c","x":1},{"destination":"/usr/lib//lib","source":"/other"},{"destination":"/"},{"destination":"/z"}]}`,
			Plan{Edits: &devices.Edits{Mounts: []*devices.Mount{
				lib(devices.Apply),
				{HostPath: "/h", ContainerPath: "/y", Options: []string{"ro"}, Status: devices.Apply},
				{HostPath: "tmpfs", ContainerPath: "/y/t", Options: []string{"size=1k"}, Type: "tmpfs", Status: devices.Apply},
			}}},
			`{"mounts":[{"destination":"/"},{"destination":"/z"},{"destination":"/y","type":"bind","source":"/h","options":["bind","ro"]},
			{"destination":"/y/t","type":"tmpfs","source":"tmpfs","options":["size=1k"]},
			{"destination":"/a/b/c","x":1},{"destination":"/usr/lib/lib","type":"bind","source":"/host/lib","options":["ro","rbind"]}]}`,
		},
		{
			"hooks come after those of their stage", `{"hooks":{"poststop":[{"path":"/o","new":true}],"newStage":[1]}}`,
			Plan{Edits: &devices.Edits{Hooks: []*devices.Hook{
				{HookName: "poststop", Path: "/h", Args: []string{"h", "a"}, Env: []string{"E=1"}, Timeout: seconds(9), Status: devices.Apply},
				{HookName: "startContainer", Path: "/s", Status: devices.Apply},
			}}},
			`{"hooks":{"poststop":[{"path":"/o","new":true},{"path":"/h","args":["h","a"],"env":["E=1"],"timeout":9}],"newStage":[1],"startContainer":[{"path":"/s"}]}}`,
		},
		{
			"the whole of Intel RDT", `{"linux":{"intelRdt":{"closID":"old","x":1}}}`,
			Plan{Edits: &devices.Edits{IntelRdt: []*devices.IntelRdt{{ClosID: "c", Status: devices.Apply, Setting: &cdispecs.IntelRdt{
				ClosID: "c", L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=50", Schemata: []string{"x"}, EnableMonitoring: true,
			}}}}},
			`{"linux":{"intelRdt":{"closID":"c","schemata":["x"],"l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=50","enableMonitoring":true}}}`,
		},
		{
			"what is not known survives, numbers to the last digit",
			`{"new":{"a":[12345678901234567890,1.0,1e400,"\ud800<",null]},"process":{"newer":1.10,"user":{"uid":0,"newest":{}},"env":[]},"linux":{"x":123456789012345678901}}`,
			Plan{Edits: &devices.Edits{Env: []*devices.Env{{Value: "A=1", Status: devices.Apply}}}},
			`{"new":{"a":[12345678901234567890,1.0,1e400,"\ud800<",null]},"process":{"newer":1.10,"user":{"uid":0,"newest":{}},"env":["A=1"]},"linux":{"x":123456789012345678901}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Spec([]byte(test.in), test.plan)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sorted(t, test.want), sorted(t, string(got))); diff != "" {
				t.Error(diff)
			}
			again, err := Spec(got, Plan{Edits: devices.NewEdits()})
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("with no edits it becomes %s, %v", again, err)
			}
		})
	}
}

// sorted writes a JSON value with members in order and every other token as it was.
func sorted(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	var write func(raw json.RawMessage)
	write = func(raw json.RawMessage) {
		raw = bytes.TrimSpace(raw)
		switch raw[0] {
		case '{':
			o, err := parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := encode(o) // for its order, and everything inside compact
			if err != nil {
				t.Fatal(err)
			}
			d := json.NewDecoder(bytes.NewReader(keys))
			_, _ = d.Token()
			out.WriteString("{")
			for d.More() {
				key, _ := d.Token()
				var value json.RawMessage
				if err := d.Decode(&value); err != nil {
					t.Fatal(err)
				}
				out.WriteString(key.(string) + ": ")
				write(value)
				out.WriteString("\n")
			}
			out.WriteString("}")
		case '[':
			var list []json.RawMessage
			if err := json.Unmarshal(raw, &list); err != nil {
				t.Fatal(err)
			}
			for _, v := range list {
				out.WriteString("- ")
				write(v)
				out.WriteString("\n")
			}
		default:
			out.Write(raw)
		}
	}
	write([]byte(text))
	return out.String()
}

func TestSpecMalformed(t *testing.T) {
	plan := Plan{Edits: &devices.Edits{
		Env: []*devices.Env{{Value: "A=1", Status: devices.Apply}}, DeviceNodes: []*devices.DeviceNode{gpu(devices.Apply)}, Mounts: []*devices.Mount{lib(devices.Apply)},
		Hooks:          []*devices.Hook{{HookName: "poststop", Path: "/h", Status: devices.Apply}},
		AdditionalGIDs: []*devices.GID{{Value: 44, Status: devices.Apply}},
	}, Annotations: map[string]string{"k": "v"}}
	for _, text := range []string{
		``, `[]`, `{"process":[]}`, `{"process":{"env":{}}}`, `{"process":{"user":{"additionalGids":1}}}`, `{"linux":1}`, `{"linux":{"devices":{}}}`,
		`{"linux":{"resources":{"devices":[1]}}}`, `{"mounts":{}}`, `{"hooks":{"poststop":{}}}`, `{"annotations":[]}`,
	} {
		if out, err := Spec([]byte(text), plan); !fault.Is(err, fault.Bundle) || out != nil {
			t.Errorf("%s: %s, %v", text, out, err)
		}
	}
}
