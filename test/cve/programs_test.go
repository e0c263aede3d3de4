package cve

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/gpuhost"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// hooked is a Spec that runs bin/hook of the host at each stage that gpu-hook serves; the argument names the stage.
const hooked = `
hooks:
- {hookName: createRuntime, path: HOST/bin/hook, args: [hook, createRuntime]}
- {hookName: createContainer, path: HOST/bin/hook, args: [hook, createContainer]}`

// logged returns the words behind the name of a stage in the log.
func (s *scene) logged(stage string) []string {
	s.t.Helper()
	for line := range strings.Lines(s.readLog()) {
		if rest, ok := strings.CutPrefix(line, stage+" "); ok {
			return strings.Fields(rest)
		}
	}
	s.errorf("the hook of %s was not run: %s", stage, s.readLog())
	return nil
}

// showing makes a case whose hooks write to the log, behind their stage, what a script prints.
func showing(number, title, script string, check func(s *scene, stage string, words []string)) attack {
	return attack{
		number: number, title: title, want: contained, spec: hooked,
		plant: func(s *scene) { s.program("bin/hook", `echo "$1" $(`+script+`) >>LOG`) },
		check: func(s *scene, _ result) {
			s.t.Helper()
			for _, stage := range []string{"createRuntime", "createContainer"} {
				check(s, stage, s.logged(stage))
			}
		},
	}
}

// programAttacks are those on programs that gpu-hook runs, and by programs that the image has.
func programAttacks() []attack {
	return append(helperAttacks(), imagePrograms()...)
}

// helperAttacks are those on what programs inherit and where they run.
func helperAttacks() []attack {
	environment := showing("S08", "CVE-2025-23266: variables of the image and of the runtime reach a hook",
		`cat /proc/self/environ | tr '\0' ' '`, func(s *scene, stage string, words []string) {
			s.t.Helper()
			// The shell adds its own three to what it was given.
			for _, word := range words {
				name, _, _ := strings.Cut(word, "=")
				if name != "PATH" && name != "PWD" && name != "SHLVL" && name != "_" && name != "OLDPWD" {
					s.errorf("%s gets %s", stage, word)
				}
				if name == "PATH" && word != "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" {
					s.errorf("%s gets %s", stage, word)
				}
			}
		})
	hostile := []string{
		"LD_PRELOAD=/proc/self/cwd/poc.so", "LD_LIBRARY_PATH=.", "LD_AUDIT=poc.so", "GCONV_PATH=.", "GODEBUG=x=1",
		"BASH_ENV=/rootfs/evil", "ENV=/rootfs/evil", "NVIDIA_CTK_DEBUG=true",
	}
	environment.edit = func(b *gpuhost.Bundle) { b.Env = append(hostile[:len(hostile):len(hostile)], "PATH=.:/rootfs") }
	plant := environment.plant
	environment.plant = func(s *scene) {
		plant(s)
		s.env = append(hostile[:len(hostile):len(hostile)], "PATH=.:/rootfs")
	}

	list := []attack{environment, descriptorAttack(), capabilityAttack(), namespaceAttack(), proberAttack(), busyAttack()}
	for _, hook := range []struct{ number, title, path string }{
		{"S05", "CVE-2024-0136: hook of a Spec is a relative path", "bin/hook"},
		{"S30", "CVE-2021-20206: hook of a Spec is found in PATH", "sh"},
		{"S30", "CVE-2021-20206: hook of a Spec is a path that climbs", "HOST/bin/../../../sbin/reboot"},
	} {
		list = append(list, attack{
			number: hook.number, title: hook.title, want: refused,
			spec: "hooks: [{hookName: createContainer, path: " + hook.path + "}]",
		})
	}
	return append(list,
		attack{
			number: "S05", title: "CVE-2024-0136: hook of a Spec is a program of the image", want: refused,
			gap:   "issue 13.3: mounts are checked for that, hooks are not",
			spec:  "hooks: [{hookName: createContainer, path: ROOT/bin/hook}]",
			plant: func(s *scene) { s.image("/bin/hook", "#!/bin/sh\ntouch "+s.outside("ran")+"\n", 0o755) },
		},
		attack{
			number: "S30", title: "CVE-2021-20206: delegate is a path that climbs", want: refused,
			asks: "driver=nvidia.runtime-hook",
			plant: func(s *scene) {
				s.write("config.toml", strings.Replace(s.Host.Config(), "/bin/nvidia-container-runtime-hook",
					"/bin/../../../bin/true", 1))
			},
		},
	)
}

// descriptorAttack lets the hook inherit descriptors of host directories.
func descriptorAttack() attack {
	a := showing("S17", "CVE-2024-21626: inherited descriptors and directory reach a hook",
		`pwd; for fd in /proc/$$/fd/*; do readlink "$fd"; done`, func(s *scene, stage string, words []string) {
			s.t.Helper()
			want := map[string]string{"createRuntime": s.bundle, "createContainer": "/"}[stage]
			if len(words) == 0 || words[0] != want {
				s.errorf("%s runs in %q, not in %s", stage, words, want)
				return
			}
			for _, file := range words[1:] {
				own := strings.HasPrefix(file, "pipe:") || strings.HasPrefix(file, "socket:") ||
					file == "/dev/null" || file == s.Host.Path("bin/hook") || file == s.log()
				if !own {
					s.errorf("%s has a descriptor of %s", stage, file)
				}
			}
		})
	plant := a.plant
	a.plant = func(s *scene) {
		plant(s)
		for range 20 {
			file, err := os.Open(s.outside(""))
			s.must(err)
			s.t.Cleanup(func() { _ = file.Close() })
			s.files = append(s.files, file)
		}
	}
	return a
}

// capabilityAttack runs the hook with inheritable and ambient capabilities, as an old runtime may.
func capabilityAttack() attack {
	a := showing("S22", "CVE-2022-24769: inheritable and ambient capabilities reach a hook",
		`while read -r name value; do case $name in CapInh:|CapAmb:) echo "$value";; esac; done </proc/self/status`,
		func(s *scene, stage string, words []string) {
			s.t.Helper()
			for _, word := range words {
				if strings.Trim(word, "0") != "" {
					s.errorf("%s has %v", stage, words)
				}
			}
		})
	plant := a.plant
	a.plant = func(s *scene) {
		plant(s)
		s.prefix = append([]string{
			require.Program(s.t, "setpriv"), "--inh-caps", "+chown,+setuid", "--ambient-caps", "+chown,+setuid",
		}, s.prefix...)
	}
	return a
}

// namespaceAttack looks at the namespaces in which a hook runs.
func namespaceAttack() attack {
	return showing("S06", "CVE-2024-0137: a hook runs in namespaces of the host",
		`for n in net ipc uts mnt pid; do readlink /proc/self/ns/$n; done`, func(s *scene, stage string, words []string) {
			s.t.Helper()
			for i, name := range []string{"net", "ipc", "uts", "mnt", "pid"} {
				host, err := os.Readlink("/proc/self/ns/" + name)
				s.must(err)
				// Nothing of ours is ever in the container's pid namespace, where it could be looked into.
				inside := stage == "createContainer" && name != "pid"
				if i >= len(words) || (words[i] != host) != inside {
					s.errorf("%s runs in %v; the host has %s", stage, words, host)
				}
			}
		})
}

// probes is what the container's processes do meanwhile: they look into every process that they see.
const probes = `for p in /proc/[0-9]*; do
	for f in "$p"/fd/* "$p/exe" "$p/cwd" "$p/root"; do
		case $(readlink "$f" 2>/dev/null) in *gpu-hook*|*/host/*) echo "seen $f";; esac
	done
	(: >>"$p/exe") 2>/dev/null && echo "opened $p"
done
`

// proberAttack has a process of the container look for gpu-hook and its hooks while they run.
func proberAttack() attack {
	return attack{
		number: "S13", title: "CVE-2016-9962: a process of the container looks into the joining one", want: contained,
		spec:   "hooks: [{hookName: createContainer, path: HOST/bin/hook, args: [hook]}]",
		plant:  func(s *scene) { s.program("bin/hook", "echo begun >>LOG; sleep 0.5; echo ended >>LOG") },
		run:    func(s *scene) result { return s.probed() },
		venues: []string{direct},
		check: func(s *scene, _ result) {
			if got := s.readLog(); got != "begun\nended\n" {
				s.errorf("the hook: %s", got)
			}
		},
	}
}

// busyAttack has a process of the container write to the executable of a host program that runs in its namespaces.
func busyAttack() attack {
	return attack{
		number: "S04", title: "CVE-2019-5736, CVE-2024-0135: a host program is overwritten while it runs", want: contained,
		spec: "hooks: [{hookName: createContainer, path: HOST/bin/busybox, args: [sleep, '0.5']}]",
		plant: func(s *scene) {
			data, err := os.ReadFile(require.Program(s.t, "busybox"))
			s.must(err)
			s.must(s.Host.Write("bin/busybox", string(data), 0o755))
		},
		run:    func(s *scene) result { return s.probed() },
		venues: []string{direct},
	}
}

// probed starts the container while a process in its namespaces probes.
func (s *scene) probed() result {
	s.t.Helper()
	seen := make(chan string, 1)
	s.held = func() {
		prober := exec.Command(require.Program(s.t, "nsenter"), "--target", strconv.Itoa(s.pid), "--mount", "--pid",
			"--net", "--ipc", "--uts", "--", "chroot", s.rootfs(""), "/bin/sh", "-c",
			"for i in 1 2 3 4 5 6 7 8; do\n"+probes+"echo probed\nsleep 0.1\ndone")
		prober.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		go func() {
			out, _ := prober.CombinedOutput()
			seen <- string(out)
		}()
	}
	r := s.start()
	out := <-seen
	if !strings.Contains(out, "probed") || strings.Contains(out, "seen") || strings.Contains(out, "opened /proc/") &&
		strings.Contains(out, s.Host.Dir) {
		s.errorf("the container's process: %s", out)
	}
	return r
}

// imagePrograms are attacks by files of the image that a program of the host might run, load or read.
func imagePrograms() []attack {
	ldcache := "hooks: [{hookName: createContainer, path: HOST/bin/nvidia-cdi-hook, timeout: 3, " +
		"args: [nvidia-cdi-hook, update-ldcache, --folder, " + libraries + "]}]"
	list := []attack{
		{
			number: "S09", title: "CVE-2025-23267: ld.so.cache and ld.so.conf.d are links out", want: either,
			spec: mountOn(library) + "\n" + ldcache,
			plant: func(s *scene) {
				s.vendor()
				s.symlink(s.outside("ld.so.cache"), "/etc/ld.so.cache")
				s.symlink(s.outside("empty"), "/etc/ld.so.conf.d")
			},
		},
		{
			number: "S09", title: "CVE-2025-23267: /proc is a link out, under the vendor's hook", want: either,
			spec: mountOn(library) + "\n" + ldcache,
			plant: func(s *scene) {
				s.vendor()
				s.symlink(s.outside(""), "/proc")
			},
		},
		{
			number: "S09", title: "CVE-2025-23267: ld.so.conf has 100,000 lines and includes itself", want: either,
			spec: mountOn(library) + "\n" + ldcache,
			plant: func(s *scene) {
				s.vendor()
				s.image("/etc/ld.so.conf", strings.Repeat("/nowhere\n", 100_000)+"include /etc/ld.so.conf\n", 0o644)
			},
			check: func(s *scene, r result) {
				if r.took > 20*time.Second {
					s.errorf("it took %s", r.took)
				}
			},
		},
		{
			number: "S27", title: "CVE-2022-1227: the image has programs of the names that are run", want: contained,
			spec: mountOn(library) + "\n" + ldcache + "\n",
			plant: func(s *scene) {
				s.vendor()
				for _, name := range []string{
					"/sbin/ldconfig", "/usr/sbin/ldconfig", "/sbin/ldconfig.real", "/usr/bin/nsenter", "/bin/nsenter",
					"/usr/bin/nvidia-cdi-hook", "/usr/bin/nvidia-ctk", "/usr/bin/sh", "/usr/bin/nvidia-container-cli",
				} {
					s.image(name, "#!/bin/sh\n: >/ran\n: >"+s.outside("ran")+"\n", 0o755)
				}
			},
			script: `[ -e /ran ] && echo "an image's program ran"`,
			check: func(s *scene, r result) {
				if _, err := os.Lstat(s.rootfs("/ran")); err == nil || strings.Contains(r.stdout, "an image's program ran") {
					s.errorf("a program of the image was run")
				}
			},
		},
		{
			number: "S29", title: "CVE-2019-14271: the image's nsswitch.conf and libnss are loaded", want: contained,
			plant: func(s *scene) {
				s.image("/etc/nsswitch.conf", "passwd: evil\ngroup: evil\nhosts: evil\n", 0o644)
				for _, dir := range []string{"/lib", "/usr/lib", "/lib64", libraries} {
					s.image(dir+"/libnss_evil.so.2", "no library", 0o755)
				}
				s.traced("trace=open,openat,openat2,execve")
			},
			check: loadsNothing,
		},
	}
	return append(list, readAttacks()...)
}

// traced makes strace write the hook's system calls to the log. The hook stays the runtime's child.
func (s *scene) traced(options ...string) {
	s.t.Helper()
	argv := []string{require.Program(s.t, "strace"), "-D", "-f", "-qq", "-o", s.log()}
	for _, o := range options {
		argv = append(argv, "-e", o)
	}
	s.prefix = append(argv, s.prefix...)
}

// loadsNothing checks that the binary is static and opens no library and no database of users.
func loadsNothing(s *scene, _ result) {
	s.t.Helper()
	binary, err := elf.Open(s.Host.Path("bin/gpu-hook"))
	s.must(err)
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			s.errorf("the binary has a %s", p.Type)
		}
	}
	for line := range strings.Lines(s.readLog()) {
		// The wrapper that takes openat2 away is a program of the test.
		for _, word := range []string{"nsswitch", "libnss", "/etc/passwd", "/etc/group", "ld.so"} {
			if strings.Contains(line, word) {
				s.errorf("it opens %s", line)
			}
		}
	}
}

// readAttacks put what cannot be read in the place of each file that could be read in the root filesystem.
func readAttacks() (list []attack) {
	files := []string{
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
		"/usr/local/cuda/compat/libcuda.so.999.1", "/usr/local/cuda/version.json",
	}
	for _, kind := range []struct {
		name string
		make func(path string) error
	}{
		{"sparse, 2 GiB", func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 2<<30))
		}},
		{"a FIFO", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		{"a socket", func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) }},
		{"a device", func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) }},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o755) }},
	} {
		list = append(list, attack{
			number: "S25", title: "CVE-2025-4437: files of the image are each " + kind.name, want: refused,
			edit: func(b *gpuhost.Bundle) { b.Env = []string{"NVIDIA_REQUIRE_CUDA=cuda>=99.0"} },
			plant: func(s *scene) {
				for _, file := range files {
					s.must(os.MkdirAll(filepath.Dir(s.rootfs(file)), 0o755))
					if err := kind.make(s.rootfs(file)); err != nil {
						s.t.Fatalf("%s: %v", file, err)
					}
				}
			},
			check: func(s *scene, r result) {
				// What the test itself has had in memory counts for the programs that it starts: less cannot be told apart.
				var own unix.Rusage
				s.must(unix.Getrusage(unix.RUSAGE_SELF, &own))
				if r.memory > max(64<<10, own.Maxrss) {
					s.errorf("the hook took %d KiB", r.memory)
				}
				if s.venue.name == direct && r.took > 10*time.Second {
					s.errorf("it took %s", r.took)
				}
			},
		})
	}
	return list
}
