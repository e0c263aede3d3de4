package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/quiet"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// complete is a config.json in which every field stands that is read, and some that are not.
const complete = `{
 "ociVersion": "1.2.0", "hostname": "h",
 "process": {
  "terminal": true, "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4], "username": "u"},
  "args": ["a", "b"], "env": ["A=1", "B"], "cwd": "/c", "noNewPrivileges": true,
  "capabilities": {"bounding": ["B"], "effective": ["E"], "inheritable": ["I"], "permitted": ["P"], "ambient": ["A"]}
 },
 "root": {"path": "rootfs", "readonly": true},
 "mounts": [{"destination": "/d", "type": "bind", "source": "/s", "options": ["ro"]}, {"destination": "/e"}],
 "hooks": {
  "prestart": [{"path": "/p", "args": ["p"], "env": ["P=1"], "timeout": 1}], "createRuntime": [{"path": "/r"}],
  "createContainer": [{"path": "/c"}], "startContainer": [{"path": "/s"}], "poststart": [{"path": "/t"}],
  "poststop": [{"path": "/u"}]
 },
 "annotations": {"k": "v"},
 "linux": {
  "resources": {
   "devices": [{"allow": true, "type": "c", "major": 1, "minor": 2, "access": "rw"}], "memory": {"limit": 1}
  },
  "cgroupsPath": "/g", "namespaces": [{"type": "mount"}, {"type": "network", "path": "/n"}],
  "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 438, "uid": 3, "gid": 4}],
  "netDevices": {"eth0": {"name": "e"}}, "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
  "intelRdt": {"closID": "i", "schemata": ["s"], "l3CacheSchema": "l", "memBwSchema": "m", "enableMonitoring": true}
 }
}`

// What is read is what the whole of specs.Spec has in these fields.
func TestDecodeConfig(t *testing.T) {
	texts := map[string]string{
		"complete": complete,
		"empty":    "{}",
		"nulls":    `{"process":null,"linux":{"resources":null},"mounts":null}`,
	}
	files, err := filepath.Glob(filepath.Join(require.Tree(), "test/recordings/testdata/*.config.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(data)
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			got, err := decodeConfig(strings.NewReader(text), 0)
			if err != nil {
				t.Fatal(err)
			}
			var whole specs.Spec
			if err := json.Unmarshal([]byte(text), &whole); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(readOf(&whole), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// readOf is what of a spec is read.
func readOf(s *specs.Spec) *specs.Spec {
	out := &specs.Spec{Version: s.Version, Root: s.Root, Hooks: s.Hooks, Annotations: s.Annotations}
	for _, m := range s.Mounts {
		out.Mounts = append(out.Mounts, specs.Mount{Destination: m.Destination, Type: m.Type, Source: m.Source})
	}
	if p := s.Process; p != nil {
		out.Process = &specs.Process{User: p.User, Args: p.Args, Env: p.Env, Cwd: p.Cwd, Capabilities: p.Capabilities}
	}
	if l := s.Linux; l != nil {
		out.Linux = &specs.Linux{
			CgroupsPath: l.CgroupsPath,
			Namespaces:  l.Namespaces,
			Devices:     l.Devices,
			NetDevices:  l.NetDevices,
			IntelRdt:    l.IntelRdt,
		}
		if l.Resources != nil {
			out.Linux.Resources = &specs.LinuxResources{Devices: l.Resources.Devices}
		}
	}
	return out
}

// A size that is not right makes no difference.
func TestDecodeConfigOfAnotherSize(t *testing.T) {
	for _, size := range []int64{0, 1, int64(len(complete)) - 1, int64(len(complete)), 1 << 40} {
		if c, err := decodeConfig(strings.NewReader(complete), size); err != nil || c.Linux.CgroupsPath != "/g" {
			t.Errorf("size %d: %+v, %v", size, c, err)
		}
	}
}

// A value of a wrong type is an error here, and so it must not be quiet: package quiet knows the type of every field.
func TestQuietKnowsEveryType(t *testing.T) {
	paths := fieldPaths(reflect.TypeFor[config](), `%s`)
	if len(paths) < 50 {
		t.Errorf("only %d fields", len(paths))
	}
	right := 0
	for _, form := range paths {
		for _, value := range values() {
			text := fmt.Appendf(nil, form, value)
			_, err := decodeConfig(bytes.NewReader(text), 0)
			isQuiet := quiet.Spec(text, quiet.NewTriggers())
			if isQuiet && err != nil {
				t.Errorf("it is taken for quiet: %s: %v", text, err)
			}
			if isQuiet {
				right++
			}
		}
	}
	// "null" and a value of the right type at least.
	if right < 2*len(paths) {
		t.Errorf("only %d values of %d fields are quiet", right, len(paths))
	}
}

// The same of a state.
func TestQuietKnowsEveryTypeOfAState(t *testing.T) {
	right := 0
	for _, form := range fieldPaths(reflect.TypeFor[State](), `%s`) {
		form = strings.Replace(form, "{", `{"bundle":"/b",`, 1)
		for _, value := range values() {
			text := fmt.Appendf(nil, form, value)
			_, err := Read(bytes.NewReader(text))
			_, isQuiet := quiet.Bundle(text, quiet.NewTriggers())
			if isQuiet && err != nil {
				t.Errorf("it is taken for quiet: %s: %v", text, err)
			}
			if isQuiet {
				right++
			}
		}
	}
	if right < 10 {
		t.Errorf("only %d values are quiet", right)
	}
}

// values are some of each type.
func values() []string {
	return []string{
		"null", "true", "false", "7", "07", "1.5", "-1", "1e3", "4294967296", "9223372036854775808", `"x"`, "[]", "{}", "[7]",
		`["x"]`, "[{}]", "[[]]", `{"a":7}`, `{"a":"x"}`, `{"a":{}}`, `{"a":[]}`,
	}
}

// fieldPaths are forms of documents with a value in one of the fields. form is that of a value of the type.
func fieldPaths(of reflect.Type, form string) []string {
	out := []string{form}
	switch of.Kind() {
	case reflect.Pointer:
		return fieldPaths(of.Elem(), form)
	case reflect.Slice:
		return append(out, fieldPaths(of.Elem(), fmt.Sprintf(form, "[%s]"))...)
	case reflect.Map:
		return append(out, fieldPaths(of.Elem(), fmt.Sprintf(form, `{"key":%s}`))...)
	case reflect.Struct:
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				out = append(out, fieldPaths(field.Type, form)...)
				continue
			}
			out = append(out, fieldPaths(field.Type, fmt.Sprintf(form, `{"`+name+`":%s}`))...)
		}
	default:
	}
	return out
}
