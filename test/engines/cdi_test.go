package engines

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// more appends edits to the Spec's own.
func (s *site) more(edits string) {
	s.t.Helper()
	spec := strings.Replace(s.Host.Spec(), `"0.5.0"`, `"1.1.0"`, 1) + strings.ReplaceAll(edits, "HOST", s.Host.Dir)
	if err := s.Host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// sharedObject makes an ELF library with this soname and nothing else in it, because ldconfig ignores files that are
// not ELF. It returns the library's contents.
func sharedObject(t *testing.T, soname string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "lib.so")
	cmd := exec.Command(require.Program(t, "gcc"), "-shared", "-nostdlib", "-x", "c", "/dev/null",
		"-Wl,-soname,"+soname, "-o", out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// cdiHook installs the real nvidia-cdi-hook and adds hooks with these commands to the Spec, in the order of nvidia-ctk.
func (s *site) cdiHook(commands ...string) {
	s.t.Helper()
	data, err := os.ReadFile(require.Program(s.t, "nvidia-cdi-hook"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Host.Write("bin/nvidia-cdi-hook", string(data), 0o755); err != nil {
		s.t.Fatal(err)
	}
	hooks := "  hooks:\n"
	for _, c := range commands {
		hooks += "  - {hookName: createContainer, path: HOST/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, " + c +
			"], env: [NVIDIA_CTK_DEBUG=false]}\n"
	}
	s.more(hooks)
}

// The real nvidia-cdi-hook works as a createContainer hook that gpu-hook runs: there are links to the driver's
// libraries, the image's newer CUDA libraries come before them, and the linker's cache has both.
func TestRealCDIHook(t *testing.T) {
	const compat = "/usr/local/cuda/compat"
	for _, e := range starters(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			cuda := sharedObject(t, "libcuda.so.1")
			if err := s.Host.Write("lib/libcuda.so."+gpuhost.Driver, cuda, 0o644); err != nil {
				t.Fatal(err)
			}
			s.cdiHook(
				"create-symlinks, --link, 'libcuda.so.1::"+gpuhost.LibDir+"/libcuda.so', "+
					"--link, 'libnvidia-ml.so."+gpuhost.Driver+"::"+gpuhost.LibDir+"/libnvidia-ml.so.1'",
				"enable-cuda-compat, --host-driver-version="+gpuhost.Driver,
				"update-ldcache, --folder, "+gpuhost.LibDir,
				"disable-device-node-modification",
			)
			b := asks("device=0")
			b.Image = map[string]string{compat + "/libcuda.so.999.88.77": cuda}
			b.Args = []string{"sh", "-c", "busybox readlink " + gpuhost.LibDir + "/libcuda.so; " +
				"cat " + gpuhost.LibDir + "/libnvidia-ml.so.1; cat /etc/ld.so.conf.d/00-compat-*; " +
				"echo cache; busybox base64 -w 0 /etc/ld.so.cache"}
			o := e.run(s, b)
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "libcuda.so.1", "this stands for libnvidia-ml.so."+gpuhost.Driver, compat)
			want := []string{compat + "/libcuda.so.1", gpuhost.LibDir + "/libcuda.so.1"}
			if got := cached(t, o); !slices.Equal(got, want) {
				t.Errorf("the linker finds libcuda.so.1 in %q", got)
			}
		})
	}
}

// cached returns where the linker's cache that the container prints finds libcuda.so.1, first choice first.
func cached(t *testing.T, o outcome) []string {
	t.Helper()
	_, text, _ := strings.Cut(o.Stdout, "cache\n")
	cache, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		t.Fatalf("%v: %s", err, o.Stdout)
	}
	path := filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(path, cache, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("/sbin/ldconfig", "-p", "-C", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(list)) {
		if name, place, ok := strings.Cut(strings.TrimSpace(line), " => "); ok && strings.HasPrefix(name, "libcuda.so.1 ") {
			found = append(found, place)
		}
	}
	return found
}

// The container sees the driver's parameters in a form that keeps it from making device nodes. Without a driver, the
// test provides them in a mount namespace of its own, and the host's proc is bound into the container.
func TestRealCDIHookHidesParameters(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.cdiHook("disable-device-node-modification")
			runtime.LockOSThread() // and never unlocked: thread and mounts end with the test
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{
				unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
				unix.Mount("tmpfs", "/proc/driver", "tmpfs", 0, ""),
				os.Mkdir("/proc/driver/nvidia", 0o755),
				os.WriteFile("/proc/driver/nvidia/params", []byte("ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\n"), 0o444),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			b := asks("device=0")
			b.Args = []string{"cat", "/proc/driver/nvidia/params"}
			b.Edit = func(config map[string]any) {
				for _, m := range config["mounts"].([]any) {
					if m := m.(map[string]any); m["destination"] == "/proc" {
						m["type"], m["source"], m["options"] = "bind", "/proc", []string{"rbind"}
					}
				}
			}
			e.run(s, b).has(t, "ResmanDebugLevel: 4294967295", "ModifyDeviceFiles: 0")
			host, err := os.ReadFile("/proc/driver/nvidia/params")
			if err != nil || !strings.Contains(string(host), "ModifyDeviceFiles: 1") {
				t.Errorf("on the host: %s, %v", host, err)
			}
		})
	}
}

// When the container's program runs, after the runtime has called pivot_root, mounts of every kind are there.
func TestMounts(t *testing.T) {
	for _, e := range starters(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.more("  - {hostPath: tmpfs, containerPath: /scratch, type: tmpfs, options: [size=64k, mode=0711, nosuid]}\n" +
				"  - {hostPath: HOST/data, containerPath: /tree, options: [rbind, rro, noexec]}\n" +
				"  - {hostPath: HOST/data, containerPath: /top, options: [bind]}\n")
			below := s.Host.Path("data/below")
			if err := os.MkdirAll(below, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", below, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(below, unix.MNT_DETACH) })
			if err := s.Host.Write("data/below/file", "from below\n", 0o644); err != nil {
				t.Fatal(err)
			}
			b := asks("device=0")
			b.Args = []string{"sh", "-c", `cat /tree/below/file
ls /top/below | busybox wc -l
stat -c 'mode %a' /scratch
echo x >/scratch/x && echo written
(echo x >/tree/below/new) 2>/dev/null || echo read-only
mount | while read -r a b path c kind options; do
	case $path in /scratch|/tree) echo "$path $kind $options";; esac
done`}
			o := e.run(s, b)
			o.has(t, "from below", "0", "mode 711", "written", "read-only")
			if !strings.Contains(o.Stdout, "/scratch tmpfs (rw,nosuid,relatime,size=64k,mode=711") ||
				!strings.Contains(o.Stdout, "noexec") {
				t.Errorf("mounts:\n%s%s", o.Stdout, o.Stderr)
			}
		})
	}
}

// In a container with a user namespace a tmpfs belongs to the container's root, and the ids that the Spec gives are
// the container's.
func TestTmpfsInAUserNamespace(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			s.more("  - {hostPath: tmpfs, containerPath: /scratch, type: tmpfs, options: [mode=0700]}\n" +
				"  - {hostPath: tmpfs, containerPath: /other, type: tmpfs, options: [uid=7, gid=8]}\n")
			b := asks("device=0")
			b.Args = []string{"sh", "-c", "stat -c '%n %u %g' /scratch /other; echo x >/scratch/x && echo written"}
			b.Edit, b.Owner = userNamespace, mappedRoot
			e.run(s, b).has(t, "/scratch 0 0", "/other 7 8", "written")
		})
	}
}

// A network device of the host is moved into the container. There it has its new name and its address, and it is up.
// The "host" is a network namespace of the test.
func TestNetDevice(t *testing.T) {
	for _, e := range starters(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			ip := require.Program(t, "ip")
			s.more("  netDevices: [{hostInterfaceName: rdma7, name: rdma0}]\n")
			runtime.LockOSThread() // and never unlocked: thread and namespace end with the test
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Fatal(err)
			}
			for _, args := range []string{
				"link add rdma7 type veth peer name world", "address add 192.0.2.7/24 dev rdma7", "link set world up",
				"link set rdma7 up",
			} {
				if out, err := exec.Command(ip, strings.Fields(args)...).CombinedOutput(); err != nil {
					t.Fatalf("ip %s: %v: %s", args, err, out)
				}
			}
			b := asks("device=0")
			b.Args = []string{"sh", "-c", "busybox ip -o address show dev rdma0; busybox ip link show dev rdma0"}
			o := e.run(s, b)
			if !strings.Contains(o.Stdout, "192.0.2.7/24") || !strings.Contains(o.Stdout, "UP") || o.Status != 0 {
				t.Errorf("in the container: %s%s", o.Stdout, o.Stderr)
			}
			if n := s.last().Edits.NetDevices; len(n) != 1 || n[0].Status != "applied" {
				t.Errorf("record: %+v", n)
			}
			// The device was lost with the first container.
			s.refused(e, e.run(s, asks("driver=nvidia.cdi,device=0")), "E-NETDEV", "rdma7", "lost with the container")
		})
	}
}

// A container with the host's network is refused, and the host keeps its device.
func TestNetDeviceAndHostNetwork(t *testing.T) {
	e := starters(t)[0]
	s := newSite(t)
	s.more("  netDevices: [{hostInterfaceName: lo, name: rdma0}]\n")
	b := asks("driver=nvidia.cdi,device=0")
	b.Edit = func(config map[string]any) {
		linux := config["linux"].(map[string]any)
		linux["namespaces"] = slices.DeleteFunc(linux["namespaces"].([]any), func(ns any) bool {
			return ns.(map[string]any)["type"] == string(specs.NetworkNamespace)
		})
		for _, m := range config["mounts"].([]any) {
			if m := m.(map[string]any); m["destination"] == "/sys" {
				m["type"], m["source"], m["options"] = "bind", "/sys", []string{"rbind", "ro"}
			}
		}
	}
	s.refused(e, e.run(s, b), "E-NETDEV", "lo", "shares the host's network namespace")
	dir, err := s.Bundle(b)
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.GPUHook("explain", "--json", "--bundle", dir)
	if err != nil || o.Status != 1 || !strings.Contains(o.Stdout, "shares the host's network namespace") {
		t.Errorf("explain: %v, status %d, %s", err, o.Status, fmt.Sprint(o.Stdout))
	}
}
