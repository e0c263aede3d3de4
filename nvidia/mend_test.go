package nvidia

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/contract"
)

// What to do about a node depends on the node and on what the host has.
func TestMendNode(t *testing.T) {
	full := facts{
		driver: true, module: true, slots: 2, ctk: "nvidia-ctk", modprobe: "nvidia-modprobe",
		gpus: map[int]string{0: "0000:01:00.0"}, caps: map[int]string{12: "/proc/gi1/access", 13: "/proc/gone/access"},
		exists: func(path string) bool { return path == "/proc/gi1/access" },
	}
	bare := facts{driver: true, module: true, exists: func(string) bool { return false }}
	off := full
	off.driver = false
	const generate = "nvidia-ctk cdi generate --output=/etc/cdi/n.yaml"
	for _, test := range []struct {
		node, found string
		facts       facts
		why, hint   string
	}{
		{
			"/dev/nvidia-uvm", "", full, "module nvidia_uvm is not loaded",
			"nvidia-modprobe -u -c=0 # before any nvidia-ctk cdi generate",
		},
		{
			"/dev/nvidia-uvm-tools", "", bare, "module nvidia_uvm is not loaded",
			"modprobe nvidia-uvm && mknod -m 666 /dev/nvidia-uvm-tools c " +
				"$(awk '$2 == \"nvidia-uvm\" {print $1}' /proc/devices) 1 # before any nvidia-ctk cdi generate",
		},
		{"/dev/nvidia0", "", full, "", "nvidia-modprobe -c=0"},
		{
			"/dev/nvidia1", "", full, "the driver has no GPU of that number (it has 1)",
			"ask for another GPU; dmesg says why it is gone (NVRM, Xid 79); removed for good: " + generate,
		},
		{
			"/dev/nvidia1", "", bare, "", "mknod -m 666 /dev/nvidia1 c 195 1 # if the GPU is gone " +
				"(nvidia-smi -L): install the package nvidia-container-toolkit, then: " + generate,
		},
		{"/dev/nvidiactl", "", full, "", "nvidia-modprobe -c=255"},
		{"/dev/nvidia-modeset", "", full, "", "nvidia-modprobe -m"},
		{"/dev/nvidia0", "a symbolic link", full, "", "rm /dev/nvidia0 && nvidia-modprobe -c=0"},
		{"/dev/nvidia0", "a directory", full, "", "rmdir /dev/nvidia0 && nvidia-modprobe -c=0"},
		{"/dev/nvidia0", "a block device", full, "", generate},
		{
			"/dev/nvidia-caps/nvidia-cap12", "", full, "its MIG instance exists", "nvidia-modprobe -f /proc/gi1/access",
		},
		{
			"/dev/nvidia-caps/nvidia-cap13", "", full, "the MIG instance that it belongs to does not exist",
			"make the MIG instances again (nvidia-smi mig), then: " + generate,
		},
		{"/dev/nvidiactl", "", bare, "", "mknod -m 666 /dev/nvidiactl c 195 255"},
		{"/dev/nvidia-modeset", "", bare, "", "modprobe nvidia-modeset && mknod -m 666 /dev/nvidia-modeset c 195 254"},
		{
			"/dev/nvidia-caps/nvidia-cap12", "", bare, "the MIG instance that it belongs to does not exist",
			"make the MIG instances again (nvidia-smi mig), then: install the package nvidia-container-toolkit, then: " +
				generate,
		},
		{
			"/dev/nvidia0", "", off, "the NVIDIA driver is not loaded",
			"nvidia-modprobe -c=255 -c=0 -c=1 && nvidia-modprobe -u -c=0",
		},
		{
			"/dev/nvidia0", "",
			facts{module: true},
			"the NVIDIA driver is not loaded",
			"modprobe nvidia && modprobe nvidia-uvm",
		},
		{
			"/dev/nvidia0", "",
			facts{},
			"the NVIDIA driver is not loaded",
			"gpu-hook doctor # the driver is not installed: this says how",
		},
		{"/dev/dxg", "", full, "", ""},
	} {
		why, hint := test.facts.mendNode(contract.Node{
			Path: test.node, Found: test.found, Kind: "nvidia.com/gpu", Spec: "/etc/cdi/n.yaml",
		})
		if diff := cmp.Diff([]string{test.why, test.hint}, []string{why, hint}); diff != "" {
			t.Errorf("%s %s: %s", test.node, test.found, diff)
		}
	}
}

// A node with another number than in the Spec is made again if the loaded driver has another one too; otherwise the
// Spec is generated again.
func TestMendNumber(t *testing.T) {
	f := facts{
		driver: true, ctk: "nvidia-ctk", modprobe: "nvidia-modprobe", majors: map[string]int{"nvidia-uvm": 511},
	}
	const generate = "nvidia-ctk cdi generate --output=/etc/cdi/n.yaml"
	for _, test := range []struct{ node, number, why, hint string }{
		{"/dev/nvidia0", "1:3", "the loaded driver has it as 195:0", "rm /dev/nvidia0 && nvidia-modprobe -c=0"},
		{"/dev/nvidia1", "195:11", "the loaded driver has it as 195:1", "rm /dev/nvidia1 && nvidia-modprobe -c=1"},
		{"/dev/nvidia0", "195:0", "", generate},
		{"/dev/nvidiactl", "1:3", "the loaded driver has it as 195:255", "rm /dev/nvidiactl && nvidia-modprobe -c=255"},
		{"/dev/nvidia-uvm", "509:0", "the loaded driver has it as 511", "rm /dev/nvidia-uvm && nvidia-modprobe -u -c=0"},
		{"/dev/nvidia-uvm", "511:0", "", generate},
		{"/dev/nvidia-caps/nvidia-cap1", "3:1", "", generate},
	} {
		why, hint := f.mendNode(contract.Node{
			Path: test.node, Number: test.number, Kind: "nvidia.com/gpu", Spec: "/etc/cdi/n.yaml",
		})
		if why != test.why || hint != test.hint {
			t.Errorf("%s %s: %s, %s", test.node, test.number, why, hint)
		}
	}
}

// A Spec is generated with the mode of its kind, by a tool that is there, once a driver is loaded.
func TestGenerate(t *testing.T) {
	there := facts{driver: true, ctk: "/opt/nvidia-ctk"}
	for _, test := range []struct {
		facts      facts
		kind, want string
	}{
		{there, "nvidia.com/gpu", "/opt/nvidia-ctk cdi generate --output=/f"},
		{there, "nvidia.com/gds", "/opt/nvidia-ctk cdi generate --output=/f --mode=gds --class=gds"},
		{there, "nvidia.com/imex-channel", "/opt/nvidia-ctk cdi generate --output=/f --mode=imex --class=imex-channel"},
		{facts{driver: true}, "nvidia.com/gpu", "install the package nvidia-container-toolkit, then: nvidia-ctk cdi " +
			"generate " +
			"--output=/f"},
		{
			facts{module: true, ctk: "nvidia-ctk"},
			"nvidia.com/gpu",
			"modprobe nvidia && modprobe nvidia-uvm && nvidia-ctk cdi generate --output=/f",
		},
		{facts{ctk: "nvidia-ctk"}, "nvidia.com/gpu", "gpu-hook doctor # the driver is not installed: this says how"},
	} {
		if got := test.facts.generate(test.kind, "/f"); got != test.want {
			t.Errorf("%s, not %s", got, test.want)
		}
	}
}

// The driver's files in /proc tell which GPUs and which MIG capabilities there are.
func TestFacts(t *testing.T) {
	dir := t.TempDir()
	gpu := filepath.Join(dir, "0000:02:00.0")
	if err := os.Mkdir(gpu, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(gpu, "information"): "Model: \t\t X\nBus Location: \t 0000:02:00.0\nDevice Minor: \t 1\n" +
			"GPU UUID: \t GPU-1\nGPU " +
			"Excluded:\t No\n",
		filepath.Join(dir, "minors"): "config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\nmore\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[int]string{1: "0000:02:00.0"}, readGPUs(dir)); diff != "" {
		t.Error(diff)
	}
	for id, want := range map[string]string{
		"GPU-1": "that GPU has the index 0 here", "GPU-2": "no GPU of this host has that UUID",
		"0": "this host has that GPU (GPU-1), and the Spec no such name for it", "1": "", "MIG-1": "",
	} {
		if why, _ := unknown(id, dir); why != want {
			t.Errorf("%s: %s", id, why)
		}
	}
	want := map[int]string{
		1: capsDir + "/mig/config", 2: capsDir + "/mig/monitor",
		12: capsDir + "/gpu0/mig/gi1/access", 13: capsDir + "/gpu0/mig/gi1/ci0/access",
	}
	if diff := cmp.Diff(want, readCapabilities(filepath.Join(dir, "minors"))); diff != "" {
		t.Error(diff)
	}
	if readGPUs(dir+"/none") != nil || readCapabilities(dir+"/none") != nil {
		t.Error("what cannot be read is known")
	}
}
