package devices

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// specText returns a Spec. Its own edits and each device set a variable with its name.
func specText(kind, name string, devices ...string) string {
	text := fmt.Sprintf("cdiVersion: \"0.5.0\"\nkind: %s\ncontainerEdits:\n  env: [\"%s=spec\"]\ndevices:\n", kind, name)
	for _, device := range devices {
		text += fmt.Sprintf("- {name: %q, containerEdits: {env: [\"%s_%s=device\"]}}\n", device, name, device)
	}
	return text
}

// specDirs makes directories from "a/x.yaml": text, and returns the path above them.
func specDirs(t *testing.T, files map[string]string) string {
	t.Helper()
	top := t.TempDir()
	for name, text := range files {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{top, filepath.Dir(path)} {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return top
}

// us trusts the files of whoever runs the tests.
func us() trust.Owner { return trust.Owner{UID: uint32(os.Getuid())} }

func TestResolve(t *testing.T) {
	gpu := func(name string, devices ...string) string { return specText("nvidia.com/gpu", name, devices...) }
	many := make([]string, 14)
	for i := range many {
		many[i] = fmt.Sprintf("d%02d", i)
	}
	for _, test := range []struct {
		name  string
		files map[string]string
		ask   string
		want  string // the variables that the edits set
		code  fault.Code
		err   string
	}{
		{"nothing asked", map[string]string{"a/x.yaml": gpu("X", "0")}, "", "", "", ""},
		{
			"the Spec's own edits come once, first",
			map[string]string{"a/x.yaml": gpu("X", "0", "1")},
			"nvidia.com/gpu=1 nvidia.com/gpu=0", "X=spec X_1=device X_0=device", "", "",
		},
		{
			"each Spec's before its first device",
			map[string]string{
				"a/x.yaml": gpu("X", "0"),
				"a/y.json": `{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "containerEdits": {"env": ["Y=spec"]}, ` +
					`"devices": [{"name": "1", "containerEdits": {"env": ["Y_1=device"]}}]}`,
			},
			"nvidia.com/gpu=0 nvidia.com/gpu=1 nvidia.com/gpu=0", "X=spec X_0=device Y=spec Y_1=device", "", "",
		},
		{
			"a device's variable outlives the Spec's",
			map[string]string{
				"a/x.yaml": "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ncontainerEdits: {env: [V=spec]}\ndevices:\n" +
					"- {name: \"0\", containerEdits: {env: [V=0]}}\n- {name: \"1\", containerEdits: {env: [W=1]}}\n",
			},
			"nvidia.com/gpu=0 nvidia.com/gpu=1", "V=0 W=1", "", "",
		},
		{
			"a device named twice",
			map[string]string{"a/x.yaml": gpu("X", "0")},
			"nvidia.com/gpu=0 nvidia.com/gpu=0",
			"X=spec X_0=device", "", "",
		},
		{
			"the later directory wins, by device",
			map[string]string{"a/x.yaml": gpu("A", "0", "1"), "b/x.yaml": gpu("B", "0")},
			"nvidia.com/gpu=0 nvidia.com/gpu=1", "B=spec B_0=device A=spec A_1=device", "", "",
		},
		{
			"the later directory settles a conflict",
			map[string]string{"a/x.yaml": gpu("X", "0"), "a/y.yaml": gpu("Y", "0"), "b/z.yaml": gpu("Z", "0")},
			"nvidia.com/gpu=0", "Z=spec Z_0=device", "", "",
		},
		{
			"a conflict in one directory",
			map[string]string{"a/x.yaml": gpu("X", "0"), "a/y.yaml": gpu("Y", "0")},
			"nvidia.com/gpu=0", "", fault.Name,
			"nvidia.com/gpu=0: both @/a/x.yaml and y.yaml define it",
		},
		{
			"a conflict concerns its name alone",
			map[string]string{"a/x.yaml": gpu("X", "0", "1"), "a/y.yaml": gpu("Y", "0")},
			"nvidia.com/gpu=1", "X=spec X_1=device", "", "",
		},
		{
			"a conflict above another directory",
			map[string]string{"a/w.yaml": gpu("W", "0"), "b/x.yaml": gpu("X", "0"), "b/y.yaml": gpu("Y", "0")},
			"nvidia.com/gpu=0", "", fault.Name,
			"nvidia.com/gpu=0: both @/b/x.yaml and y.yaml define it",
		},
		{
			"another class of the vendor",
			map[string]string{"a/x.yaml": gpu("X", "0"), "a/y.yaml": specText("nvidia.com/mig", "Y", "0")},
			"nvidia.com/mig=0",
			"Y=spec Y_0=device", "", "",
		},
		{
			"only .json and .yaml, and not below",
			map[string]string{
				"a/x.yml": gpu("X", "0"), "a/x.yaml.bak": gpu("X", "0"), "a/sub/x.yaml": gpu("X", "0"), "a/dir.yaml/x": "",
				"b/y.yaml": gpu("Y", "1"),
			},
			"nvidia.com/gpu=0", "", fault.Name,
			"nvidia.com/gpu=0: no device of that name; nvidia.com/gpu has: 1",
		},
		{
			"unknown device",
			map[string]string{
				"a/x.yaml": gpu("X", "b", "a"), "b/y.yaml": gpu("Y", "c"), "b/z.yaml": specText("nvidia.com/mig", "Z", "d"),
			},
			"nvidia.com/gpu=0", "", fault.Name,
			"nvidia.com/gpu=0: no device of that name; nvidia.com/gpu has: a, b, c",
		},
		{
			"unknown among many",
			map[string]string{"a/x.yaml": gpu("X", many...)},
			"nvidia.com/gpu=0", "", fault.Name,
			"nvidia.com/gpu=0: no device of that name; nvidia.com/gpu has: d00, d01, d02, " +
				"d03, d04, d05, d06, d07, d08, d09, d10, d11 and 2 more",
		},
		{
			"unknown kind",
			map[string]string{"a/x.yaml": gpu("X", "0"), "a/y.txt": "", "b/z.txt": ""},
			"acme.com/npu=0", "",
			fault.NoSpec,
			"acme.com/npu=0: no CDI Spec defines kind acme.com/npu; they define: nvidia.com/gpu",
		},
		{
			"a rejected Spec",
			map[string]string{"a/x.yaml": "kind: nvidia.com/gpu\n"},
			"nvidia.com/gpu=0", "", fault.Parse,
			"CDI Spec rejected: @/a/x.yaml: ",
		},
		{
			"a rejected Spec hides nothing",
			map[string]string{"a/x.yaml": gpu("X", "0"), "b/x.yaml": "kind: nvidia.com/gpu\n"},
			"nvidia.com/gpu=0", "X=spec X_0=device", "", "",
		},
		{
			"the second name is unknown",
			map[string]string{"a/x.yaml": gpu("X", "0")},
			"nvidia.com/gpu=0 nvidia.com/gpu=1", "",
			fault.Name, "nvidia.com/gpu=1: no device of that name; nvidia.com/gpu has: 0",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := specDirs(t, test.files)
			r := Load([]string{top + "/a", top + "/b", top + "/missing"}, us())
			edits, err := r.Resolve(strings.Fields(test.ask))
			if test.err != "" {
				want := strings.ReplaceAll(test.err, "@", top)
				whole := err != nil && (err.Error() == want || strings.HasSuffix(want, ": "))
				if !fault.Is(err, test.code) || !strings.HasPrefix(err.Error(), want) || !whole {
					t.Errorf("got %v\nwant %s %s", err, test.code, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range edits.Env {
				got = append(got, v.Value)
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
	_, err := Load(nil, us()).Resolve([]string{"acme.com/npu=0"})
	const want = "acme.com/npu=0: no CDI Spec defines kind acme.com/npu (looked in no directory)"
	if err == nil || err.Error() != want {
		t.Errorf("without directories: %v", err)
	}
}

// A Spec that cannot be used is a problem with a reason, and defines nothing.
func TestProblems(t *testing.T) {
	const head = "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\n"
	device := func(edits string) string {
		return head + "devices:\n- {name: \"0\", containerEdits: {" + edits + "}}\n"
	}
	path := func(f func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := f(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(s string) func(*testing.T, string) {
		return path(func(path string) error { return os.WriteFile(path, []byte(s), 0o600) })
	}
	valid := device("env: [A=1]")
	bomb := valid + "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10))
	}
	for _, test := range []struct {
		name string
		put  func(t *testing.T, path string)
		code fault.Code
		part string
	}{
		{"as large as can be", text(valid + strings.Repeat("#", limits.SpecSize-len(valid))), "", ""},
		{
			"a byte larger", text(valid + strings.Repeat("#", limits.SpecSize+1-len(valid))), fault.Parse,
			"it is larger than 4 MiB",
		},
		{"empty", text(""), fault.Parse, "it holds nothing"},
		{"null", text("null"), fault.Parse, "it holds nothing"},
		{"no YAML", text("{"), fault.Parse, "did not find expected node content"},
		{"a field of another type", text(device("env: {A: 1}")), fault.Parse, "cannot unmarshal"},
		{"a field twice", text(valid + "kind: acme.com/npu\n"), fault.Parse, "already defined"},
		{"aliases of aliases", text(bomb), fault.Parse, "by its aliases"},
		{"an alias of itself", text(valid + "annotations: &a\n  b: *a\n"), fault.Parse, "by its aliases"},
		{"no devices", text(head), fault.Parse, "it defines no devices"},
		{"no vendor", text(strings.Replace(valid, "nvidia.com/", "", 1)), fault.Parse, `kind "gpu": invalid vendor`},
		{"no class", text(strings.Replace(valid, "/gpu", "/", 1)), fault.Parse, `kind "nvidia.com/": `},
		{"one letter", text(strings.Replace(valid, "nvidia.com/gpu", "a/b", 1)), "", ""},
		{"a device's name", text(strings.Replace(valid, `"0"`, `"a b"`, 1)), fault.Parse, `device "a b": `},
		{
			"a device twice", text(valid + "- {name: \"0\", containerEdits: {env: [A=1]}}\n"), fault.Parse,
			`device "0" is defined twice`,
		},
		{"a null node", text(device("deviceNodes: [null]")), fault.Parse, "devices[0].containerEdits.deviceNodes[0] is null"},
		{
			"a null mount in an old Spec",
			text("cdiVersion: 0.3.0\nkind: nvidia.com/gpu\ndevices: [{name: a, containerEdits: {mounts: [null]}}]\n"),
			fault.Parse, "devices[0].containerEdits.mounts[0] is null",
		},
		{"a null mount", text(device("mounts: [null]")), fault.Parse, "devices[0].containerEdits.mounts[0] is null"},
		{"a null hook", text(device("hooks: [null]")), fault.Parse, "devices[0].containerEdits.hooks[0] is null"},
		{
			"a null network device", text(strings.Replace(device("netDevices: [null]"), "0.5.0", "1.1.0", 1)), fault.Parse,
			"devices[0].containerEdits.netDevices[0] is null",
		},
		{
			"null in the Spec's own edits", text(valid + "containerEdits: {mounts: [null]}\n"), fault.Parse,
			"containerEdits.mounts[0] is null",
		},
		{"an unknown hook", text(device("hooks: [{hookName: soon, path: /h}]")), fault.Parse, `invalid hook name "soon"`},
		{
			"a node's permissions", text(device("deviceNodes: [{path: /dev/a, permissions: rwx}]")), fault.Parse,
			`invalid permissions "rwx"`,
		},
		{"a variable without value", text(device("env: [A]")), fault.Parse, `invalid environment variable "A"`},
		{"writable by the group", path(func(path string) error {
			if err := os.WriteFile(path, []byte(valid), 0o600); err != nil {
				return err
			}
			return os.Chmod(path, 0o664)
		}), fault.Trust, "writable by group or others (mode 0664)"},
		{"in a directory of all", path(func(path string) error {
			if err := os.WriteFile(path, []byte(valid), 0o600); err != nil {
				return err
			}
			return os.Chmod(filepath.Dir(path), 0o777)
		}), fault.Trust, "the directory is writable by group or others"},
		{"a FIFO", path(func(path string) error { return unix.Mkfifo(path, 0o600) }), fault.Trust, "not a regular file"},
		{
			"a link to a directory", path(func(path string) error { return os.Symlink("/", path) }), fault.Trust,
			"not a regular file",
		},
		{
			"a link to nothing", path(func(path string) error { return os.Symlink("/nowhere", path) }), fault.NoSpec, "/nowhere",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := specDirs(t, map[string]string{"a/y.yaml": specText("acme.com/npu", "Y", "0")})
			dir := top + "/a"
			test.put(t, dir+"/x.yaml")
			r := Load([]string{dir}, us())
			if test.code == "" {
				if len(r.Problems()) > 0 || len(r.devices) != 2 {
					t.Errorf("%d devices, problems %v", len(r.devices), r.Problems())
				}
				return
			}
			for _, p := range r.Problems() {
				if p.Code() != test.code || !strings.Contains(p.Error()+p.Hint(), dir) || !strings.Contains(p.Error(), test.part) {
					t.Errorf("problem %s %v, hint %q", p.Code(), p, p.Hint())
				}
			}
			if _, ok := r.devices["nvidia.com/gpu=0"]; ok || len(r.Problems()) == 0 {
				t.Errorf("%d devices, problems %v", len(r.devices), r.Problems())
			}
			if _, ok := r.devices["acme.com/npu=0"]; !ok && !strings.Contains(test.name, "directory of all") {
				t.Error("the Spec beside it is gone too")
			}
		})
	}
	t.Run("a file for a directory", func(t *testing.T) {
		top := specDirs(t, map[string]string{"a": ""})
		r := Load([]string{top + "/a"}, us())
		p := r.Problems()
		if len(p) != 1 || p[0].Code() != fault.NoSpec || !strings.HasPrefix(p[0].Error(), "CDI Spec directory: ") {
			t.Errorf("problems %v", p)
		}
		_, err := r.Resolve([]string{"acme.com/npu=0"})
		if !fault.Is(err, fault.NoSpec) || !strings.Contains(err.Error(), "rejected: CDI Spec directory: ") {
			t.Error(err)
		}
	})
}
