package engines

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// mappedRoot is the user who is root in the containers of these tests.
const mappedRoot = 100000

// userNamespace gives a bundle a user namespace.
func userNamespace(config map[string]any) {
	linux := config["linux"].(map[string]any)
	linux["namespaces"] = append(linux["namespaces"].([]any), map[string]any{"type": "user"})
	mapping := []map[string]any{{"containerID": 0, "hostID": mappedRoot, "size": 65536}}
	linux["uidMappings"], linux["gidMappings"] = mapping, mapping
}

// usersScript shows the owners of what the container got.
const usersScript = script + `
for f in /dev/nvidia0 /usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/*; do stat -c "%n %u" "$f"; done`

// In a container with a user namespace nodes are bound. Mount points belong to the container's root, whoever owns the
// root filesystem. The host's own node keeps its owner and mode.
func TestUserNamespace(t *testing.T) {
	for _, e := range starters(t)[:2] {
		for _, owner := range []int{0, mappedRoot} {
			t.Run(fmt.Sprintf("%s/root filesystem of %d", e.name, owner), func(t *testing.T) {
				s := newSite(t)
				b := asks("device=0")
				b.Args = []string{"sh", "-c", usersScript}
				b.Edit = userNamespace
				b.Owner = owner
				o := e.run(s, b)
				if o.Status != 0 {
					t.Fatalf("status %d: %s", o.Status, o.Stderr)
				}
				o.has(t, "node /dev/nvidia0", "node /dev/nvidiactl", library, "open", "/dev/nvidia0 65534",
					"/usr/lib/x86_64-linux-gnu 0", "/usr/lib/x86_64-linux-gnu/libcuda.so."+gpuhost.Driver+" 65534")
				unchangedNode(t, s.Host.Path("dev/nvidia0"))
				if r := s.last(); r.Result != "applied" || r.Edits.DeviceNodes[0].Status != devices.Applied {
					t.Errorf("record: %s %+v", r.Result, r.Edits.DeviceNodes[0])
				}
			})
		}
	}
}

func unchangedNode(t *testing.T, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeDevice|fs.ModeCharDevice|0o666 {
		t.Errorf("the host's node has mode %s now", info.Mode())
	}
}

func TestPodmanUserNamespace(t *testing.T) {
	for _, e := range podmans(t) {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := asks("device=0")
			b.Flags = []string{
				"--uidmap", fmt.Sprintf("0:%d:65536", mappedRoot), "--gidmap", fmt.Sprintf("0:%d:65536", mappedRoot),
			}
			b.Owner = mappedRoot
			o := e.run(s, b)
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "node /dev/nvidia0", library, "open")
			unchangedNode(t, s.Host.Path("dev/nvidia0"))
		})
	}
}

// The createContainer hooks of a Spec run as root of the container's own user namespace, even if that cannot read the
// bundle. The real update-ldcache can call pivot_root there.
func TestHooksInUserNamespace(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			data, err := os.ReadFile(require.Program(t, "nvidia-cdi-hook"))
			if err != nil {
				t.Fatal(err)
			}
			log := s.Host.Path("log")
			for name, text := range map[string]string{
				"bin/nvidia-cdi-hook": string(data), "log": "",
				"bin/probe": "#!/bin/sh\n{ id -u; readlink /proc/self/ns/user; cat; } >" + log + "\n",
			} {
				if err := s.Host.Write(name, text, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			for _, program := range []string{"bin/probe", "bin/nvidia-cdi-hook"} {
				if err := os.Chmod(s.Host.Path(program), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			spec := s.Host.Spec() + fmt.Sprintf(`  hooks:
  - {hookName: createContainer, path: %[1]s/bin/probe, args: [probe]}
  - hookName: createContainer
    path: %[1]s/bin/nvidia-cdi-hook
    args: [nvidia-cdi-hook, create-symlinks, --link, "libcuda.so.%[2]s::%[3]s/libcuda.so.1"]
    env: [NVIDIA_CTK_DEBUG=false]
  - hookName: createContainer
    path: %[1]s/bin/nvidia-cdi-hook
    args: [nvidia-cdi-hook, update-ldcache, --folder, %[3]s]
    env: [NVIDIA_CTK_DEBUG=false]
`, s.Host.Dir, gpuhost.Driver, gpuhost.LibDir)
			if err := s.Host.Write("cdi/nvidia.yaml", spec, 0o644); err != nil {
				t.Fatal(err)
			}
			b := asks("device=0")
			b.Args = []string{"sh", "-c", "cat " + gpuhost.LibDir + "/libcuda.so.1; " +
				"stat -c '%u %n' " + gpuhost.LibDir + "/libcuda.so.1; ls -l /etc/ld.so.cache"}
			b.Edit = userNamespace
			b.Owner = mappedRoot
			o := e.run(s, b)
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, library, "0 "+gpuhost.LibDir+"/libcuda.so.1")
			said, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			ours, _ := os.Readlink("/proc/self/ns/user")
			if lines := strings.SplitN(string(said), "\n", 3); len(lines) != 3 || lines[0] != "0" || lines[1] == ours {
				t.Errorf("the hook says: %s", said)
			}
		})
	}
}

// A root filesystem that belongs to the host's root and is mapped into the container's user namespace by an idmapped
// mount. What is made in it belongs to the host's root, as everything else in it does.
func TestIdmappedRoot(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			disk := filepath.Join(s.Dir, "disk")
			if err := os.Mkdir(disk, 0o755); err != nil {
				t.Fatal(err)
			}
			// Not every filesystem supports idmapped mounts; tmpfs does.
			if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "mode=755"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
			if err := gpuhost.RootFS(disk); err != nil {
				t.Fatal(err)
			}
			b := asks("device=0")
			b.Args = []string{"sh", "-c", usersScript}
			b.Edit = func(config map[string]any) {
				userNamespace(config)
				root := config["root"].(map[string]any)
				root["path"] = idmapped(t, disk, filepath.Join(s.Dir, "mapped"))
			}
			o := e.run(s, b)
			if o.Status != 0 {
				t.Fatalf("status %d: %s", o.Status, o.Stderr)
			}
			o.has(t, "node /dev/nvidia0", library, "open", "/usr/lib/x86_64-linux-gnu 0")
			info, err := os.Stat(filepath.Join(disk, gpuhost.LibDir))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
				t.Errorf("on disk the folder is uid %d's", owner)
			}
		})
	}
}

// idmapped mounts source on target so that the host's root appears there as the root of these containers.
func idmapped(t *testing.T, source, target string) string {
	t.Helper()
	holder := exec.Command("/bin/cat")
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: mappedRoot, Size: 65536}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: mappedRoot, Size: 65536}},
	}
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = holder.Wait() }()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	return target
}

// A root filesystem that is read-only for the container is still writable when the hook runs.
func TestReadOnlyRoot(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := asks("device=0")
			b.Args = []string{"sh", "-c", script + "; (: >/x) 2>/dev/null || echo read-only"}
			b.Edit = func(config map[string]any) { config["root"].(map[string]any)["readonly"] = true }
			e.run(s, b).has(t, "node /dev/nvidia0", library, "open", "read-only")
		})
	}
}

// On read-only media no mount points can be made. This is reported, and nothing else happens.
func TestReadOnlyMedia(t *testing.T) {
	for _, e := range starters(t)[:2] {
		t.Run(e.name, func(t *testing.T) {
			s := newSite(t)
			b := asks("device=0")
			b.Edit = func(config map[string]any) {
				config["root"] = map[string]any{"path": s.media(), "readonly": true}
			}
			s.refused(e, e.run(s, b), "E-MOUNT", "read-only file system")
		})
	}
}
