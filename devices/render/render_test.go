package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

func seconds(n int) *int { return &n }

func gpu() []*devices.DeviceNode {
	return []*devices.DeviceNode{{
		Path: "/dev/gpu", HostPath: "/host/gpu", Type: "c", Major: 195, Minor: 0, Permissions: "rw", Status: devices.Apply,
	}}
}

const gpuRule = `{"allow":true,"type":"c","major":195,"minor":0,"access":"rw"}`

// The cases compare the whole object.
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
				Env: []string{"A=<&>"}, Groups: []uint32{44}, Hooks: []*devices.Hook{{HookName: "poststop", Path: "/h"}},
				IntelRdt: &devices.IntelRdt{ClosID: "c"}, Rules: gpu(),
			},
			`{"process":{"env":["A=<&>"],"user":{"additionalGids":[44]}},"hooks":{"poststop":[{"path":"/h"}]},
			"linux":{"resources":{"devices":[` + gpuRule + `]},"intelRdt":{"closID":"c"}}}`,
		},
		{
			"variables take the place of all their namesakes",
			`{"process":{"env":["AB=0","A=0","=","B=0","A=2","odd"],"cwd":"/"}}`,
			Plan{Env: []string{"A=1", "C=x=y", "B=1", "B=2"}},
			`{"process":{"env":["AB=0","A=1","=","B=2","odd","C=x=y"],"cwd":"/"}}`,
		},
		{
			"a rule stands last",
			`{"linux":{"devices":[{"path":"/dev/x","type":"c","new":1}],"resources":{"devices":[` + gpuRule +
				`,{"allow":false,"access":"rwm"}],"pids":{"limit":3}}}}`,
			Plan{Rules: gpu()},
			`{"linux":{"devices":[{"path":"/dev/x","type":"c","new":1}],"resources":{"devices":[` + gpuRule +
				`,{"allow":false,"access":"rwm"},` + gpuRule + `],"pids":{"limit":3}}}}`,
		},
		{
			"hooks come after those of their stage", `{"hooks":{"poststop":[{"path":"/o","new":true}],"newStage":[1]}}`,
			Plan{Hooks: []*devices.Hook{
				{HookName: "poststop", Path: "/h", Args: []string{"h", "a"}, Env: []string{"E=1"}, Timeout: seconds(9)},
				{HookName: "startContainer", Path: "/s"},
			}},
			`{"hooks":{"poststop":[{"path":"/o","new":true},{"path":"/h","args":["h","a"],"env":["E=1"],"timeout":9}],` +
				`"newStage":[1],"startContainer":[{"path":"/s"}]}}`,
		},
		{
			"the whole of Intel RDT", `{"linux":{"intelRdt":{"closID":"old","x":1}}}`,
			Plan{IntelRdt: &devices.IntelRdt{ClosID: "c", Setting: &cdispecs.IntelRdt{
				ClosID: "c", L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=50", Schemata: []string{"x"}, EnableMonitoring: true,
			}}},
			`{"linux":{"intelRdt":{"closID":"c","schemata":["x"],"l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=50",` +
				`"enableMonitoring":true}}}`,
		},
		{
			"what is not known survives, numbers to the last digit",
			`{"new":{"a":[12345678901234567890,1.0,1e400,"\ud800<",null]},"process":{"newer":1.10,"user":{"uid":0,` +
				`"newest":{}},"env":[]},"linux":{"x":123456789012345678901}}`,
			Plan{Env: []string{"A=1"}},
			`{"new":{"a":[12345678901234567890,1.0,1e400,"\ud800<",null]},"process":{"newer":1.10,"user":{"uid":0,` +
				`"newest":{}},"env":["A=1"]},"linux":{"x":123456789012345678901}}`,
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
		})
	}
}

// If there is nothing to do, the result has the same bytes.
func TestSpecUnchanged(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		plan Plan
	}{
		"an empty plan":        {`{ "linux" : null, "process":null ,"hooks":{} }`, Plan{}},
		"a rule that is there": {`{ "linux":{"resources":{"devices":[` + gpuRule + `]}} }`, Plan{Rules: gpu()}},
		"a privileged container's": {
			`{ "linux":{"resources":{"devices":[{"allow":true,"access":"rwm"}]}} }`, Plan{Rules: gpu()},
		},
		"a node whose Spec wants no rule": {`{ }`, Plan{Rules: []*devices.DeviceNode{{Path: "/dev/x", Type: "c", Major: 1}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Spec([]byte(test.in), test.plan); err != nil || string(got) != test.in {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

// sorted returns a JSON value with its members sorted. Every other token is unchanged.
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
	plan := Plan{
		Env: []string{"A=1"}, Groups: []uint32{44}, Hooks: []*devices.Hook{{HookName: "poststop", Path: "/h"}},
		Rules: gpu(),
	}
	for _, text := range []string{
		``, `[]`, `{"process":[]}`, `{"process":{"env":{}}}`, `{"process":{"user":{"additionalGids":1}}}`, `{"linux":1}`,
		`{"linux":{"resources":{"devices":[1]}}}`, `{"hooks":{"poststop":{}}}`,
	} {
		if out, err := Spec([]byte(text), plan); !fault.Is(err, fault.Bundle) || out != nil {
			t.Errorf("%s: %s, %v", text, out, err)
		}
	}
}
