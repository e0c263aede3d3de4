package facts

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Kernel is what the kernel has loaded, and could load.
type Kernel struct {
	Known     bool              // whether /sys/module could be read
	Modules   map[string]string // loaded, with their versions
	Available []string          // modules of GPUs among those of installed kernels: nvidia, nvidia_uvm, nouveau, amdgpu
}

// Loaded reports whether a module is loaded.
func (k Kernel) Loaded(module string) bool {
	_, ok := k.Modules[module]
	return ok
}

// majors reads the numbers of character device drivers.
func (r reader) majors() map[string]int64 { return parseMajors(r.text("/proc/devices")) }

// parseMajors reads the content of /proc/devices, in which block device drivers follow.
func parseMajors(text string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == "Block" {
			break
		}
		if len(f) != 2 {
			continue
		}
		if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
			out[f[1]] = n
		}
	}
	return out
}

// GPU is a GPU that NVIDIA's driver serves.
type GPU struct {
	Bus, Model, UUID string
	Minor            int // of its node, or -1 if it has none or the driver is told to leave the GPU alone
}

// Node returns the path of the GPU's node, or "".
func (g GPU) Node() string {
	if g.Minor < 0 {
		return ""
	}
	return "/dev/nvidia" + strconv.Itoa(g.Minor)
}

// PCI is a graphics device of the PCI bus.
type PCI struct {
	Slot, Vendor string // vendor as "0x10de"
	Driver       string // kernel driver that is bound to it, or ""
	Silent       bool   // whether it does not answer on the bus any more
}

// ForMachines reports whether the device is set apart for virtual machines.
func (p PCI) ForMachines() bool { return p.Driver == "vfio-pci" || p.Driver == "pci-stub" }

// Capability is an access right of NVIDIA's driver, such as that to a MIG instance.
type Capability struct {
	File  string // below /proc/driver/nvidia/capabilities
	Minor int    // of its node in /dev/nvidia-caps
}

// Node returns the path of the capability's node.
func (c Capability) Node() string { return "/dev/nvidia-caps/nvidia-cap" + strconv.Itoa(c.Minor) }

// Libraries are the versions of NVIDIA's libraries in the directories where packages put them.
type Libraries struct{ CUDA, NVML []string }

func (r reader) kernel() Kernel {
	k := Kernel{Known: r.exists("/sys/module"), Modules: map[string]string{}}
	known := []string{"nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm", "nouveau", "amdgpu", "i915", "xe"}
	for _, name := range known {
		if r.exists("/sys/module/" + name) {
			k.Modules[name] = r.text("/sys/module/" + name + "/version")
		}
	}
	for _, release := range r.names("/lib/modules") {
		text := r.text("/lib/modules/" + release + "/modules.dep")
		for line := range strings.Lines(text) {
			file, _, _ := strings.Cut(line, ":")
			name, _, _ := strings.Cut(path.Base(file), ".ko")
			name = strings.ReplaceAll(name, "-", "_")
			if slices.Contains([]string{"nvidia", "nvidia_uvm", "nouveau", "amdgpu"}, name) &&
				!slices.Contains(k.Available, name) {
				k.Available = append(k.Available, name)
			}
		}
	}
	return k
}

func (r reader) gpus() []GPU {
	const dir = "/proc/driver/nvidia/gpus"
	var out []GPU
	for _, bus := range r.names(dir) {
		fields := colons(r.text(dir + "/" + bus + "/information"))
		g := GPU{Bus: bus, Model: fields["Model"], UUID: fields["GPU UUID"], Minor: -1}
		if n, err := strconv.Atoi(fields["Device Minor"]); err == nil && fields["GPU Excluded"] != "Yes" {
			g.Minor = n
		}
		out = append(out, g)
	}
	return out
}

// colons reads lines of the form "Key: value".
func colons(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		out[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return out
}

func (r reader) pci() []PCI {
	const dir = "/sys/bus/pci/devices"
	var out []PCI
	for _, slot := range r.names(dir) {
		// 0x0300 is a VGA controller, 0x0302 a 3D controller, 0x1200 an accelerator.
		class := r.text(dir + "/" + slot + "/class")
		if !strings.HasPrefix(class, "0x0300") && !strings.HasPrefix(class, "0x0302") && !strings.HasPrefix(class, "0x1200") {
			continue
		}
		out = append(out, PCI{
			Slot: slot, Vendor: r.text(dir + "/" + slot + "/vendor"), Driver: r.linkName(dir + "/" + slot + "/driver"),
			Silent: strings.HasPrefix(r.text(dir+"/"+slot+"/config"), "\xff\xff\xff\xff"),
		})
	}
	return out
}

// capabilities returns those of MIG instances and of MIG's own administration.
func (r reader) capabilities() []Capability {
	var out []Capability
	r.walk("/proc/driver/nvidia/capabilities", 6, func(file string) {
		if path.Base(file) != "access" && path.Dir(file) != "/proc/driver/nvidia/capabilities/mig" {
			return
		}
		if n, err := strconv.Atoi(colons(r.text(file))["DeviceFileMinor"]); err == nil {
			out = append(out, Capability{File: file, Minor: n})
		}
	})
	return out
}

func (r reader) libraries() Libraries {
	dirs := []string{"/usr/lib64", "/usr/lib", "/usr/lib64/nvidia", "/opt/cuda/lib64", "/usr/lib/wsl/lib"}
	for _, name := range r.names("/usr/lib") {
		if strings.HasSuffix(name, "-linux-gnu") {
			dirs = append(dirs, "/usr/lib/"+name, "/usr/lib/"+name+"/nvidia/current")
		}
	}
	var l Libraries
	for _, dir := range dirs {
		for _, name := range r.names(dir) {
			l.CUDA = addVersion(l.CUDA, name, "libcuda.so.")
			l.NVML = addVersion(l.NVML, name, "libnvidia-ml.so.")
		}
	}
	return l
}

// addVersion adds the version of a library's file name; "1" is that of its interface, and no version of a driver.
func addVersion(list []string, name, library string) []string {
	version, ok := strings.CutPrefix(name, library)
	if !ok || !strings.Contains(version, ".") || slices.Contains(list, version) {
		return list
	}
	return append(list, version)
}
