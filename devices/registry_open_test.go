package devices

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostOfMany has Specs of several kinds in two directories: whole, broken, in conflict, replaced, and hard to tell.
func hostOfMany(t *testing.T) string {
	t.Helper()
	flow := func(kind, name string) string {
		return fmt.Sprintf("{kind: %s, devices: [{name: %s, containerEdits: {env: [A=1]}}]}\n", kind, name)
	}
	return specDirs(t, map[string]string{
		"a/a.yaml": generatedSpec(2, 1, 1),
		"a/b.yaml": specText("acme.com/npu", "B", "0", "1"),
		"a/c.yaml": specText("acme.com/npu", "C", "1", "2"),
		"a/d.yaml": "kind: acme.com/dpu\ndevices: []\n",
		"a/e.yaml": "{kind: acme.com/npu}",
		"a/f.yaml": flow("acme.com/npu", "3"),
		"a/g.json": `{"cdiVersion": "0.5.0", "kind": "acme.com/fpga", "devices": [
			{"name": "0", "containerEdits": {"env": ["G=1"]}}]}`,
		"b/a.yaml": specText("acme.com/npu", "D", "2", "3"),
		"b/b.yaml": flow("acme.com/npu", "4"),
		"b/c.yaml": "kind: acme.com/npu\nkind: nvidia.com/gpu\n",
		"b/d.yaml": specText("nvidia.com/gpu", "E", "1"),
		"b/e.json": `{"kind": "acme.com/fpga", "devices": [`,
	})
}

// What a registry answers for a kind does not depend on which kinds were asked for before, nor on whether all was read.
func TestOpenAnswersAsLoad(t *testing.T) {
	top := hostOfMany(t)
	dirs := []string{top + "/a", top + "/b", top + "/missing"}
	answer := func(r *Registry, kind string) string {
		var b strings.Builder
		fmt.Fprintln(&b, r.Every(kind), r.Specs(kind), r.First(kind, 1), r.Whole(kind), r.Defines(kind+"=1"))
		for _, device := range []string{"0", "1", "2", "3", "4", "all"} {
			edits, err := r.Resolve([]string{kind + "=" + device})
			fmt.Fprintln(&b, device, err)
			if err == nil {
				for _, share := range edits.Shares {
					fmt.Fprintln(&b, share.Spec)
					for _, v := range share.Edits.Env {
						fmt.Fprintln(&b, v.Value)
					}
				}
			}
		}
		_, err := r.Files(kind)
		fmt.Fprintln(&b, err)
		return b.String()
	}
	kinds := []string{"nvidia.com/gpu", "acme.com/npu", "acme.com/fpga", "acme.com/dpu", "acme.com/none"}
	want := map[string]string{}
	for _, kind := range kinds {
		want[kind] = answer(Load(dirs, us()), kind)
	}
	for _, name := range []string{"nvidia.com/gpu=0", "acme.com/npu=2", "acme.com/npu=4", "acme.com/fpga=0"} {
		_, err := Open(dirs, us()).Resolve([]string{name})
		if err != nil || !Open(dirs, us()).Defines(name) {
			t.Errorf("%s, of a registry that nothing was asked of: %v", name, err)
		}
	}
	for i := range kinds {
		r := Open(dirs, us())
		for _, kind := range slices.Concat(kinds[i:], kinds[:i]) {
			if diff := cmp.Diff(want[kind], answer(r, kind)); diff != "" {
				t.Errorf("%s after %d others: %s", kind, i, diff)
			}
		}
		if diff := cmp.Diff(Load(dirs, us()).Devices(), r.Devices()); diff != "" {
			t.Error(diff)
		}
	}
}

// A Spec of another kind is read no further than to its kind; what is wrong with it shows once everything is listed.
func TestOpenPassesOver(t *testing.T) {
	top := hostOfMany(t)
	r := Open([]string{top + "/a", top + "/b"}, us())
	problems := func() string {
		var out []string
		for _, p := range r.Problems() {
			path, _, _ := strings.Cut(strings.TrimPrefix(p.Error(), top+"/"), ":")
			out = append(out, path)
		}
		return strings.Join(out, " ")
	}
	if got := problems(); got != "" {
		t.Errorf("before anything is asked for: %s", got)
	}
	if names := r.Every("nvidia.com/gpu"); len(names) != 3 {
		t.Errorf("%q", names)
	}
	if got := problems(); got != "a/e.yaml" {
		t.Errorf("of one kind: %s", got)
	}
	i := slices.IndexFunc(r.files, func(f *file) bool { return f.path == top+"/a/g.json" })
	if f := r.files[i]; f.kind != "acme.com/fpga" || f.spec != nil {
		t.Errorf("passed over: %+v", f)
	}
	read := r.files[0].spec
	if names := r.Every("acme.com/npu"); len(names) != 5 {
		t.Errorf("%q", names)
	}
	if r.files[0].spec != read {
		t.Error("a Spec was read twice")
	}
	if got := problems(); got != "a/e.yaml b/c.yaml" {
		t.Errorf("of two kinds: %s", got)
	}
	if notes := r.Notes(); len(notes) == 0 {
		t.Error("no notes")
	}
	if got := problems(); got != "a/d.yaml a/e.yaml b/c.yaml b/e.json" {
		t.Errorf("of all: %s", got)
	}
}

// A name is a second one if it was there before, or if its Spec gives it the same edits with the same nodes.
func TestDistinct(t *testing.T) {
	const head = "cdiVersion: 0.5.0\nkind: a/b\ndevices:\n"
	device := func(name, edits string) string {
		return fmt.Sprintf("- {name: %s, containerEdits: {%s}}\n", name, edits)
	}
	text := head + device("v", "env: [A=1]") + device("w", "env: [A=1]") +
		device("x", "deviceNodes: [{path: /dev/x}], env: [A=1]") +
		device("y", "deviceNodes: [{path: /dev/x}], env: [A=1]") +
		device("z", "deviceNodes: [{path: /dev/x}], env: [A=2]")
	top := specDirs(t, map[string]string{"a/x.yaml": text})
	names := []string{"a/b=x", "a/b=z", "a/b=y", "a/b=none", "a/b=v", "a/b=w", "a/b=none", "a/b=v", "a/b=z"}
	distinct, again := Open([]string{top + "/a"}, us()).Distinct(names)
	if want := []string{"a/b=x", "a/b=z", "a/b=none", "a/b=v", "a/b=w"}; !slices.Equal(distinct, want) {
		t.Errorf("%q; want %q", distinct, want)
	}
	want := map[string]string{"a/b=y": "a/b=x", "a/b=none": "a/b=none", "a/b=v": "a/b=v", "a/b=z": "a/b=z"}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Error(diff)
	}
}
