package checkup

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	definition "github.com/gpu-hook/gpu-hook/oci-hooks.d"
)

// tree is a host as files: a path, and what is there. "node c 195 0 666 0:44" is a device node with its mode and owner,
// "dir" or "dir 777", "link TARGET", "mode 755 0:0 TEXT" a file with another mode and owner than 644 and root;
// everything else is the content of a file.
type tree map[string]string

// with returns the tree with other entries in the place of its own; "" takes one away.
func (t tree) with(changes tree) tree {
	out := maps.Clone(t)
	for path, what := range changes {
		if what == "" {
			delete(out, path)
		} else {
			out[path] = what
		}
	}
	return out
}

// make makes the tree below dir.
func (t tree) make(test *testing.T, dir string) {
	test.Helper()
	try := func(err error) {
		test.Helper()
		if err != nil {
			test.Fatal(err)
		}
	}
	try(os.Chmod(dir, 0o755))
	for _, path := range slices.Sorted(maps.Keys(t)) {
		at := filepath.Join(dir, path)
		try(os.MkdirAll(filepath.Dir(at), 0o755))
		kind, rest, _ := strings.Cut(t[path], " ")
		var mode, uid, gid, major, minor int
		switch kind {
		case "dir":
			mode = 0o755
			_, _ = fmt.Sscanf(rest, "%o", &mode)
			try(os.MkdirAll(at, 0o755))
			try(unix.Chmod(at, uint32(mode)))
		case "link":
			try(os.Symlink(rest, at))
		case "node":
			_, err := fmt.Sscanf(rest, "c %d %d %o %d:%d", &major, &minor, &mode, &uid, &gid)
			try(err)
			try(unix.Mknod(at, unix.S_IFCHR, int(unix.Mkdev(uint32(major), uint32(minor)))))
			try(unix.Chmod(at, uint32(mode)))
			try(os.Lchown(at, uid, gid))
		case "mode":
			_, err := fmt.Sscanf(rest, "%o %d:%d", &mode, &uid, &gid)
			try(err)
			text := strings.SplitN(rest, " ", 3)
			try(os.WriteFile(at, []byte(text[len(text)-1]), 0o600))
			try(os.Lchown(at, uid, gid))
			try(unix.Chmod(at, uint32(mode)))
		default:
			try(os.WriteFile(at, []byte(t[path]), 0o600))
			try(os.Chmod(at, 0o644))
		}
		if strings.Contains(path, "old") {
			try(os.Chtimes(at, time.Time{}, time.Unix(2000000, 0)))
		}
	}
}

// inRoot runs f with dir as the root directory, on a thread of its own.
func inRoot(dir string, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chroot(dir)
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}

const (
	loaded    = "580.65.06"
	specFile  = "/etc/cdi/nvidia.yaml"
	libraries = "/usr/lib/x86_64-linux-gnu/"
	program   = "mode 755 0:0 #!/bin/sh\n"
)

func uuid(n int) string { return fmt.Sprintf("GPU-0000000%d-1111-2222-3333-444455556666", n) }

// spec returns a CDI Spec of NVIDIA's driver of this version with GPUs of these minor numbers, and the common nodes.
func spec(version string, common []string, minors ...int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "cdiVersion: \"0.5.0\"\nkind: nvidia.com/gpu\ndevices:\n")
	device := func(name string, minors ...int) {
		fmt.Fprintf(&out, "- name: %q\n  containerEdits:\n    deviceNodes:\n", name)
		for _, n := range minors {
			fmt.Fprintf(&out, "    - path: /dev/nvidia%d\n", n)
		}
	}
	for i, n := range minors {
		device(fmt.Sprint(i), n)
		device(uuid(n), n)
	}
	device("all", minors...)
	fmt.Fprintf(&out, "containerEdits:\n  deviceNodes:\n")
	for _, node := range common {
		fmt.Fprintf(&out, "  - path: %s\n", node)
	}
	fmt.Fprintf(&out, "  mounts:\n")
	for _, library := range []string{"libcuda.so.", "libnvidia-ml.so."} {
		path := libraries + library + version
		fmt.Fprintf(&out, "  - {hostPath: %s, containerPath: %s, options: [ro, bind]}\n", path, path)
	}
	return out.String()
}

func common() []string { return []string{"/dev/nvidiactl", "/dev/nvidia-uvm"} }

// shipped returns a hook definition as gpu-hook install writes it.
func shipped(name, engine string) string {
	data, err := definition.For(name, "/usr/local/bin/gpu-hook", engine, nil, nil, 30)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// enabled is there if systemd starts the service that generates NVIDIA's Spec.
const enabled = "/etc/systemd/system/multi-user.target.wants/nvidia-cdi-refresh.path"

const (
	sharedDir = "/usr/share/containers/oci/hooks.d"
	podmanDir = "/usr/share/gpu-hook/podman-hooks.d"
	dropIn    = "/etc/containers/containers.conf.d/50-gpu-hook.conf"
)

func gpu(n int) string {
	return fmt.Sprintf("Model: \t\t NVIDIA H100\nGPU UUID: \t %s\nDevice Minor: \t %d\n", uuid(n), n)
}

// machine is a host without a GPU on which podman calls gpu-hook.
func machine() tree {
	return tree{
		"/dev/log":                             "a socket",
		"/etc/os-release":                      "ID=debian\nVERSION_ID=\"12\"\n",
		"/etc/passwd":                          "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
		"/etc/group":                           "root:x:0:\nvideo:x:44:\nrender:x:105:bob\n",
		"/proc/mounts":                         "overlay / overlay rw 0 0\ntmpfs /run tmpfs rw 0 0\n",
		"/run":                                 "dir",
		"/var/run":                             "link ../run",
		"/sys/module/kernel/x":                 "1\n",
		"/usr/bin/podman":                      program,
		"/usr/sbin/runc":                       program,
		"/usr/bin/systemctl":                   program,
		"/usr/local/bin/gpu-hook":              program,
		sharedDir + "/gpu-hook.json":           shipped(definition.CreateRuntime, ""),
		podmanDir + "/gpu-hook.json":           shipped(definition.CreateRuntime, "podman"),
		podmanDir + "/gpu-hook-precreate.json": shipped(definition.Precreate, ""),
		dropIn:                                 "[engine]\nhooks_dir = [\"" + sharedDir + "\", \"" + podmanDir + "\"]\n",
		"/etc/containers/containers.conf":      "[containers]\n",
	}
}

// healthy is such a host with two GPUs of NVIDIA's, and everything in place.
func healthy() tree {
	return machine().with(tree{
		"/dev/nvidia0":    "node c 195 0 666 0:0",
		"/dev/nvidia1":    "node c 195 1 666 0:0",
		"/dev/nvidiactl":  "node c 195 255 666 0:0",
		"/dev/nvidia-uvm": "node c 510 0 666 0:0",
		"/proc/driver/nvidia/gpus/0000:01:00.0/information": gpu(0),
		"/proc/driver/nvidia/gpus/0000:02:00.0/information": gpu(1),
		"/sys/bus/pci/devices/0000:01:00.0/class":           "0x030200\n",
		"/sys/bus/pci/devices/0000:01:00.0/vendor":          "0x10de\n",
		"/sys/bus/pci/devices/0000:01:00.0/driver":          "link ../drivers/nvidia",
		"/sys/bus/pci/devices/0000:02:00.0/class":           "0x030200\n",
		"/sys/bus/pci/devices/0000:02:00.0/vendor":          "0x10de\n",
		"/sys/bus/pci/devices/0000:02:00.0/driver":          "link ../drivers/nvidia",
		"/sys/module/nvidia/version":                        loaded + "\n",
		"/sys/module/nvidia_uvm/version":                    loaded + "\n",
		"/lib/modules/6.1.0/modules.dep": "updates/dkms/nvidia.ko:\nupdates/dkms/nvidia-uvm.ko: " +
			"updates/dkms/nvidia.ko\n",
		libraries + "libcuda.so." + loaded:      "a library",
		libraries + "libnvidia-ml.so." + loaded: "a library",
		"/usr/bin/nvidia-ctk":                   program,
		"/usr/bin/nvidia-modprobe":              program,
		specFile:                                spec(loaded, common(), 0, 1),
	})
}
