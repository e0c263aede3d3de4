package checkup

import (
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
)

func healthyHosts() []broken {
	return []broken{
		{name: "healthy", tree: healthy()},
		{name: "healthy, asked about podman alone", tree: healthy(), engine: "podman"},
		{name: "healthy, without a tool that fixes anything", tree: healthy().with(tree{
			"/usr/bin/nvidia-ctk": "", "/usr/bin/nvidia-modprobe": "", "/usr/bin/systemctl": "",
		})},
		{name: "healthy, with CRI-O", tree: healthy().with(tree{
			"/usr/bin/podman": "", "/usr/bin/crio": program,
			"/etc/crio/crio.conf": "[crio.runtime]\nhooks_dir = [\"" + sharedDir + "\"]\n",
		})},
		{name: "healthy, with podman without a configuration", tree: healthy().with(tree{
			dropIn: "", "/etc/containers/containers.conf": "",
			sharedDir + "/gpu-hook-precreate.json": healthy()[podmanDir+"/gpu-hook-precreate.json"],
		})},
		{name: "healthy, with an appended list of directories", tree: healthy().with(tree{
			dropIn: "[engine]\nhooks_dir = [\"" + podmanDir + "\", {append = true}]\n",
		})},
		{name: "healthy, with an old copy of the Spec", tree: healthy().with(tree{
			specFile + ".bak": spec("570.0.0", common(), 0),
		})},
		{name: "healthy, with SELinux that lets containers use devices", tree: healthy().with(tree{
			"/sys/fs/selinux/enforce": "1", "/sys/fs/selinux/booleans/container_use_devices": "1 1",
		})},
		{name: "healthy, with the Spec in memory and the service that generates it", tree: healthy().with(tree{
			specFile: "", "/run/cdi/nvidia.yaml": spec(loaded, common(), 0, 1),
			"/usr/lib/systemd/system/nvidia-cdi-refresh.path": "[Unit]\n",
			enabled: "link /usr/lib/systemd/system/nvidia-cdi-refresh.path",
		})},
		{name: "healthy, with NVIDIA's own hook in the place of a Spec", tree: healthy().with(tree{
			specFile: "", "/usr/bin/nvidia-container-runtime-hook": program, "/usr/bin/nvidia-container-cli": program,
		})},
		{name: "healthy, with GPUs of AMD's", tree: amdHost()},
		{name: "healthy, with a GPU that its driver leaves alone", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": gpu(1) + "GPU Excluded:\t Yes\n",
			"/sys/bus/pci/devices/0000:02:00.0/config":          "\xde\x10\x30\x23",
		})},
		{name: "healthy, with a GPU that the Spec leaves out on purpose", tree: healthy().with(tree{
			specFile: spec(loaded, common(), 0), "/etc/gpu-hook/config.toml": "[cdi]\non-incomplete = \"ignore\"\n",
		})},
		{name: "healthy, with NVIDIA's hook of a safe version", tree: toolkitHost("1.19.1-1")},
	}
}

func amdHost() tree {
	return machine().with(tree{
		"/dev/kfd": "node c 234 0 666 0:105", "/dev/dri/renderD128": "node c 226 128 666 0:105",
		"/sys/module/amdgpu/x": "1",
		"/etc/cdi/amd.json": `{"cdiVersion": "0.5.0", "kind": "amd.com/gpu", "devices": [{"name": "0", "containerEdits":
 {"deviceNodes": [{"path": "/dev/kfd"}, {"path": "/dev/dri/renderD128"}]}}]}`,
	})
}

// intelHost is a host whose Spec has a GPU of Intel's that is gone.
func intelHost(changes tree) tree {
	return machine().with(tree{
		"/dev/dri/renderD128": "node c 226 128 666 0:105", "/sys/module/xe/x": "1",
		"/etc/cdi/intel.yaml": "cdiVersion: \"0.5.0\"\nkind: intel.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n" +
			"    deviceNodes:\n    - path: /dev/dri/renderD129\n",
	}).with(changes)
}

// toolkitHost is a host with NVIDIA's hook of this version of its package.
func toolkitHost(version string) tree {
	return healthy().with(tree{
		"/usr/bin/nvidia-container-runtime-hook": program, "/usr/bin/nvidia-container-cli": program,
		"/var/lib/dpkg/status": "Package: nvidia-container-toolkit\nStatus: install ok installed\nVersion: " + version + "\n",
	})
}

func engineHosts() []broken {
	const site = "/etc/containers/containers.conf.d/99-site.conf"
	const admin = "/etc/containers/oci/hooks.d"
	other := `{"version": "1.0.0", "hook": {"path": "/usr/bin/nvidia-container-runtime-hook"}, "when": {"always": true},
 "stages": ["prestart"]}`
	changed := func(old, new string) string {
		return strings.Replace(healthy()[podmanDir+"/gpu-hook.json"], old, new, 1)
	}
	crio := healthy().with(tree{"/usr/bin/podman": "", "/usr/bin/crio": program})
	return []broken{
		{name: "not installed", tree: healthy().with(tree{
			sharedDir + "/gpu-hook.json": "", podmanDir + "/gpu-hook.json": "", podmanDir + "/gpu-hook-precreate.json": "",
			dropIn: "",
		}), cause: "podman never calls gpu-hook", fix: "gpu-hook install"},
		{name: "a later drop-in names other directories", tree: healthy().with(tree{
			site: "[engine]\nhooks_dir = [\"" + admin + "\"]\n",
		}), cause: "podman never calls gpu-hook", fix: "gpu-hook install --engine podman --hooks-dir " + admin},
		{name: "a later drop-in names no directory", tree: healthy().with(tree{
			site: "[engine]\nhooks_dir = []\n",
		}), cause: "podman never calls gpu-hook", fix: "/etc/containers/containers.conf.d/zz-gpu-hook.conf"},
		{name: "podman's configuration is broken", tree: healthy().with(tree{
			site: "[engine]\nhooks_dir = [\n",
		}), cause: "podman does not start: " + site},
		{name: "the definition is masked", tree: healthy().with(tree{
			dropIn:                   "[engine]\nhooks_dir = [\"" + podmanDir + "\", \"" + admin + "\"]\n",
			admin + "/gpu-hook.json": changed("/usr/local/bin/gpu-hook", "/usr/bin/podman"),
		}), cause: admin + "/gpu-hook.json takes the place of " + podmanDir + "/gpu-hook.json"},
		{name: "the definition's name is changed", tree: healthy().with(tree{
			dropIn: "", sharedDir + "/gpu-hook.json": "",
			sharedDir + "/gpu-hook.json.rpmsave": healthy()[sharedDir+"/gpu-hook.json"],
		}), cause: "podman never calls gpu-hook", fix: "mv " + sharedDir + "/gpu-hook.json.rpmsave " + sharedDir +
			"/gpu-hook.json"},
		{name: "the definition matches nothing", tree: healthy().with(tree{
			podmanDir + "/gpu-hook.json": changed(`"always": true`, `"always": false`),
		}), cause: "holds for no container", fix: "gpu-hook install"},
		{name: "the definition matches some containers", tree: healthy().with(tree{
			podmanDir + "/gpu-hook.json": changed(`"always": true`, `"annotations": {"^gpu$": "yes"}`),
		}), cause: "only for some containers", fix: "gpu-hook install", warns: true},
		{
			name: "the binary is gone", tree: healthy().with(tree{"/usr/local/bin/gpu-hook": ""}),
			cause: "/usr/local/bin/gpu-hook", fix: "gpu-hook install",
		},
		{
			name: "the binary is not executable", tree: healthy().with(tree{"/usr/local/bin/gpu-hook": "text"}),
			cause: "it is not executable", fix: "gpu-hook install",
		},
		{
			name:  "others may write the binary",
			tree:  healthy().with(tree{"/usr/local/bin/gpu-hook": "mode 777 0:0 #!/bin/sh\n"}),
			cause: "writable by group or others", fix: "gpu-hook install",
		},
		{
			name: "a broken definition beside", tree: healthy().with(tree{sharedDir + "/x.json": "{nonsense"}),
			cause: sharedDir + "/x.json: ", fix: "mv " + sharedDir + "/x.json " + sharedDir + "/x.json.off",
		},
		{
			name: "NVIDIA's hook beside", tree: healthy().with(tree{sharedDir + "/oci-nvidia-hook.json": other}),
			cause: "beside gpu-hook", fix: "rm " + sharedDir + "/oci-nvidia-hook.json", warns: true,
		},
		{name: "CRI-O reads other directories", tree: crio.with(tree{
			"/etc/crio/crio.conf.d/10-hooks.conf": "[crio.runtime]\nhooks_dir = [\"" + admin + "\"]\n",
		}), cause: "cri-o never calls gpu-hook", fix: "gpu-hook install --engine crio --hooks-dir " + admin},
		{name: "CRI-O reads podman's stage", tree: crio.with(tree{
			sharedDir + "/gpu-hook-precreate.json": healthy()[podmanDir+"/gpu-hook-precreate.json"],
		}), cause: "beside which CRI-O does not start", fix: "mv " + sharedDir + "/gpu-hook-precreate.json " + podmanDir},
		{name: "CRI-O is asked about, and podman is there", tree: healthy().with(tree{
			"/etc/crio/crio.conf": "[crio.runtime]\nhooks_dir = []\n",
		}), engine: "cri-o", cause: "cri-o never calls gpu-hook", fix: "/etc/crio/crio.conf.d/99-zz-gpu-hook.conf"},
		{name: "policy lists no source", tree: healthy().with(tree{
			"/etc/gpu-hook/config.toml": "[requests]\nsources = []\n",
		}), cause: "cannot ask for devices at all", fix: "sources = ["},
		{name: "policy closes the environment", tree: healthy().with(tree{
			"/etc/gpu-hook/config.toml": "[engines.podman]\nsources = [\"annotation\"]\n",
		}), cause: "cannot ask by annotations cdi.k8s.io/*, mounts, environment", fix: "[engines.podman]", warns: true},
	}
}

func driverHosts() []broken {
	noGPUs := tree{
		"/proc/driver/nvidia/gpus/0000:01:00.0/information": "", "/proc/driver/nvidia/gpus/0000:02:00.0/information": "",
	}
	unloaded := noGPUs.with(tree{
		"/proc/driver/nvidia/gpus/0000:01:00.0/information": "", "/proc/driver/nvidia/gpus/0000:02:00.0/information": "",
	})
	for _, path := range []string{
		"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm", "/sys/module/nvidia/version",
		"/sys/module/nvidia_uvm/version",
	} {
		unloaded[path] = ""
	}
	off := func(t tree) tree {
		t = healthy().with(t)
		for path := range unloaded {
			delete(t, path)
		}
		return t
	}
	lost := healthy().with(tree{"/proc/driver/nvidia/gpus": "dir", "/dev/nvidia0": "", "/dev/nvidia1": ""}).with(noGPUs)
	delete(lost, "/proc/driver/nvidia/gpus/0000:01:00.0/information")
	delete(lost, "/proc/driver/nvidia/gpus/0000:02:00.0/information")
	installed := "580.95.05"
	return []broken{
		{name: "no GPU", tree: machine(), cause: "this host has no GPU to give"},
		{
			name: "the driver is not loaded", tree: off(nil), cause: "NVIDIA's driver is not loaded",
			fix: "nvidia-modprobe -u -c=0",
		},
		{
			name: "the driver is not loaded, without nvidia-modprobe", tree: off(tree{"/usr/bin/nvidia-modprobe": ""}),
			cause: "NVIDIA's driver is not loaded", fix: "modprobe nvidia && modprobe nvidia-uvm",
		},
		{name: "the driver is not installed", tree: off(tree{
			"/lib/modules/6.1.0/modules.dep": "", specFile: "", libraries + "libcuda.so." + loaded: "",
			libraries + "libnvidia-ml.so." + loaded: "",
		}), cause: "NVIDIA's driver is not loaded", fix: "apt-get install nvidia-driver && systemctl reboot"},
		{
			name: "the module is not built for this kernel", tree: off(tree{"/lib/modules/6.1.0/modules.dep": "kernel/x.ko:\n"}),
			cause: "NVIDIA's driver is not loaded", fix: "dkms autoinstall",
		},
		{name: "nouveau has the GPU", tree: off(tree{
			"/sys/bus/pci/devices/0000:01:00.0/driver": "link ../drivers/nouveau", "/sys/module/nouveau/x": "1",
		}), cause: "NVIDIA's driver is not loaded", fix: "blacklist nouveau"},
		{name: "the driver was updated and not loaded", tree: healthy().with(tree{
			libraries + "libcuda.so." + loaded: "", libraries + "libnvidia-ml.so." + loaded: "",
			libraries + "libcuda.so." + installed: "a library", libraries + "libnvidia-ml.so." + installed: "a library",
		}), cause: "still runs NVIDIA's driver 580.65.06", fix: reboot},
		{name: "the driver was updated, the Spec was not", tree: healthy().with(tree{
			libraries + "libcuda.so." + loaded: "", libraries + "libnvidia-ml.so." + loaded: "",
			libraries + "libcuda.so." + installed: "a library", libraries + "libnvidia-ml.so." + installed: "a library",
			"/sys/module/nvidia/version": installed + "\n",
		}), cause: "was written for driver 580.65.06, this host runs 580.95.05", fix: "nvidia-ctk cdi generate --output=" +
			specFile},
		{name: "all GPUs are off the bus", tree: lost, cause: "serves no GPU", fix: reboot},
		{name: "one GPU is off the bus", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": "", "/dev/nvidia1": "",
			"/sys/bus/pci/devices/0000:02:00.0/driver": "",
		}), cause: "does not serve the GPU of /dev/nvidia1", fix: reboot},
		{name: "one GPU is off the bus, and its node has stayed", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": "", "/sys/bus/pci/devices/0000:02:00.0/driver": "",
			"/sys/bus/pci/devices/0000:02:00.0/class": "", "/sys/bus/pci/devices/0000:02:00.0/vendor": "",
		}), cause: "the GPU of /dev/nvidia1 is gone, and its node has stayed", fix: reboot},
		{name: "the first GPU has lost its driver, and its node has stayed", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:01:00.0/information": "", "/sys/bus/pci/devices/0000:01:00.0/driver": "",
		}), cause: "the GPU of /dev/nvidia0 is gone, and its node has stayed", fix: reboot},
		{name: "one GPU does not answer on the bus", tree: healthy().with(tree{
			"/sys/bus/pci/devices/0000:02:00.0/config": "\xff\xff\xff\xff\xff\xff",
		}), cause: "the GPU of /dev/nvidia1 is gone, and its node has stayed", fix: reboot},
		{name: "a GPU was taken out", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": "", "/dev/nvidia1": "",
			"/sys/bus/pci/devices/0000:02:00.0/driver": "", "/sys/bus/pci/devices/0000:02:00.0/class": "",
			"/sys/bus/pci/devices/0000:02:00.0/vendor": "",
		}), cause: specFile + " wants /dev/nvidia1, which this host lacks", fix: "nvidia-ctk cdi generate --output=" +
			specFile},
		{name: "a GPU fell off the bus without a trace", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": "", "/dev/nvidia1": "", "/proc/stat": "btime 1000000\n",
			"/sys/bus/pci/devices/0000:02:00.0/driver": "", "/sys/bus/pci/devices/0000:02:00.0/class": "",
			"/sys/bus/pci/devices/0000:02:00.0/vendor": "",
		}), cause: "the GPU of /dev/nvidia1 was there", fix: reboot},
		{
			name: "nvidia_uvm is not loaded", tree: healthy().with(tree{
				"/dev/nvidia-uvm":                "",
				"/sys/module/nvidia_uvm/version": "",
			}),
			cause: "/dev/nvidia-uvm is missing", fix: "nvidia-modprobe -u -c=0",
		},
		{name: "nvidia_uvm is not loaded, without nvidia-modprobe", tree: healthy().with(tree{
			"/dev/nvidia-uvm": "", "/sys/module/nvidia_uvm/version": "", "/usr/bin/nvidia-modprobe": "",
		}), cause: "/dev/nvidia-uvm is missing", fix: "modprobe nvidia-uvm && mknod -m 666 /dev/nvidia-uvm c"},
		{name: "nvidia_uvm is not loaded, and the Spec does without", tree: healthy().with(tree{
			"/dev/nvidia-uvm": "", "/sys/module/nvidia_uvm/version": "", specFile: spec(loaded, common()[:1], 0, 1),
		}), cause: "/dev/nvidia-uvm is missing", fix: "nvidia-modprobe -u -c=0"},
		{
			name: "a node was not made", tree: healthy().with(tree{"/dev/nvidia1": ""}),
			cause: "/dev/nvidia1 is missing", fix: "nvidia-modprobe -c=1",
		},
		{name: "the control node was not made, without nvidia-modprobe", tree: healthy().with(tree{
			"/dev/nvidiactl": "", "/usr/bin/nvidia-modprobe": "",
		}), cause: "/dev/nvidiactl is missing", fix: "mknod -m 666 /dev/nvidiactl c 195 255"},
		{
			name: "a node is a directory", tree: healthy().with(tree{"/dev/nvidia1": "dir"}),
			cause: "/dev/nvidia1 is a directory", fix: "rmdir /dev/nvidia1 && nvidia-modprobe -c=1",
		},
		{
			name: "a node is a link", tree: healthy().with(tree{"/dev/nvidia1": "link nvidia0"}),
			cause: "/dev/nvidia1 is a symbolic link", fix: "rm /dev/nvidia1 && nvidia-modprobe -c=1",
		},
		{
			name: "a node is another device", tree: healthy().with(tree{"/dev/nvidia1": "node c 1 3 666 0:0"}),
			cause: "/dev/nvidia1 has the number 1:3, which is that of another device",
			fix:   "rm /dev/nvidia1 && nvidia-modprobe -c=1",
		},
		{
			name: "libcuda is missing", tree: healthy().with(tree{libraries + "libcuda.so." + loaded: ""}),
			cause: "libcuda.so of the driver is not installed", fix: "apt-get install libcuda1",
		},
		{
			name: "libnvidia-ml is missing", tree: healthy().with(tree{libraries + "libnvidia-ml.so." + loaded: ""}),
			cause: "libnvidia-ml.so of the driver is not installed", fix: "apt-get install libnvidia-ml1",
		},
		{
			name: "nodes are closed", tree: healthy().with(tree{"/dev/nvidia0": "node c 195 0 600 0:0"}),
			cause: "rootless containers cannot open /dev/nvidia0", fix: "chmod 666 /dev/nvidia0", warns: true,
		},
		{
			name: "nodes are a group's", tree: healthy().with(tree{"/dev/nvidia0": "node c 195 0 660 0:44"}),
			cause: "only if their user is in the group video", fix: "usermod -aG video USER", warns: true,
		},
		{
			name: "a user is not in the group", tree: userHost(nil), user: true, alter: alice(nil, nil),
			cause: "alice cannot open /dev/nvidia0", fix: "usermod -aG video alice",
		},
		{
			name: "a user's login is older than the group", tree: userHost(nil), user: true, alter: alice(nil, []int{44}),
			cause: "only after this login", fix: "log out and in again",
		},
		{
			name: "a user's groups are not kept", tree: userHost(tree{"/usr/bin/crun": program}), user: true,
			alter: alice([]int{44}, []int{44}),
			cause: "only if they keep the groups of alice", fix: "--group-add keep-groups", warns: true,
		},
		{
			name: "a user has not installed",
			tree: userHost(tree{"/home/alice/.config/containers/oci/hooks.d/gpu-hook.json": ""}),
			user: true, alter: alice([]int{44}, nil), cause: "podman never calls gpu-hook", fix: "gpu-hook install --user",
		},
		{name: "SELinux is enforcing", tree: healthy().with(tree{
			"/sys/fs/selinux/enforce": "1", "/sys/fs/selinux/booleans/container_use_devices": "0 0",
		}), cause: "SELinux is enforcing", fix: "setsebool -P container_use_devices=true", warns: true},
		{
			name: "AMD's driver is not loaded", tree: amdHost().with(tree{"/dev/kfd": "", "/sys/module/amdgpu/x": ""}),
			cause: "/dev/kfd is missing", fix: "modprobe amdgpu",
		},
	}
}

func userHost(changes tree) tree {
	const dir = "/home/alice/.config/containers"
	return healthy().with(tree{
		"/dev/nvidia0": "node c 195 0 660 0:44",
		dir + "/containers.conf.d/50-gpu-hook.conf":  "[engine]\nhooks_dir = [\"" + dir + "/oci/hooks.d\"]\n",
		dir + "/oci/hooks.d/gpu-hook.json":           healthy()[podmanDir+"/gpu-hook.json"],
		dir + "/oci/hooks.d/gpu-hook-precreate.json": healthy()[podmanDir+"/gpu-hook-precreate.json"],
	}).with(changes)
}

// alice makes the user one of these groups.
func alice(groups, member []int) func(*host) {
	return func(h *host) {
		h.User = facts.User{Name: "alice", UID: 1000, Groups: groups, Member: member, GroupIDs: h.User.GroupIDs}
	}
}

// migInstance is where NVIDIA's driver tells of a MIG instance.
const migInstance = "/proc/driver/nvidia/capabilities/gpu0/mig/gi1"

// migHost is a host with a MIG instance.
func migHost() tree {
	capability := func(minor string) string {
		return "DeviceFileMinor: " + minor + "\nDeviceFileMode: 256\nDeviceFileModify: 1\n"
	}
	return healthy().with(tree{
		migInstance + "/access": capability("12"), migInstance + "/ci0/access": capability("13"),
		"/dev/nvidia-caps/nvidia-cap12": "node c 508 12 666 0:0", "/dev/nvidia-caps/nvidia-cap13": "node c 508 13 666 0:0",
		specFile: strings.Replace(spec(loaded, common(), 0, 1), "devices:\n", "devices:\n- name: \"0:0\"\n  "+
			"containerEdits:\n"+
			"    deviceNodes:\n    - path: /dev/nvidia0\n    - path: /dev/nvidia-caps/nvidia-cap12\n    - path: "+
			"/dev/nvidia-caps/nvidia-cap13\n", 1),
	})
}

func specHosts() []broken {
	const capabilities = migInstance
	mig := migHost()
	generate := "nvidia-ctk cdi generate --output=" + specFile
	return []broken{
		{
			name: "no Spec", tree: healthy().with(tree{specFile: ""}), cause: "no CDI Spec defines nvidia.com/gpu",
			fix: generate,
		},
		{
			name: "no Spec, without nvidia-ctk", tree: healthy().with(tree{specFile: "", "/usr/bin/nvidia-ctk": ""}),
			cause: "no CDI Spec defines nvidia.com/gpu", fix: "apt-get install nvidia-container-toolkit-base && " + generate,
		},
		{name: "no Spec, without nvidia-ctk, on Fedora", tree: healthy().with(tree{
			specFile: "", "/usr/bin/nvidia-ctk": "", "/etc/os-release": "ID=fedora\n",
		}), cause: "no CDI Spec defines nvidia.com/gpu", fix: "dnf install nvidia-container-toolkit-base && " + generate},
		{name: "the Spec's name has another ending", tree: healthy().with(tree{
			specFile: "", "/etc/cdi/nvidia.yml": spec(loaded, common(), 0, 1),
		}), cause: "/etc/cdi/nvidia.yml is not read", fix: "mv /etc/cdi/nvidia.yml " + specFile},
		{name: "the Spec is anybody's", tree: healthy().with(tree{
			specFile: "mode 666 0:0 " + spec(loaded, common(), 0, 1),
		}), cause: "writable by group or others", fix: "chmod go-w " + specFile},
		{name: "the Spec is another user's", tree: healthy().with(tree{
			specFile: "mode 644 1000:1000 " + spec(loaded, common(), 0, 1),
		}), cause: "it is owned by uid 1000", fix: "chown -h root:root " + specFile},
		{
			name: "the Spec cannot be parsed", tree: healthy().with(tree{specFile: "cdiVersion: \"0.5.0\"\nkind: " +
				"nvidia.com/gpu\ndevices: {\n"}),
			cause: "CDI Spec rejected: " + specFile, fix: generate,
		},
		{
			name: "the Spec is a link to nothing", tree: healthy().with(tree{specFile: "link nothing"}),
			cause: specFile + " is a symbolic link to a file that is not there", fix: "rm " + specFile + " && " + generate,
		},
		{name: "another vendor's Spec cannot be parsed", tree: healthy().with(tree{
			"/etc/cdi/acme.yaml": "cdiVersion: \"0.5.0\"\nkind: acme.com/npu\ndevices: {\n",
		}), cause: "CDI Spec rejected: /etc/cdi/acme.yaml", fix: "write it again with its vendor's tool"},
		{
			name: "two Specs define one name", tree: healthy().with(tree{"/etc/cdi/old.yaml": spec(loaded, common(), 0, 1)}),
			cause: "neither definition can be used", fix: "mv /etc/cdi/old.yaml /etc/cdi/old.yaml.off",
		},
		{
			name: "the Spec is in memory", tree: healthy().with(tree{specFile: "", "/run/cdi/nvidia.yaml": spec(loaded,
				common(), 0, 1)}),
			cause: "is on a tmpfs", fix: "mv /var/run/cdi/nvidia.yaml /etc/cdi/", warns: true,
		},
		{name: "the Spec is in memory, and the service is not enabled", tree: healthy().with(tree{
			specFile: "", "/run/cdi/nvidia.yaml": spec(loaded, common(), 0, 1),
			"/usr/lib/systemd/system/nvidia-cdi-refresh.path": "[Unit]\n",
		}), cause: "is on a tmpfs", fix: "systemctl enable --now nvidia-cdi-refresh", warns: true},
		{
			name: "the Spec does without nvidia-uvm", tree: healthy().with(tree{specFile: spec(loaded, common()[:1], 0, 1)}),
			cause: "without /dev/nvidia-uvm", fix: generate,
		},
		{
			name: "a GPU is in no Spec", tree: healthy().with(tree{specFile: spec(loaded, common(), 0)}),
			cause: "no CDI Spec has /dev/nvidia1", fix: generate, warns: true,
		},
		{name: "the Spec has the UUID of a GPU that was replaced", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": strings.Replace(gpu(1), uuid(1), uuid(7), 1),
		}), cause: "no GPU here has that UUID", fix: generate, warns: true},
		{name: "the Spec has the UUIDs of the GPUs the other way round", tree: healthy().with(tree{
			"/proc/driver/nvidia/gpus/0000:01:00.0/information": strings.Replace(gpu(0), uuid(0), uuid(1), 1),
			"/proc/driver/nvidia/gpus/0000:02:00.0/information": strings.Replace(gpu(1), uuid(1), uuid(0), 1),
		}), cause: "gives another GPU for GPU-", fix: generate},
		{name: "the numbers of a node have changed", tree: healthy().with(tree{
			specFile: strings.Replace(spec(loaded, common(), 0, 1), "/dev/nvidia-uvm\n", "/dev/nvidia-uvm\n    major: "+
				"509\n    minor: 0\n    type: c\n", 1),
		}), cause: "has /dev/nvidia-uvm as 509:0, on this host it is 510:0", fix: generate},
		{name: "healthy, with MIG", tree: mig},
		{name: "the nodes of MIG instances were not made", tree: mig.with(tree{
			"/dev/nvidia-caps/nvidia-cap12": "", "/dev/nvidia-caps/nvidia-cap13": "",
		}), cause: "is missing, which containers need for a MIG instance", fix: "nvidia-modprobe -f"},
		{name: "the MIG instances were changed", tree: mig.with(tree{
			capabilities + "/access": "", capabilities + "/ci0/access": "",
			"/dev/nvidia-caps/nvidia-cap12": "", "/dev/nvidia-caps/nvidia-cap13": "",
		}), cause: "the driver has no such capability now", fix: generate},
		{
			name: "MIG instances are in no Spec", tree: mig.with(tree{specFile: healthy()[specFile]}),
			cause: "no CDI Spec defines one", fix: generate, warns: true,
		},
		{
			name: "NVIDIA's hook has a vulnerability", tree: toolkitHost("1.19.0-1"), cause: "CVE-2026-24260",
			fix: "apt-get install --only-upgrade nvidia-container-toolkit", warns: true,
		},
		{
			name: "NVIDIA's hook has a vulnerability, on a host whose packages are not known", tree: toolkitHost(
				"1.19.1~rc.1-1").with(tree{"/etc/os-release": "ID=nixos\n"}), cause: "CVE-2026-24260",
			fix: "upgrade the package nvidia-container-toolkit to 1.19.1 or newer", warns: true,
		},
		{name: "a Spec runs a program with a vulnerability", tree: healthy().with(tree{
			specFile: spec(loaded, common(), 0, 1) + "  hooks:\n  - {hookName: createContainer, path: " +
				"/usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache]}\n",
			"/usr/bin/nvidia-cdi-hook": program,
			"/var/lib/dpkg/status": "Package: nvidia-container-toolkit-base\nStatus: install ok installed\nVersion: " +
				"1.17.8-1\n",
		}), cause: "/usr/bin/nvidia-cdi-hook is of version 1.17.8", fix: "apt-get install --only-upgrade " +
			"nvidia-container-toolkit-base", warns: true},
		{
			name: "Intel's Spec wants a node that is gone", tree: intelHost(nil),
			cause: "/etc/cdi/intel.yaml wants /dev/dri/renderD129", fix: "intel-cdi-specs-generator, of github.com/intel/",
		},
		{name: "Intel's Spec wants a node that is gone, and its generator is there", tree: intelHost(tree{
			"/usr/local/bin/intel-cdi-specs-generator": program,
		}), cause: "/etc/cdi/intel.yaml wants /dev/dri/renderD129", fix: "intel-cdi-specs-generator --cdi-dir=/etc/cdi gpu"},
		{name: "NVIDIA's hook lacks its program", tree: healthy().with(tree{
			specFile: "", "/usr/bin/nvidia-container-runtime-hook": program,
		}), cause: "no CDI Spec defines nvidia.com/gpu", fix: generate},
		{name: "NVIDIA's hook steps in for a stale Spec", tree: healthy().with(tree{
			specFile: spec("570.0.0", common(), 0, 1), "/usr/bin/nvidia-container-runtime-hook": program,
			"/usr/bin/nvidia-container-cli": program,
		}), cause: "was written for driver 570.0.0", fix: generate, warns: true},
		{name: "the Spec fails for a reason that only the plan knows", tree: healthy().with(tree{
			specFile: strings.Replace(spec(loaded, common(), 0, 1), "containerPath: /usr", "containerPath: usr", 1),
		}), cause: "the path is not absolute"},
	}
}
