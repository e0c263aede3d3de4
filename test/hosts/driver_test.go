package hosts

const (
	unload = "rm -rf /sys/module/nvidia* /proc/driver/* /dev/nvidia* /sys/bus/pci/devices/*/driver\n"
	// The next driver is installed over the one that runs.
	upgrade    = "rm /usr/lib/x86_64-linux-gnu/libcuda.so.5* /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.5*\n" + installNew
	installNew = "cp -a /var/lib/packages/nvidia-driver/. /\n"
	noModules  = `mkdir -p /usr/src/nvidia-modules && mv /usr/lib/modules/$(uname -r)/* /usr/src/nvidia-modules/` + "\n"
	noDriver   = unload + noModules + "rm -r /usr/src/nvidia-modules /usr/lib/x86_64-linux-gnu/libcuda.so.* " +
		"/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.*\n"
)

// lose takes a GPU off the bus while the host runs, and its node.
func lose(bus, node string) string {
	return "rm -r /proc/driver/nvidia/gpus/" + bus + " /sys/bus/pci/devices/" + bus + "/driver " + node + "\n"
}

func driverHosts() []host {
	return []host{
		{
			name: "the driver is not loaded", share: true, breaks: unload,
			cause: []string{"driver is not loaded"},
		},
		{
			name: "the driver is not loaded, without nvidia-modprobe", breaks: unload + "rm /usr/bin/nvidia-modprobe",
			cause: []string{"driver is not loaded"},
		},
		{
			name: "the driver is not installed", breaks: noDriver + "rm /etc/cdi/nvidia.yaml",
			cause: []string{"driver is not loaded"},
		},
		{
			name: "the module is not built for this kernel", breaks: unload + noModules +
				"mkdir -p /var/lib/packages/linux-headers-$(uname -r)",
			cause: []string{"driver is not loaded"},
		},
		{
			name: "nouveau has the GPU", breaks: "touch /var/lib/gpus/nouveau && boot", cause: []string{"driver is not loaded"},
			found: []string{"nouveau"},
		},
		{
			name: "the driver was updated, the Spec was not", share: true, breaks: upgrade + "boot",
			cause: []string{"580.65.06", "580.95.05"},
		},
		{
			name: "the driver was updated, the old one runs", breaks: upgrade,
			cause: []string{"580.65.06", "580.95.05"},
		},
		{
			name: "GPU 1 fell off the bus", breaks: lose("0000:02:00.0", "/dev/nvidia1"),
			ask: ask{env: []string{"NVIDIA_VISIBLE_DEVICES=1"}}, want: "nvidia1",
			cause: []string{"/dev/nvidia1"}, found: []string{"the GPU of /dev/nvidia1"},
			steps: []step{{words: "dmesg says why it is gone", command: "boot"}},
		},
		{
			name:   "all GPUs fell off the bus",
			breaks: lose("0000:01:00.0", "/dev/nvidia0") + lose("0000:02:00.0", "/dev/nvidia1"),
			cause:  []string{"no GPU"}, found: []string{"serves no GPU"},
			steps: []step{{words: "dmesg says why it is gone", command: "boot"}},
		},
		{
			name: "libnvidia-ml is not installed", breaks: `p=/var/lib/packages/libnvidia-ml1/usr/lib/x86_64-linux-gnu
mkdir -p $p && mv /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.* $p/`,
			cause: []string{"libnvidia-ml.so"},
		},
		{
			name: "libcuda is not installed", breaks: `p=/var/lib/packages/libcuda1/usr/lib/x86_64-linux-gnu
mkdir -p $p && mv /usr/lib/x86_64-linux-gnu/libcuda.so.* $p/`,
			cause: []string{"libcuda.so"},
		},
		{
			name: "a library's link dangles", breaks: `sed -i 's/hostPath: .*libcuda.*/hostPath: \/opt\/driver\/libcuda.so/' ` +
				`/etc/cdi/nvidia.yaml && mkdir /opt/driver && ln -s libcuda.so.570.1 /opt/driver/libcuda.so`,
			cause: []string{"/opt/driver/libcuda.so"},
		},
	}
}

func nodeHosts() []host {
	noUVM := "rm -rf /dev/nvidia-uvm* /sys/module/nvidia_uvm\n"
	return []host{
		{
			name: "nvidia_uvm is not loaded", share: true, breaks: noUVM,
			cause: []string{"/dev/nvidia-uvm", "nvidia_uvm is not"},
		},
		{
			name: "nvidia_uvm is not loaded, without nvidia-modprobe", breaks: noUVM + "rm /usr/bin/nvidia-modprobe",
			cause: []string{"/dev/nvidia-uvm", "nvidia_uvm is not"},
		},
		{
			// Nothing is said at the start, where the host lacks what the Spec lacks: doctor finds it.
			name: "the Spec was generated without nvidia_uvm", blind: true, prepare: "touch /etc/modprobe.d/no-uvm.conf",
			cause: []string{"nvidia-uvm"},
		},
		{
			name: "the Spec was generated before nvidia_uvm", prepare: "touch /etc/modprobe.d/no-uvm.conf",
			breaks: "nvidia-modprobe -u -c=0", cause: []string{"nvidia-uvm"},
		},
		{name: "the GPU's node is missing", breaks: "rm /dev/nvidia0", cause: []string{"/dev/nvidia0"}},
		{
			name: "the GPU's node is missing, without nvidia-modprobe", breaks: "rm /dev/nvidia0 /usr/bin/nvidia-modprobe",
			cause: []string{"/dev/nvidia0"},
		},
		{name: "the control node is missing", breaks: "rm /dev/nvidiactl", cause: []string{"/dev/nvidiactl"}},
		{
			name: "the node is a symbolic link", share: true, breaks: "rm /dev/nvidia0 && ln -s nvidia1 /dev/nvidia0",
			cause: []string{"/dev/nvidia0", "symbolic link"},
		},
		{
			name: "the node is a directory", breaks: "rm /dev/nvidia0 && mkdir /dev/nvidia0",
			cause: []string{"/dev/nvidia0", "directory"},
		},
		{
			name: "the node is a file", breaks: "rm /dev/nvidia0 && touch /dev/nvidia0",
			cause: []string{"/dev/nvidia0", "file"},
		},
		{
			name: "the node has another number", breaks: "rm /dev/nvidia0 && mknod -m 666 /dev/nvidia0 c 1 3",
			cause: []string{"/dev/nvidia0"},
		},
		{
			name:   "the node of nvidia_uvm has an old number",
			breaks: "rm /dev/nvidia-uvm && mknod -m 666 /dev/nvidia-uvm c 509 0",
			cause:  []string{"/dev/nvidia-uvm"},
		},
		{
			name: "nvidia_uvm has another number than in the Spec", breaks: "sed -i 's/^511 /508 /' /run/devices && " +
				"umount /proc/devices && mount --bind /run/devices /proc/devices && rm /dev/nvidia-uvm* && nvidia-modprobe -u -c=0",
			cause: []string{"/dev/nvidia-uvm"},
		},
		{
			name: "the node of a MIG instance is missing", share: true, prepare: "touch /var/lib/gpus/mig",
			breaks: "rm /dev/nvidia-caps/nvidia-cap4", ask: ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0:0"}},
			want: "nvidia0 nvidia-cap3 nvidia-cap4", cause: []string{"/dev/nvidia-caps/nvidia-cap4", "MIG"},
		},
		{
			name: "the MIG instances are gone", prepare: "touch /var/lib/gpus/mig",
			breaks: "rm -r /dev/nvidia-caps/nvidia-cap[34] /proc/driver/nvidia/capabilities/gpu0 /var/lib/gpus/mig",
			ask:    ask{env: []string{"NVIDIA_VISIBLE_DEVICES=0:0"}},
			want:   "nvidia0 nvidia-cap3 nvidia-cap4", cause: []string{"/dev/nvidia-caps/nvidia-cap", "MIG"},
			steps: []step{{words: "make the MIG instances again", command: "touch /var/lib/gpus/mig && boot && " +
				"nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"}},
		},
	}
}
