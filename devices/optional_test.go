package devices

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// only returns a rule with one entry, kind:name.
func only(entry string) Optional {
	return func(kind string, names ...string) string {
		of, name, _ := strings.Cut(entry, ":")
		if of == kind && slices.Contains(names, name) {
			return entry
		}
		return ""
	}
}

func TestOptional(t *testing.T) {
	cause := fault.New(fault.Mount, "thing", "it is broken").WithHint("mend it")
	chmod := &Hook{Path: "/usr/bin/nvidia-ctk", Args: []string{"argv0", "hook", "chmod", "--path", "x"}}
	for _, test := range []struct {
		rule string
		note func(Optional) *fault.Error
		want bool
	}{
		{"node:/dev/a", func(o Optional) *fault.Error { return o.Note(&DeviceNode{Path: "/dev/./a"}, cause) }, true},
		{
			"node:/dev/a", func(o Optional) *fault.Error { return o.Note(&DeviceNode{Path: "/dev/a", Own: true}, cause) }, false,
		},
		{
			"node:/dev/a",
			func(o Optional) *fault.Error { return o.Note(&DeviceNode{Path: "/dev/b", HostPath: "/dev/a"}, cause) }, false,
		},
		{"mount:/dev/a", func(o Optional) *fault.Error { return o.Note(&DeviceNode{Path: "/dev/a"}, cause) }, false},
		{"mount:/a", func(o Optional) *fault.Error { return o.Note(mount("/b", "/a/"), cause) }, true},
		{"mount:/a", func(o Optional) *fault.Error { return o.Note(mount("/a", "/b"), cause) }, false},
		{"hook:/usr/bin/nvidia-ctk", func(o Optional) *fault.Error { return o.Note(chmod, cause) }, true},
		{"hook:nvidia-ctk", func(o Optional) *fault.Error { return o.Note(chmod, cause) }, true},
		{"hook:chmod", func(o Optional) *fault.Error { return o.Note(chmod, cause) }, true},
		{"hook:argv0", func(o Optional) *fault.Error { return o.Note(chmod, cause) }, false},
		{"hook:x", func(o Optional) *fault.Error { return o.Note(chmod, cause) }, false},
	} {
		got := test.note(only(test.rule))
		if (got != nil) != test.want {
			t.Errorf("%s: %v", test.rule, got)
		}
		text := "thing: it is broken; it is left out, which " + test.rule + " allows"
		hint := "if the container needs it: mend it"
		if got != nil && (got.Code() != fault.Skipped || got.Error() != text || got.Hint() != hint) {
			t.Errorf("%s: %s %s", test.rule, got, got.Hint())
		}
	}
	if Optional(nil).Note(mount("/a", "/a"), errors.New("x")) != nil {
		t.Error("without a rule something is optional")
	}
}

// Every optional edit that cannot be made is skipped, and the others are completed.
func TestCompleteSkips(t *testing.T) {
	require.Root(t)
	top := hostTree(t)
	edits := in(top, &Edits{
		DeviceNodes: []*DeviceNode{
			{Path: "/dev/x", HostPath: "@/none", Status: Apply}, {Path: "/dev/y", HostPath: "@/null", Status: Apply},
		},
		Mounts: []*Mount{mount("@/none", "/m"), mount("@/lib", "/l")},
		Hooks:  []*Hook{hook("prestart", "@/none", nil, nil), hook("prestart", "@/hook", nil, nil)},
	})
	all := func(kind string, _ ...string) string { return "all" }
	skipped, err := edits.Complete(&specs.Spec{}, "", us(), all)
	if err != nil || len(skipped) != 3 {
		t.Fatal(skipped, err)
	}
	var got []Status
	for _, status := range edits.Statuses() {
		got = append(got, *status)
	}
	if diff := cmp.Diff([]Status{Skipped, Apply, Skipped, Apply, Skipped, Apply}, got); diff != "" {
		t.Error(diff)
	}
	if edits.DeviceNodes[1].Major != 1 {
		t.Error("what comes after a skipped node is not completed")
	}
}

// A node of a requested device itself remains one, whichever Spec describes it last.
func TestAppendKeepsOwn(t *testing.T) {
	edits := &Edits{DeviceNodes: []*DeviceNode{{Path: "/dev/a", Own: true}, {Path: "/dev/b"}}}
	edits.Append(&Edits{DeviceNodes: []*DeviceNode{
		{Path: "/dev//a", Major: 2}, {Path: "/dev/b", Own: true}, {Path: "/dev/c"},
	}})
	want := []*DeviceNode{{Path: "/dev//a", Major: 2, Own: true}, {Path: "/dev/b", Own: true}, {Path: "/dev/c"}}
	if diff := cmp.Diff(want, edits.DeviceNodes); diff != "" {
		t.Error(diff)
	}
}

// Each Spec has a share of its own, and the nodes of a device itself are marked.
func TestShares(t *testing.T) {
	const text = `cdiVersion: "0.5.0"
kind: %KIND
containerEdits:
  deviceNodes: [{path: /dev/%NAME}]
  mounts: [{hostPath: %TOP/none, containerPath: /%NAME}]
  hooks: [{hookName: prestart, path: /h, args: [a, b]}]
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/%NAME0}]
    mounts: [{hostPath: %TOP, containerPath: /top}]
`
	spec := func(kind, name string) string { return strings.NewReplacer("%KIND", kind, "%NAME", name).Replace(text) }
	top := specDirs(t, map[string]string{"a/x.yaml": "", "a/y.yaml": ""})
	for name, s := range map[string]string{"x": spec("a.com/x", "x"), "y": spec("a.com/y", "y")} {
		write(t, top+"/a/"+name+".yaml", strings.ReplaceAll(s, "%TOP", top))
	}
	r := Load([]string{top + "/a"}, us())
	got, err := r.Resolve([]string{"a.com/x=0", "a.com/y=0", "a.com/x=0"})
	if err != nil {
		t.Fatal(err, r.Problems())
	}
	if len(got.Shares) != 2 || got.Shares[0].Spec != top+"/a/x.yaml" || got.Shares[1].Spec != top+"/a/y.yaml" {
		t.Fatalf("shares %+v", got.Shares)
	}
	for i, d := range got.DeviceNodes {
		if want := i%2 == 1; d.Own != want {
			t.Errorf("%s: own is %v", d.Path, d.Own)
		}
	}
	share := got.Shares[0]
	if needed, missing := share.Missing(nil); needed != 2 || !slices.Equal(missing, []string{top + "/none"}) {
		t.Errorf("of %d are missing %v", needed, missing)
	}
	if needed, missing := share.Missing(only("mount:/x")); needed != 1 || missing != nil {
		t.Errorf("without the optional one, of %d are missing %v", needed, missing)
	}
	if diff := cmp.Diff([]string{top, top + "/none"}, slices.Sorted(slices.Values(share.Files()))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, share.Arguments()); diff != "" {
		t.Error(diff)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
