package facts

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// write makes a host as files; a content that begins with "link " is the target of a symbolic link.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		at := filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if target, link := cutPrefix(text, "link "); err == nil && link {
			err = os.Symlink(target, at)
		} else if err == nil {
			err = os.WriteFile(at, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func cutPrefix(text, prefix string) (string, bool) {
	if len(text) < len(prefix) || text[:len(prefix)] != prefix {
		return text, false
	}
	return text[len(prefix):], true
}

// What is read of an empty directory is nothing, and no error: no check may take the lack of a fact for a fault.
func TestNothing(t *testing.T) {
	h := Read(t.TempDir(), Query{SpecDirs: []string{"/etc/cdi"}, Paths: []string{"/dev/nvidia0"}})
	if h.Kernel.Known || h.HasGPUs || len(h.Nodes) > 0 || len(h.Specs) > 0 || h.Podman.Present || h.SELinux.Enforcing {
		t.Errorf("%+v", h)
	}
	if h.Paths["/dev/nvidia0"].Exists() || !h.Paths["/"].Exists() {
		t.Errorf("paths are %v", h.Paths)
	}
}

func TestDriver(t *testing.T) {
	r := reader{write(t, map[string]string{
		"/sys/module/nvidia/version": "580.65.06\n",
		"/lib/modules/6.1.0/modules.dep": "kernel/a.ko:\nupdates/nvidia-uvm.ko.xz: " +
			"updates/nvidia.ko.xz\nupdates/nvidia.ko.xz:\n",
		"/proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-1\nDevice " +
			"Minor: \t 3\n",
		"/proc/driver/nvidia/gpus/0000:02:00.0/information":    "Model: \t\t Unknown\n",
		"/proc/driver/nvidia/capabilities/mig/config":          "DeviceFileMinor: 1\n",
		"/proc/driver/nvidia/capabilities/gpu0/mig/gi1/access": "DeviceFileMinor: 12\n",
		"/proc/driver/nvidia/capabilities/fabric-imex-mgmt":    "DeviceFileMinor: 99\n",
		"/proc/devices": "Character devices:\n195 nvidia\n510 nvidia-uvm\n\nBlock devices:\n  8 nvidia-uvm\n",
		"/sys/bus/pci/devices/0000:00:00.0/class":        "0x060000\n",
		"/sys/bus/pci/devices/0000:01:00.0/class":        "0x030200\n",
		"/sys/bus/pci/devices/0000:01:00.0/vendor":       "0x10de\n",
		"/sys/bus/pci/devices/0000:01:00.0/driver":       "link ../../drivers/nvidia",
		"/usr/lib/x86_64-linux-gnu/libcuda.so.1":         "",
		"/usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06": "",
		"/usr/lib64/libnvidia-ml.so.580.65.06":           "",
		"/proc/stat":                                     "cpu 1\nbtime 1700000000\nprocesses 1\n",
	})}
	same(t, "modules", r.kernel(), Kernel{
		Known: true, Modules: map[string]string{"nvidia": "580.65.06"}, Available: []string{"nvidia_uvm", "nvidia"},
	})
	same(t, "GPUs", r.gpus(), []GPU{
		{Bus: "0000:01:00.0", Model: "NVIDIA H100", UUID: "GPU-1", Minor: 3}, {
			Bus: "0000:02:00.0", Model: "Unknown",
			Minor: -1,
		},
	})
	same(t, "capabilities", r.capabilities(), []Capability{
		{"/proc/driver/nvidia/capabilities/gpu0/mig/gi1/access", 12}, {"/proc/driver/nvidia/capabilities/mig/config", 1},
	})
	same(t, "numbers", r.majors(), map[string]int64{"nvidia": 195, "nvidia-uvm": 510})
	same(t, "PCI", r.pci(), []PCI{{Slot: "0000:01:00.0", Vendor: "0x10de", Driver: "nvidia"}})
	same(t, "libraries", r.libraries(), Libraries{CUDA: []string{"580.65.06"}, NVML: []string{"580.65.06"}})
	same(t, "start", r.started(), int64(1700000000))
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPaths(t *testing.T) {
	require.Root(t)
	dir := write(t, map[string]string{
		"/dev/nvidia1": "link nvidia0", "/dev/dri/by-path/x": "",
		"/dev/nvidia-caps/nvidia-cap1": "",
	})
	if err := unix.Mknod(filepath.Join(dir, "dev/nvidia0"), unix.S_IFCHR|0o640, int(unix.Mkdev(195, 7))); err != nil {
		t.Fatal(err)
	}
	h := Read(dir, Query{})
	same(t, "nodes", h.Nodes, []string{"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap1"})
	same(t, "node", h.Paths["/dev/nvidia0"], Path{Type: "c", Major: 195, Minor: 7, Mode: 0o640})
	same(t, "link", h.Paths["/dev/nvidia1"].Type, "link")
	same(t, "directory", h.Paths["/dev"].Type, "directory")
}

func TestKinds(t *testing.T) {
	for text, want := range map[string][]string{
		"cdiVersion: 0.5.0\nkind: nvidia.com/gpu\n":                       {"nvidia.com/gpu"},
		`{"cdiVersion": "0.5.0", "kind": "a.com/b", "devices": []}`:       {"a.com/b"},
		"cdiVersion: 0.5.0\nkind: \"a.com/b\" \nannotations: {kind: x}\n": {"a.com/b"},
		"kind: nvidia.com/gpu\n":                                          nil,
		"cdiVersion: 0.5.0\nkindness: {a/b}\n":                            nil,
	} {
		same(t, text, kinds(text), want)
	}
}

func TestEngines(t *testing.T) {
	const (
		admin = "/etc/containers/containers.conf"
		early = "/etc/containers/containers.conf.d/10-a.conf"
		late  = "/etc/containers/containers.conf.d/99-z.conf"
		users = "/home/ann/.config/containers/containers.conf"
		crio  = "/etc/crio/crio.conf.d/10.conf"
	)
	podman := func(files map[string]string) Engine {
		return reader{write(t, files)}.podman(Query{UserDir: "/home/ann/.config"})
	}
	for name, test := range map[string]struct {
		files map[string]string
		dirs  []string
		setBy string
	}{
		"no configuration": {nil, []string{SystemHooks}, ""},
		"the administrator's": {
			map[string]string{admin: "[engine]\n#hooks_dir = [\"/c\"]\nhooks_dir = [\"/a\"]\n"}, []string{"/a"}, admin + ":3",
		},
		"the last file decides": {
			map[string]string{
				admin: "[engine]\nhooks_dir = [\"/a\"]\n", late: "[engine]\nhooks_dir = [\"/z\"]\n",
				early: "[engine]\nhooks_dir = [\"/b\"]\n",
			},
			[]string{"/z"},
			late + ":2",
		},
		"an appended list": {
			map[string]string{early: "[engine]\nhooks_dir = [\"/b\", {append = true}]\n"}, []string{SystemHooks, "/b"}, early +
				":2",
		},
		"a user's": {
			map[string]string{late: "[engine]\nhooks_dir = [\"/z\"]\n", users: "[engine]\nhooks_dir = [\"/u\"]\n"},
			[]string{"/u"},
			users + ":2",
		},
		"a file that podman does not read": {
			map[string]string{late + ".bak": "[engine]\nhooks_dir = [\"/z\"]\n"}, []string{SystemHooks}, "",
		},
	} {
		e := podman(test.files)
		same(t, name, e.Dirs, test.dirs)
		same(t, name, e.SetBy, test.setBy)
	}
	e := podman(map[string]string{admin: "[engine\n"})
	same(t, "broken files", len(e.Broken), 1)
	files := map[string]string{crio: "[crio.runtime]\nhooks_dir = [\"/c\"]\ndefault_runtime = \"crun\"\n"}
	e = reader{write(t, files)}.crio(Query{})
	same(t, "directories of CRI-O", e.Dirs, []string{"/c"})
	same(t, "runtime of CRI-O", e.Runtime, "crun")
}

func TestDefinitions(t *testing.T) {
	ours := func(stage string) string {
		return `{"version": "1.0.0", "hook": {"path": "/x/gpu-hook", "args": ["gpu-hook", "--engine", "podman"]}, ` +
			`"stages": ["` + stage + `"]}`
	}
	r := reader{write(t, map[string]string{
		"/a/gpu-hook.json": ours("createRuntime"), "/a/x.json": "{", "/a/gpu-hook.json.bak": "",
		"/b/gpu-hook.json": ours("precreate"),
		"/c/gpu-hook.json": ours("createRuntime"), "/c/other.json": ours("precreate"),
	})}
	e := Engine{Dirs: []string{"/a", "/nowhere", "/b"}}
	r.definitions(&e, Query{HookDirs: []string{"/b", "/c"}})
	var active []string
	for _, h := range e.Active() {
		active = append(active, h.File)
	}
	same(t, "active", active, []string{"/a/x.json", "/b/gpu-hook.json"})
	same(t, "masked", e.Hooks[0].Masked, "/b/gpu-hook.json")
	same(t, "broken", e.Hooks[1].Error != "", true)
	same(t, "unread", e.Unread, []string{"/a/gpu-hook.json.bak"})
	same(t, "elsewhere", len(e.Others), 1)
	same(t, "engine", e.Others[0].Engine(), "podman")
}

func TestSystem(t *testing.T) {
	r := reader{write(t, map[string]string{
		"/etc/os-release": "NAME=x\nID=\"rocky\"\nID_LIKE=\"rhel centos\"\n",
		"/etc/passwd":     "root:x:0:0\nann:x:1000:1000\n",
		"/etc/group":      "video:x:44:bob,ann\nrender:x:105:bob\nbad\n",
		"/var/lib/dpkg/status": "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: " +
			"nvidia-container-toolkit\nStatus: install ok installed\nVersion: 1.18.2-1\n",
		"/proc/mounts":            "/dev/sda / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n",
		"/run/cdi/a.yaml":         "cdiVersion: 1\nkind: a.com/b\n",
		"/etc/cdi/b.yml":          "cdiVersion: 1\nkind: a.com/b\n",
		"/sys/fs/selinux/enforce": "1",
		"/sys/fs/selinux/booleans/container_use_devices":     "0 0",
		"/usr/lib/systemd/system/nvidia-cdi-refresh.service": "[Unit]\nBefore=podman.service\n",
	})}
	o := r.os()
	same(t, "distribution", []bool{o.Is("rhel"), o.Is("rocky"), o.Is("debian")}, []bool{true, true, false})
	u := r.user(Query{UID: 1000, Groups: []int{1000}})
	same(t, "user", []any{u.Name, u.Member, u.GroupIDs[105]}, []any{"ann", []int{44}, "render"})
	same(t, "toolkit", r.toolkit(), "1.18.2")
	same(t, "SELinux", r.selinux(), SELinux{true, map[string]bool{"container_use_devices": false}})
	same(t, "service", r.refresh(), Refresh{Installed: true, Before: true})
	var specs []SpecFile
	for _, s := range r.specs([]string{"/etc/cdi", "/run/cdi"}) {
		s.Written = 0
		specs = append(specs, s)
	}
	same(t, "Specs", specs, []SpecFile{
		{Path: "/etc/cdi/b.yml", Kinds: []string{"a.com/b"}, Version: "1"}, {
			Path: "/run/cdi/a.yaml", Read: true,
			Kinds: []string{"a.com/b"}, Version: "1", Tmpfs: true,
		},
	})
	for text, want := range map[string]string{
		"cdiVersion: \"0.5.0\"\nkind: x\n": "0.5.0", `{"kind":"x","cdiVersion":"1.0.0"}`: "1.0.0", "cdiVersion: '0.6": "0.6",
		"kind: a/b": "", "cdiVersion": "", "cdiVersion: 0.8.0": "0.8.0",
	} {
		same(t, text, cdiVersion(text), want)
	}
}
