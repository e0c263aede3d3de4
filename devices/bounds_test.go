package devices

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/test/growth"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// repeated returns n texts, each made of its number.
func repeated(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A Spec that is large in whatever way is refused for it, before it takes time or memory.
func TestSpecsAreBounded(t *testing.T) {
	const head = "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n" +
		"  containerEdits:\n    env: [A=B]\n"
	const tooLarge = "it is larger or deeper than any Spec, by its aliases if not by itself"
	const marks = "it has more line ends, commas, brackets and colons than any Spec (250000)"
	nested := "x:\n- &a [1,1,1,1,1,1,1,1,1]\n"
	for c := 'b'; c < 'w'; c++ {
		nested += fmt.Sprintf("- &%c [%s]\n", c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 8)+fmt.Sprintf("*%c", c-1))
	}
	for name, test := range map[string]struct{ text, want string }{
		"unknown keys": {head + repeated(95_000, "x%d: 1\n"), "it has 95003 keys, more than any Spec (256)"},
		"unknown keys of a device": {
			head + repeated(95_000, "  x%d: 1\n"), "devices[0] has 95002 keys, more than any Spec (256)",
		},
		"quoted keys": {head + repeated(80_000, "\"x%d\": 1\n"), "it has 80003 keys, more than any Spec (256)"},
		"annotations": {
			head + "annotations:\n" + repeated(300, "  x%d: y\n  \"y%[1]d\": z\n"),
			"annotations has 600 keys, more than any Spec (256)",
		},
		"the same key":  {head + strings.Repeat("x: 1\n", 200), `line 8: key "x" is already defined at line 7`},
		"the same keys": {head + strings.Repeat("x: 1\n", 30_000), "it has 30003 keys, more than any Spec (256)"},
		"aliases":       {head + nested, tooLarge},
		"a list":        {head + "x:\n" + repeated(120_000, "- %d\n"), tooLarge},
		"a list on one line": {
			head + "x: [" + strings.Repeat("1,", 1_500_000) + "1]\n",
			marks,
		},
		"brackets": {
			head + "x: " + strings.Repeat("[", 1_000_000),
			marks,
		},
		"indicators": {
			head + "x:\n" + strings.Repeat("- ", 1_000_000),
			marks,
		},
		"empty lines": {
			head + "\"x\": 1\n" + strings.Repeat("\n", 1_000_000),
			marks,
		},
		"JSON": {
			`{"kind": "nvidia.com/gpu", "` + "\u00e9" + `": [` + strings.Repeat("1,", 1_000_000) + "1]}",
			marks,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			const most = 128 << 20
			allocated := growth.Allocated(func() { _, err = newSpec("/x.yaml", 0, test.text) })
			if !fault.Is(err, fault.Parse) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%.300v", err)
			}
			if allocated > most {
				t.Errorf("it took %d MiB", allocated>>20)
			}
		})
	}
}

// Tools write many anchors, and none of them is looked for among all others.
func TestManyAnchors(t *testing.T) {
	growth.Linear(t, 8_000, func(n int) func() {
		text := "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices: [{name: x, containerEdits: {env: [A=B]}}]\nx:\n" +
			repeated(n, "- &a%d 1\n")
		return func() {
			if _, err := newSpec("/x.yaml", 0, text); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A directory with more Specs than any host has is left out as a whole: which definition of a name holds depends on all
// of them.
func TestSpecDirectoriesAreBounded(t *testing.T) {
	top := specDirs(t, map[string]string{"a/a.yaml": specText("acme.com/npu", "A", "0"), "b/a.yaml": "x"})
	for i := range limits.SpecFiles {
		if err := os.WriteFile(fmt.Sprintf("%s/b/%d.yaml", top, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := Load([]string{top + "/a", top + "/b"}, owner())
	want := fmt.Sprintf("CDI Spec directory: %s/b has %d files, more than are read (%d)", top, limits.SpecFiles+1,
		limits.SpecFiles)
	if p := r.Problems(); len(p) != 1 || p[0].Error() != want {
		t.Errorf("%v, want %s", p, want)
	}
	if !r.Defines("acme.com/npu=0") {
		t.Error("the other directory is left out, too")
	}
}

// All Specs together are bounded, too.
func TestSpecsTogetherAreBounded(t *testing.T) {
	files := map[string]string{}
	const large = limits.SpecSize - 200
	for i := range limits.SpecTotal/large + 2 {
		files[fmt.Sprintf("a/%d.yaml", i)] = specText(fmt.Sprintf("acme%d.com/npu", i), "A", "0") + "#" +
			strings.Repeat("x", large)
	}
	r := Load([]string{specDirs(t, files) + "/a"}, owner())
	var kept, left int
	for i := range len(files) {
		if r.Defines(fmt.Sprintf("acme%d.com/npu=0", i)) {
			kept++
		}
	}
	for _, p := range r.Problems() {
		if strings.Contains(p.Error(), "the Specs before it are larger than 16 MiB together, and it is not read") {
			left++
		}
	}
	if kept != limits.SpecTotal/large+1 || left != 1 {
		t.Errorf("%d are read, %d not: %v", kept, left, r.Problems())
	}
}

// What is no file with an end holds nobody.
func TestSpecsThatAreNoFiles(t *testing.T) {
	require.Root(t)
	top := specDirs(t, map[string]string{"a/a.yaml": specText("acme.com/npu", "A", "0")})
	for name, target := range map[string]string{
		"b.yaml": "/proc/kmsg", "c.yaml": "/dev/zero", "d.yaml": "/dev/kmsg", "e.yaml": "/proc/self/pagemap",
		"f.yaml": "../fifo", "g.yaml": "/proc/self/mem", "h.yaml": "/",
	} {
		if err := os.Symlink(target, filepath.Join(top, "a", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(top+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(top+"/a/i.yaml", 0o700); err != nil {
		t.Fatal(err)
	}
	r := Load([]string{top + "/a", top + "/fifo"}, owner())
	if !r.Defines("acme.com/npu=0") {
		t.Error(r.Problems())
	}
}

func owner() trust.Owner { return trust.Owner{UID: uint32(os.Getuid())} }

// manyDevices returns a Spec with n devices, each with a node, a mount and a variable of its own.
func manyDevices(t *testing.T, n int) *Registry {
	t.Helper()
	text := "cdiVersion: \"0.5.0\"\nkind: acme.com/npu\ndevices:\n" + repeated(n, `- name: "%d"
  containerEdits:
    env: [A%[1]d=B]
    deviceNodes:
    - path: /dev/npu%[1]d
      hostPath: /dev/null
    mounts:
    - {hostPath: /etc/passwd, containerPath: /x/%[1]d}
`)
	spec, err := newSpec("/x.yaml", 0, text)
	if err != nil {
		t.Fatal(err)
	}
	r := &Registry{kinds: map[string]bool{"": true}, devices: map[string]*device{}}
	r.add(spec)
	return r
}

func names(n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, fmt.Sprintf("acme.com/npu=%d", i))
	}
	return out
}

// Many devices, requested by many names, take time in proportion to their number.
func TestManyDevices(t *testing.T) {
	for name, use := range map[string]func(r *Registry, n int){
		"resolved": func(r *Registry, n int) {
			if _, err := r.Resolve(names(n)); err != nil {
				t.Error(err)
			}
		},
		"listed":   func(r *Registry, _ int) { r.Devices() },
		"distinct": func(r *Registry, n int) { r.Distinct(append(names(n), names(n)...)) },
		"carried": func(r *Registry, n int) {
			var nodes []string
			for i := range n {
				nodes = append(nodes, fmt.Sprintf("/dev/npu%d", i))
			}
			carried := r.Carried("acme.com/npu", nodes)
			if len(carried) != n || !r.Covered(names(n), carried) {
				t.Errorf("%d of %d", len(carried), n)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			growth.Linear(t, 500, func(n int) func() {
				r := manyDevices(t, n)
				return func() { use(r, n) }
			})
		})
	}
}

// Devices with the same nodes differ in what comes after them.
func TestManyDevicesWithOneNode(t *testing.T) {
	growth.Linear(t, 500, func(n int) func() {
		text := "cdiVersion: \"0.5.0\"\nkind: acme.com/npu\ndevices:\n" + repeated(n, "- name: \"%d\"\n  containerEdits:\n"+
			"    deviceNodes:\n    - path: /dev/null\n    mounts:\n    - hostPath: /etc/passwd\n      containerPath: /x/%[1]d\n")
		spec, err := newSpec("/x.yaml", 0, text)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			r := &Registry{kinds: map[string]bool{"": true}, devices: map[string]*device{}}
			r.add(spec)
			if distinct, _ := r.Distinct(names(n)); len(distinct) != n {
				t.Errorf("%d of %d", len(distinct), n)
			}
		}
	})
}

// Many mounts and nodes in config.json are not compared with each edit.
func TestManyMounts(t *testing.T) {
	growth.Linear(t, 250, func(n int) func() {
		r := manyDevices(t, n)
		container := &specs.Spec{Linux: &specs.Linux{}}
		for i := range 20 * n {
			container.Mounts = append(container.Mounts, specs.Mount{Source: fmt.Sprintf("/s/%d", i), Destination: "/dev/x"})
			container.Linux.Devices = append(container.Linux.Devices, specs.LinuxDevice{Path: fmt.Sprintf("/dev/y%d", i)})
		}
		return func() {
			resolved, err := r.Resolve(names(n))
			if err == nil {
				_, err = resolved.Complete(container, "", owner(), nil)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
}
