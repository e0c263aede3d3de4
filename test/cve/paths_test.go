package cve

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

const (
	libraries = gpuhost.LibDir
	library   = libraries + "/libcuda.so." + gpuhost.Driver
	firmware  = "/lib/firmware/nvidia/" + gpuhost.Driver
)

// mountOn is a Spec that mounts a library on the path.
func mountOn(path string) string {
	return "mounts:\n- {hostPath: HOST/lib/libcuda.so." + gpuhost.Driver + ", containerPath: '" + path +
		"', options: [ro, bind]}"
}

// directoryOn is a Spec that mounts the directory of libraries on the path.
func directoryOn(path string) string {
	return "mounts:\n- {hostPath: HOST/lib, containerPath: '" + path + "', options: [ro, bind]}"
}

// nodeOn is a Spec that makes a GPU's node at the path.
func nodeOn(path string) string {
	return "deviceNodes:\n- {path: '" + path + "', hostPath: HOST/dev/nvidia0}"
}

// linkTo plants a link.
func linkTo(target, path string) func(s *scene) {
	return func(s *scene) { s.symlink(s.named(target), path) }
}

// withoutMount makes a bundle whose runtime mounts nothing on these paths.
func withoutMount(paths ...string) func(b *gpuhost.Bundle) {
	return func(b *gpuhost.Bundle) {
		b.Edit = func(config map[string]any) {
			mounts, _ := config["mounts"].([]any)
			config["mounts"] = slices.DeleteFunc(mounts, func(m any) bool {
				on, _ := m.(map[string]any)["destination"].(string)
				return slices.ContainsFunc(paths, func(p string) bool { return on == p || strings.HasPrefix(on, p+"/") })
			})
		}
	}
}

// pathAttacks are those by what the image has in the place of a path.
func pathAttacks() []attack {
	list := slices.Concat(mountAttacks(), nodeAttacks(), kernelPathAttacks(), suffixAttacks())
	for _, kind := range []struct{ name, target string }{
		{"relative", "../../../../outside/empty"}, {"absolute", "OUTSIDE/empty"}, {"dangling", "OUTSIDE/nowhere"},
	} {
		list = append(list, attack{
			number: "S02", title: "CVE-2024-0133: firmware directory is a link out, " + kind.name, want: either,
			spec:  mountOn(firmware + "/gsp_ga10x.bin"),
			plant: linkTo(kind.target, firmware),
		})
	}
	return list
}

// mountAttacks are those on mounts and links of libraries.
func mountAttacks() []attack {
	list := []attack{
		{
			number: "S01", title: "CVE-2024-0132: compatibility library is a link to a host directory", want: contained,
			plant: func(s *scene) { s.symlink(s.outside("libs"), "/usr/local/cuda/compat/libcuda.so.1") },
			check: onlyTheSpecsMounts,
		},
		{
			number: "S01", title: "CVE-2024-0132: compatibility directory is a link, and a directory a library", want: refused,
			edit: func(b *gpuhost.Bundle) { b.Env = []string{"NVIDIA_REQUIRE_CUDA=cuda>=99.0"} },
			plant: func(s *scene) {
				s.must(os.MkdirAll(s.rootfs("/opt/compat/libcuda.so."+gpuhost.Driver), 0o755))
				s.symlink("/opt/compat", "/usr/local/cuda/compat")
			},
			check: onlyTheSpecsMounts,
		},
		{
			number: "S19", title: "CVE-2025-52565: mount target is a link to a host file", want: refused,
			plant: linkTo("OUTSIDE/marker", library),
		},
		{
			number: "S19", title: "CVE-2025-52565: mount target is a dangling link out", want: refused,
			plant: linkTo("OUTSIDE/new", library),
		},
	}
	for _, there := range []struct {
		name string
		make func(s *scene, path string)
	}{
		{"a link out", func(s *scene, path string) { s.symlink(s.outside("marker"), path) }},
		{"a directory", func(s *scene, path string) { s.must(os.Mkdir(s.rootfs(path), 0o755)) }},
		{"a file", func(s *scene, path string) { s.image(path, "the image's", 0o644) }},
		{"nothing, in a directory that is a link out", nil},
	} {
		list = append(list, attack{
			number: "S03", title: "CVE-2024-0134: the vendor's link on " + there.name, want: either,
			spec: mountOn(library) + "\nhooks:\n- {hookName: createContainer, path: HOST/bin/nvidia-cdi-hook, " +
				"args: [nvidia-cdi-hook, create-symlinks, --link, 'libcuda.so.1::/opt/links/libcuda.so']}",
			plant: func(s *scene) {
				s.vendor()
				if there.make == nil {
					s.symlink(s.outside("libs"), "/opt/links")
					return
				}
				s.must(os.MkdirAll(s.rootfs("/opt/links"), 0o755))
				there.make(s, "/opt/links/libcuda.so")
			},
		})
	}
	return list
}

// onlyTheSpecsMounts checks that every mount in the container that gpu-hook could have made is one of the Spec's.
func onlyTheSpecsMounts(s *scene, r result) {
	s.t.Helper()
	for _, line := range r.lines("mount") {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.Contains(fields[4], "compat") {
			s.errorf("a compatibility library is mounted: %s", line)
		}
		if strings.Contains(line, s.rootfs("/usr")) && !strings.Contains(line, s.Host.Path("lib")) {
			s.errorf("a mount's source is in the root filesystem: %s", line)
		}
	}
}

// nodeAttacks are those on device nodes.
func nodeAttacks() []attack {
	list := []attack{
		{
			number: "S19", title: "CVE-2025-52565: node's place is a link to a host file", want: refused,
			spec: nodeOn("/opt/gpu0"), plant: linkTo("OUTSIDE/marker", "/opt/gpu0"),
		},
		{
			number: "S19", title: "CVE-2025-52565: node's directory is a link out", want: refused,
			spec: nodeOn("/opt/dev/gpu0"), plant: linkTo("OUTSIDE/empty", "/opt/dev"),
		},
		{
			number: "S18", title: "CVE-2025-31133: node's place is a link to another device", want: refused,
			spec: nodeOn("/opt/gpu0"), plant: linkTo("/dev/null", "/opt/gpu0"),
		},
		{
			number: "S18", title: "CVE-2025-31133: node's place is another device", want: refused,
			spec: nodeOn("/opt/gpu0"),
			plant: func(s *scene) {
				s.must(os.MkdirAll(s.rootfs("/opt"), 0o755))
				s.must(unix.Mknod(s.rootfs("/opt/gpu0"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
			},
		},
		{
			number: "S18", title: "CVE-2025-31133: a host path is opened on the host, not in the image", want: contained,
			spec: mountOn("/opt/library"),
			plant: func(s *scene) {
				s.image(s.Host.Path("lib/libcuda.so."+gpuhost.Driver), "the image's", 0o644)
			},
			script: "cat /opt/library",
			check: func(s *scene, r result) {
				if !strings.Contains(r.stdout, "this stands for libcuda.so.") {
					s.errorf("the library is not the host's: %s", r.stdout)
				}
			},
		},
	}
	return append(list, attack{
		number: "S21", title: "CVE-2026-41579: /dev is a link out, and nothing is mounted on it", want: either,
		edit: withoutMount("/dev"), plant: linkTo("OUTSIDE", "/dev"),
		// crun before 1.28 is itself vulnerable, and makes its nodes outside before it runs a hook.
		venues: []string{direct, "runc"},
	})
}

// kernelPathAttacks are those by links in the place of the kernel's filesystems, and by paths on them.
func kernelPathAttacks() (list []attack) {
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		for _, kind := range []struct{ name, target string }{
			{"relative", "../../../../outside"}, {"absolute within", "/tmp"}, {"absolute out", "OUTSIDE"},
		} {
			list = append(list, attack{
				number: "S15", title: "CVE-2019-19921: " + dir + " is a link, " + kind.name, want: either,
				plant: linkTo(kind.target, dir),
			})
		}
	}
	for path, kind := range map[string]string{"/proc/sys/kernel/x": "procfs", "/sys/fs/cgroup/x": "sysfs or cgroupfs"} {
		list = append(list, attack{
			number: "S20", title: "CVE-2025-52881: mount target on " + kind, want: refused, spec: mountOn(path),
			// The runtime's own /sys is not there in the direct venue, where this is a path like any other.
			venues: where(strings.HasPrefix(path, "/proc"), direct),
		})
	}
	slices.SortFunc(list, func(a, b attack) int { return strings.Compare(a.title, b.title) })
	return append(list,
		attack{
			number: "S20", title: "CVE-2025-52881: library directory is a link to procfs", want: refused,
			plant: linkTo("/proc/sys/kernel", libraries),
		},
		attack{
			number: "S20", title: "CVE-2025-52881: library is a link to a switch of the kernel", want: refused,
			plant: linkTo("/proc/sysrq-trigger", library),
		},
		attack{
			number: "S20", title: "CVE-2025-52881: the exception for the driver's procfs leads elsewhere", want: either,
			spec: mountOn("/proc/driver/nvidia/../../sys/kernel/core_pattern"),
		},
		attack{
			number: "S14", title: "CVE-2019-16884: /proc is a plain directory with a fake self", want: either,
			edit: withoutMount("/proc"),
			plant: func(s *scene) {
				s.shape = append(s.shape, "GPU_HOOK_TEST_BARE=1")
				for path, text := range map[string]string{
					"/proc/self/mountinfo": "1 1 0:1 / / rw - tmpfs none rw\n", "/proc/thread-self/mountinfo": "",
					"/proc/self/uid_map": "0 100000 65536\n", "/proc/sys/kernel/overflowuid": "0\n",
					"/proc/1/ns/mnt": "", "/proc/driver/nvidia/version": "NVRM version: 1.0\n",
				} {
					s.image(path, text, 0o644)
				}
				s.symlink(s.outside(""), "/proc/self/fd")
				s.symlink(s.outside(""), "/proc/thread-self/fd")
			},
		},
	)
}

// where returns all venues if all is true, and otherwise those that are not the named one.
func where(all bool, not string) []string {
	if all {
		return nil
	}
	return slices.DeleteFunc([]string{direct, "runc", "crun"}, func(v string) bool { return v == not })
}

// suffixAttacks repeat the attacks on paths with what may follow a path's name.
func suffixAttacks() (list []attack) {
	for _, suffix := range []string{"/", "//", "/.", "/.."} {
		list = append(list,
			attack{
				number: "S31", title: "CVE-2026-39822: mount of a file on a link out, then " + suffix, want: refused,
				spec: mountOn("/opt/library" + suffix), plant: linkTo("OUTSIDE/marker", "/opt/library"),
			},
			attack{
				number: "S31", title: "CVE-2026-39822: mount of a directory on a link out, then " + suffix, want: either,
				spec: directoryOn("/opt/libraries" + suffix), plant: linkTo("OUTSIDE/empty", "/opt/libraries"),
			},
			attack{
				number: "S31", title: "CVE-2026-39822: node on a link out, then " + suffix, want: refused,
				spec: nodeOn("/opt/gpu0" + suffix), plant: linkTo("OUTSIDE/new", "/opt/gpu0"),
			},
		)
	}
	return list
}

// groundAttacks are those on where something is mounted and what from.
func groundAttacks() (list []attack) {
	for _, propagation := range []struct {
		name  string
		flags uintptr
	}{{"shared", unix.MS_SHARED}, {"rshared", unix.MS_SHARED | unix.MS_REC}} {
		list = append(list, attack{
			number: "S11", title: "PR #663: root filesystem is " + propagation.name + " with the host", want: either,
			edit: func(b *gpuhost.Bundle) {
				b.Edit = func(config map[string]any) {
					config["linux"].(map[string]any)["rootfsPropagation"] = propagation.name
				}
			},
			plant: func(s *scene) {
				s.shape = append(s.shape, "GPU_HOOK_TEST_SHARED=1", "GPU_HOOK_TEST_BARE=1")
				s.must(unix.Mount(s.rootfs(""), s.rootfs(""), "", unix.MS_BIND, ""))
				s.t.Cleanup(func() { _ = unix.Unmount(s.rootfs(""), unix.MNT_DETACH) })
				s.must(unix.Mount("", s.rootfs(""), "", propagation.flags, ""))
			},
		})
	}
	return append(list,
		attack{
			number: "S12", title: "prefix without a boundary: a source beside the root filesystem", want: contained,
			spec: "mounts:\n- {hostPath: ROOT-evil/file, containerPath: /opt/file, options: [ro, bind]}",
			plant: func(s *scene) {
				s.must(os.Mkdir(s.rootfs("")+"-evil", 0o755))
				s.must(os.WriteFile(s.rootfs("")+"-evil/file", []byte("beside"), 0o644))
			},
			script: "cat /opt/file",
			check: func(s *scene, r result) {
				if !strings.Contains(r.stdout, "beside") {
					s.errorf("it is not mounted: %s", r.stdout)
				}
			},
		},
		attack{
			number: "S12", title: "source in the root filesystem itself", want: refused,
			spec: "mounts:\n- {hostPath: ROOT/etc, containerPath: /opt/etc, options: [ro, bind]}",
		},
		attack{
			number: "S12", title: "source in the root filesystem by a link of the host", want: refused,
			spec: "mounts:\n- {hostPath: HOST/alias/etc, containerPath: /opt/etc, options: [ro, bind]}",
			plant: func(s *scene) {
				s.must(os.Symlink(s.rootfs(""), s.Host.Path("alias")))
			},
		},
		attack{
			number: "S24", title: "CVE-2022-4318: line break in a path of the Spec", want: either,
			spec:  "mounts:\n- {hostPath: HOST/lib, containerPath: \"/opt/a\\nb\\rc\", options: [ro, bind]}",
			check: noRawBreaks,
		},
	)
}

// noRawBreaks checks that the record has each line break escaped: it is one line of JSON.
func noRawBreaks(s *scene, _ result) {
	s.t.Helper()
	names, _ := filepath.Glob(s.Host.Path("run/records/*.json"))
	if len(names) == 0 {
		s.errorf("there is no record")
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		s.must(err)
		if strings.ContainsAny(strings.TrimSpace(string(data)), "\n\r") {
			s.errorf("a line break in the record: %q", data)
		}
	}
}
