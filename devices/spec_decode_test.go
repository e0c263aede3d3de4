package devices

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/plainyaml"
)

// generatedSpec is a Spec in the style of nvidia-ctk: GPUs, each under its index, its UUID and the names of its parts,
// and the driver's libraries.
func generatedSpec(gpus, parts, libraries int) string {
	var b strings.Builder
	b.WriteString("---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n")
	device := func(gpu int, name string) {
		fmt.Fprintf(&b, "    - name: %s\n      containerEdits:\n        deviceNodes:\n", name)
		fmt.Fprintf(&b, "            - path: /dev/nvidia%d\n            - path: /dev/dri/card%d\n            - path: "+
			"/dev/dri/renderD%d\n", gpu, gpu+1, gpu+128)
	}
	for gpu := range gpus {
		device(gpu, fmt.Sprintf("%q", fmt.Sprint(gpu)))
		device(gpu, fmt.Sprintf("GPU-%08x-1111-2222-3333-444455556666", gpu))
		for part := range parts {
			device(gpu, fmt.Sprintf("%d:%d", gpu, part))
			device(gpu, fmt.Sprintf("MIG-%08x-%04x-2222-3333-444455556666", gpu, part))
		}
	}
	b.WriteString("containerEdits:\n    env:\n        - NVIDIA_VISIBLE_DEVICES=void\n    deviceNodes:\n        - " +
		"path: /dev/nvidiactl\n        - path: /dev/nvidia-uvm\n")
	b.WriteString("    hooks:\n        - hookName: createContainer\n          path: /usr/bin/nvidia-cdi-hook\n       " +
		"   args:\n            - nvidia-cdi-hook\n            - update-ldcache\n            - --folder\n            - " +
		"/usr/lib64\n")
	b.WriteString("    mounts:\n")
	for i := range libraries {
		path := fmt.Sprintf("/usr/lib64/libnvidia-%d.so.580.65.06", i)
		fmt.Fprintf(&b, "        - hostPath: %s\n          containerPath: %s\n          options:\n            - ro\n    "+
			"        - nosuid\n            - nodev\n            - rbind\n            - rprivate\n", path, path)
	}
	return b.String()
}

// everyField is a Spec with every field that CDI has, in plain style.
const everyField = `cdiVersion: 1.1.0
kind: nvidia.com/gpu
annotations:
  a.b/c: d
devices:
- name: "0"
  annotations:
    e: 'f'
  containerEdits:
    env:
    - A=b
    deviceNodes:
    - path: /dev/a
      hostPath: /dev/b
      type: c
      major: 195
      minor: 0
      fileMode: 438
      permissions: rwm
      uid: 0
      gid: 44
    netDevices:
    - hostInterfaceName: eth1
      name: eth0
    hooks:
    - hookName: createRuntime
      path: /h
      args:
      - h
      env:
      - A=b
      timeout: 5
    mounts:
    - hostPath: /a
      containerPath: /b
      options:
      - ro
      type: bind
    intelRdt:
      closID: a
      l3CacheSchema: b
      memBwSchema: c
      schemata:
      - d
      enableMonitoring: true
    additionalGids:
    - 44
containerEdits: {}
`

// sameSpec compares a plain document with what the library makes of it, and reports whether it was plain.
func sameSpec(t *testing.T, document []byte) bool {
	t.Helper()
	data := string(document)
	if _, ok := plainyaml.Decode(data, &cdispecs.Spec{}); !ok {
		return false
	}
	got, notes, _ := decodeSpec(data)
	want, wantNotes, err := decodeYAML(data)
	if err != nil {
		t.Fatalf("the library refuses what is plain: %v\n%q", err, data)
	}
	if !reflect.DeepEqual(want, got) || !slices.Equal(wantNotes, notes) {
		diff := cmp.Diff(want, got) + cmp.Diff(wantNotes, notes)
		t.Fatalf("%q: library and plain reader (+) differ:\n%s", data, diff)
	}
	return true
}

// Specs as tools write them are plain, and mean what the library reads. The files of the tests, which are written by
// hand, mean the same, plain or not.
func TestPlainSpecs(t *testing.T) {
	for name, text := range map[string]string{
		"generated":   generatedSpec(2, 2, 2),
		"every field": everyField,
		"unknown":     strings.Replace(everyField, "    mounts:", "    new:\n    - a: 1\n    mounts:", 1) + "colour: red\n",
	} {
		if !sameSpec(t, []byte(text)) {
			t.Errorf("%s: not plain", name)
		}
		for form, data := range asJSON(t, text) {
			if !sameSpec(t, data) {
				t.Errorf("%s as %s: not plain", name, form)
			}
		}
	}
	files, err := filepath.Glob("../test/explain/testdata/specs/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sameSpec(t, data)
	}
}

// asJSON returns the document as JSON.
func asJSON(t testing.TB, text string) map[string][]byte {
	t.Helper()
	var document map[string]any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	compact, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"compact JSON": compact, "indented JSON": append(indented, '\n')}
}

// Whatever of a plain Spec is changed, the library reads the same, or reads it alone.
func TestChangedSpecs(t *testing.T) {
	const text = "---\nkind: a/b\ndevices:\n  - name: \"0\"\n    containerEdits:\n      mounts:\n      - hostPath: " +
		"/a\n        options: [ro, b]\n      hooks:\n      - timeout: 5\n        args:\n        - 'c'\nx:\n- y: {}\n"
	testChanged(t, text, 1000)
	for _, data := range asJSON(t, text) {
		testChanged(t, string(data), 1000)
	}
}

// The same where a block of lines is there three times, in the same column and in another, with an unknown field
// behind.
func TestChangedRepeats(t *testing.T) {
	const edits = "\n    containerEdits:\n      mounts:\n      - hostPath: /a\n        options:\n        - ro\n"
	text := "kind: a/b\ndevices:\n  - name: a" + edits + "  - name: b" + edits + "    x: y\n  - name: c" + edits +
		"containerEdits:\n      mounts:\n      - hostPath: /a\n        options:\n        - ro\nz: 1\n"
	testChanged(t, text, 1000)
	unknown := strings.ReplaceAll(text, "hostPath", "path")
	if !sameSpec(t, []byte(text)) || !sameSpec(t, []byte(unknown)) {
		t.Error("not plain")
	}
}

// testChanged changes every byte of the text, and inserts some, which must leave as many plain documents.
func testChanged(t *testing.T, text string, least int) {
	t.Helper()
	plain := 0
	for i := range len(text) {
		for _, c := range []string{
			"", " ", "\n", "\n ", "- ", ":", ": ", "#", " #", "'", "\"", "[", "{", "&", "*", "!", "|",
			"-", "0", "a", "\t", "\r", "\u0085",
			"\n# a\n",
			"\n   # a: 'b\n", ",", "]", "}", "\\", "+",
		} {
			for _, changed := range []string{text[:i] + c + text[i+1:], text[:i] + c + text[i:]} {
				if sameSpec(t, []byte(changed)) {
					plain++
				}
			}
		}
	}
	if plain < least {
		t.Errorf("only %d of the changed Specs are plain", plain)
	}
}

// FuzzDecodeSpec compares with the library.
func FuzzDecodeSpec(f *testing.F) {
	f.Add([]byte(generatedSpec(1, 1, 1)))
	f.Add([]byte(everyField))
	f.Add([]byte(everyField + "colour: red\nx:\n- y: [a, b]\n"))
	for _, data := range asJSON(f, everyField+"colour: red\n") {
		f.Add(data)
	}
	f.Add([]byte(generatedSpec(2, 2, 1) + "x: y\n"))
	f.Add([]byte("# a\nkind: a/b\n# b\n  # c\n"))
	f.Add([]byte("kind: a/b\ndevices: []\ncontainerEdits:\n  mounts:\n    - options: [ro, x]\n"))
	f.Fuzz(func(t *testing.T, data []byte) { sameSpec(t, data) })
}
