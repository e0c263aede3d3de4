package checkup

import (
	"regexp"
	"strings"
)

// moreHosts are hosts on which two parts do not fit each other, and hosts that look like such ones.
func moreHosts() []broken {
	refresh := tree{
		"/usr/lib/systemd/system/nvidia-cdi-refresh.path": "[Unit]\n",
		enabled: "link /usr/lib/systemd/system/nvidia-cdi-refresh.path",
	}
	numbers := func(uvm string) tree {
		return healthy().with(tree{
			"/proc/devices": "Character devices:\n195 nvidia\n" + uvm + " nvidia-uvm\n\nBlock devices:\n  8 sd\n",
		})
	}
	nvidiaOf := func(driver string) tree {
		return amdHost().with(tree{
			"/sys/bus/pci/devices/0000:01:00.0/class": "0x030000", "/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de",
			"/sys/bus/pci/devices/0000:01:00.0/driver": driver,
		})
	}
	beside := func(text string) tree { return healthy().with(tree{sharedDir + "/x.json": text}) }
	whole := spec(loaded, common(), 0, 1)
	hooked := func(program string) string {
		return spec(loaded, common(), 0, 1) + "  hooks:\n  - {hookName: createContainer, path: " + program +
			", args: [a, b]}\n"
	}
	conditional := func(pattern string) string {
		return `{"version": "1.0.0", "hook": {"path": "/usr/bin/podman"}, "when": {"commands": ["` + pattern + `"]}, ` +
			`"stages": ["prestart"]}`
	}
	const off = "mv " + sharedDir + "/x.json " + sharedDir + "/x.json.off"
	definition := func(old, new string) tree {
		const file = podmanDir + "/gpu-hook.json"
		return healthy().with(tree{file: strings.Replace(healthy()[file], old, new, 1)})
	}
	return []broken{
		{
			name:  "the Spec's directory is anybody's",
			tree:  healthy().with(tree{"/etc/cdi": "dir 777"}),
			cause: "CDI Spec rejected: /etc/cdi: not trusted", fix: "chmod go-w /etc/cdi",
		},
		{
			name:  "the Spec is in a directory below",
			tree:  healthy().with(tree{specFile: "", "/etc/cdi/nvidia/gpu.yaml": spec(loaded, common(), 0, 1)}),
			cause: "/etc/cdi/nvidia/gpu.yaml is not read", fix: "mv /etc/cdi/nvidia/gpu.yaml /etc/cdi/",
		},
		{
			name:  "the Spec is where another tool put it",
			tree:  healthy().with(tree{specFile: "", "/usr/share/cdi/nvidia.yaml": spec(loaded, common(), 0, 1)}),
			cause: "/usr/share/cdi/nvidia.yaml is not read", fix: "mv /usr/share/cdi/nvidia.yaml /etc/cdi/",
		},
		{
			name: "a Spec of another tool beside",
			tree: healthy().with(tree{"/usr/share/cdi/nvidia.yaml": spec(loaded, common(), 0, 1)}),
		},
		{
			name: "the kind is misspelt",
			tree: healthy().with(tree{specFile: strings.Replace(spec(loaded, common(), 0, 1), "nvidia.com/gpu",
				"nvidia.com/gpus", 1)}),
			cause: "no CDI Spec defines nvidia.com/gpu", fix: "nvidia-ctk cdi generate --output=/etc/cdi/nvidia-gpu.yaml",
		},
		{
			name: "nvidia_uvm is not loaded, and NVIDIA's hook loads it",
			tree: healthy().with(tree{
				specFile: "", "/dev/nvidia-uvm": "", "/sys/module/nvidia_uvm/version": "",
				"/usr/bin/nvidia-container-runtime-hook": program, "/usr/bin/nvidia-container-cli": program,
			}),
			cause: "/dev/nvidia-uvm is missing", fix: "nvidia-modprobe -u -c=0", warns: true,
		},
		{
			name: "healthy, with the driver in a container",
			tree: healthy().with(tree{
				specFile: regexp.MustCompile(`path: /dev/(\S+)`).ReplaceAllString(whole,
					"{path: /dev/$1, hostPath: /run/nvidia/driver/dev/$1}"),
				"/dev/nvidia-uvm": "", "/dev/nvidia0": "", "/dev/nvidia1": "", "/dev/nvidiactl": "",
				"/run/nvidia/driver/dev/nvidia0": "node c 195 0 666 0:0", "/run/nvidia/driver/dev/nvidia1": "node c 195 1 666 0:0",
				"/run/nvidia/driver/dev/nvidiactl":  "node c 195 255 666 0:0",
				"/run/nvidia/driver/dev/nvidia-uvm": "node c 510 0 666 0:0",
			}),
		},
		{
			name: "the binary is not a program", tree: healthy().with(tree{"/usr/local/bin/gpu-hook": "mode 755 0:0 text"}),
			cause: "/usr/local/bin/gpu-hook is not a program", fix: "gpu-hook install",
		},
		{
			name: "the binary's file system is noexec",
			tree: healthy().with(tree{
				"/proc/mounts": "overlay / overlay rw 0 0\n/dev/sdb /usr/local ext4 rw,nosuid,noexec 0 0\n",
			}),
			cause: "/usr/local/bin/gpu-hook is on a file system that is mounted noexec",
			fix:   "gpu-hook install --bin-dir /usr/bin",
		},
		{
			name:  "the Spec's hook is gone",
			tree:  healthy().with(tree{specFile: hooked("/opt/bin/nvidia-cdi-hook")}),
			cause: specFile + " runs /opt/bin/nvidia-cdi-hook, which is not installed",
			fix:   "nvidia-ctk cdi generate --output=" + specFile,
		},
		{
			name:  "the Spec's hook is gone, and so is the tool",
			tree:  healthy().with(tree{specFile: hooked("/usr/bin/nvidia-cdi-hook"), "/usr/bin/nvidia-ctk": ""}),
			cause: specFile + " runs /usr/bin/nvidia-cdi-hook, which is not installed",
			fix:   "apt-get install nvidia-container-toolkit-base",
		},
		{
			name: "a field of the Spec is misspelt",
			tree: healthy().with(tree{specFile: strings.ReplaceAll(whole, "    deviceNodes:\n    - ",
				"    devicenode:\n    - ")}),
			cause: "a container gets no GPU", fix: "nvidia-ctk cdi generate --output=" + specFile,
		},
		{
			name:  "the Spec names no index",
			tree:  healthy().with(tree{specFile: strings.NewReplacer(`"0"`, `"gpu0"`, `"1"`, `"gpu1"`).Replace(whole)}),
			cause: "names no GPU by its index", fix: "--device-name-strategy=index", warns: true,
		},
		{
			name:  "the service that generates the Spec has failed",
			tree:  healthy().with(refresh).with(tree{specFile: ""}),
			cause: "no CDI Spec defines nvidia.com/gpu", fix: "systemctl restart nvidia-cdi-refresh.service",
		},
		{
			name:  "nvidia_drm is not loaded",
			tree:  healthy().with(tree{specFile: spec(loaded, append(common(), "/dev/dri/renderD128"), 0, 1)}),
			cause: "/dev/dri/renderD128 is missing", fix: "modprobe nvidia-drm modeset=1",
		},
		{
			name: "the definition lacks the stage's word", tree: definition(`"createRuntime",`, ``),
			cause: "without the word createRuntime", fix: "gpu-hook install",
		},
		{
			name: "the definition gives no time", tree: definition(`"timeout": 60`, `"timeout": 2`),
			cause: "kills gpu-hook", fix: "gpu-hook install", warns: true,
		},
		{
			name: "the definition names other directories of Specs", tree: definition(`"gpu-hook",`,
				`"gpu-hook", "--cdi-spec-dir", "/opt/cdi",`),
			cause: "this check ran without", fix: "gpu-hook --cdi-spec-dir /opt/cdi doctor", warns: true,
		},
		{
			name:  "policy ignores all of the environment",
			tree:  healthy().with(tree{"/etc/gpu-hook/config.toml": "[requests]\nenv-all = \"ignore\"\n"}),
			cause: "NVIDIA_VISIBLE_DEVICES=all", fix: "env-all", warns: true,
		},
		{
			name:  "policy refuses the environment of containers without privileges",
			tree:  healthy().with(tree{"/etc/gpu-hook/config.toml": "[requests]\naccept-env-unprivileged = false\n"}),
			cause: "unless they are privileged", fix: "accept-env-unprivileged = true", warns: true,
		},
		{
			name: "healthy, with GPUs of AMD's, and one of NVIDIA's for virtual machines",
			tree: nvidiaOf("link ../drivers/vfio-pci"),
		},
		{name: "healthy, with the numbers of the driver's nodes", tree: numbers("510")},
		{
			name:  "a definition of an unknown stage beside",
			tree:  beside(`{"version": "1.0.0", "hook": {"path": "/usr/bin/podman"}, "when": {}, "stages": ["before"]}`),
			cause: `stage "before" is not known`, fix: off,
		},
		{
			name:  "a definition of a broken pattern beside",
			tree:  beside(conditional("(")),
			cause: `the pattern "(" of commands is not a regular expression`, fix: off,
		},
		{
			name: "definitions beside that do no harm",
			tree: beside(conditional("^a")).with(tree{
				sharedDir + "/y.json": `{"hook": "/usr/bin/podman", "stages": ["prestart"], "cmds": [".*"]}`,
			}),
		},
		{
			name:  "a definition of an unknown version beside",
			tree:  beside(`{"version": "2.0.0", "hook": {"path": "/usr/bin/podman"}, "stages": ["prestart"]}`),
			cause: `version "2.0.0" is not known`, fix: off,
		},
		{
			name: "GPUs of AMD's, and one of NVIDIA's without a driver", tree: nvidiaOf(""),
			cause: "NVIDIA's driver is not loaded", fix: "apt-get install nvidia-driver", warns: true,
		},
		{
			name: "a node is of an earlier load of the driver", tree: numbers("509"),
			cause: "/dev/nvidia-uvm has the number 510:0, but the loaded driver has the major number 509",
			fix:   "rm /dev/nvidia-uvm && nvidia-modprobe -u -c=0",
		},
		{
			name:  "AMD's driver is not loaded, and its GPUs' nodes are gone",
			tree:  amdHost().with(tree{"/dev/kfd": "", "/dev/dri/renderD128": "", "/sys/module/amdgpu/x": ""}),
			cause: "is missing on this host", fix: "modprobe amdgpu",
		},
		{
			name: "a unit may start before the Spec is generated",
			tree: healthy().with(refresh).with(tree{
				specFile: "", "/run/cdi/nvidia.yaml": spec(loaded, common(), 0, 1),
				"/etc/containers/systemd/train.container": "[Container]\nImage=train\nAnnotation=gpu-hook/gpus=all\n",
				"/etc/containers/systemd/web.container":   "[Container]\nImage=web\n",
			}),
			cause: "/etc/containers/systemd/train.container may start before", fix: "After=nvidia-cdi-refresh.service",
			warns: true,
		},
		{
			name: "units that wait for the Spec",
			tree: healthy().with(refresh).with(tree{
				specFile: "", "/run/cdi/nvidia.yaml": spec(loaded, common(), 0, 1),
				"/etc/containers/systemd/train.container": "[Unit]\nAfter=nvidia-cdi-refresh.service\n" +
					"[Container]\nAnnotation=gpu-hook/gpus=all\n",
			}),
		},
	}
}
