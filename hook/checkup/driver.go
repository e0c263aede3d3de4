package checkup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// Causes that several checks come upon.
const (
	causeDriver   = "nvidia driver"
	causeMismatch = "nvidia driver and libraries"
	causeUVM      = "nvidia_uvm"
	causeBus      = "gpu gone from the bus"
	causeNoSpec   = "no Spec"
)

const (
	nvidiaKind = "nvidia.com/gpu"
	amdKind    = "amd.com/gpu"
	intelKind  = "intel.com/gpu"
	vendorPCI  = "0x10de" // NVIDIA's number on the PCI bus
)

// isGPU reports whether the path is that of a node of one of NVIDIA's GPUs.
func isGPU(node string) bool {
	number, found := strings.CutPrefix(node, "/dev/nvidia")
	_, err := strconv.ParseUint(number, 10, 16)
	return found && err == nil
}

// hasNVIDIA reports whether the host has a GPU of NVIDIA's, or a driver for one.
func (h *host) hasNVIDIA() bool {
	return h.nvidiaPCI() != "" || h.Kernel.Loaded("nvidia") || len(h.GPUs) > 0
}

// nvidiaPCI returns the place of the first of NVIDIA's GPUs on the PCI bus, or "".
func (h *host) nvidiaPCI() string {
	for _, d := range h.PCI {
		if d.Vendor == vendorPCI && !d.ForMachines() {
			return d.Slot
		}
	}
	return ""
}

// wantsNVIDIA reports whether containers are to get devices of NVIDIA's: the host has one, or a Spec for one.
func (h *host) wantsNVIDIA() bool {
	return h.hasNVIDIA() || slices.ContainsFunc(h.devices, func(d device) bool {
		return d.Kind == nvidiaKind && slices.ContainsFunc(d.nodes,
			func(n *devices.DeviceNode) bool { return isGPU(n.HostPath) })
	})
}

// checkDriver looks at NVIDIA's driver: loaded, of one version with its libraries, and with GPUs that it serves.
func checkDriver(h *host) []report.Check {
	if !h.Kernel.Known || !h.wantsNVIDIA() {
		return nil
	}
	if !h.Kernel.Loaded("nvidia") {
		return h.loadedByHook(h.notLoaded())
	}
	var out []report.Check
	if c, found := h.mismatch(); found {
		out = append(out, c)
	}
	for _, find := range []func() (report.Check, bool){h.offTheBus, h.lostGPU} {
		if c, found := find(); found {
			out = append(out, c)
		}
	}
	if len(h.GPUs) > 0 && h.missing("/dev/nvidia-uvm") && !h.Paths[operatorUVM].Exists() {
		out = append(out, h.loadedByHook(h.noUVM())...)
	}
	if c, found := h.noLibrary(); found {
		out = append(out, c)
	}
	if len(out) == 0 {
		out = append(out, h.ok("NVIDIA driver", h.Kernel.Modules["nvidia"]+", "+count(len(h.GPUs), "GPU")))
	}
	return out
}

// operatorUVM is the node of a driver that runs in a container, as NVIDIA's GPU Operator runs it.
const operatorUVM = "/run/nvidia/driver/dev/nvidia-uvm"

// loadedByHook makes a finding about modules and nodes a warning where NVIDIA's own hook serves: it loads and makes
// them.
func (h *host) loadedByHook(c report.Check) []report.Check {
	if len(h.nodesIn("")) == 0 && h.servedBy(nvidiaKind) != "" {
		c.Status = report.CheckWarn
	}
	return []report.Check{c}
}

// count is a number of things.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// missing reports whether the kernel's nodes are known, and this one is not among them.
func (h *host) missing(node string) bool {
	p, looked := h.Paths[node]
	return (looked && !p.Exists()) || (!looked && !slices.Contains(h.Nodes, node))
}

// notLoaded is the finding that NVIDIA's driver is not loaded. What mends it depends on what is installed.
func (h *host) notLoaded() report.Check {
	c := h.fail("NVIDIA driver", "NVIDIA's driver is not loaded: the kernel has no module nvidia")
	c.Cause = causeDriver
	c.Not = "nvidia-ctk cdi generate (without the driver it finds no GPU)"
	if slot := h.nvidiaPCI(); slot != "" {
		c.Details = append(c.Details, "there is a GPU of NVIDIA's on the PCI bus: "+slot)
	}
	if len(h.nodesIn("")) == 0 && h.servedBy(nvidiaKind) == "" && h.anyServed() {
		c.Status = report.CheckWarn // another vendor's GPUs are what containers get here
	}
	nouveau := h.Kernel.Loaded("nouveau") && slices.ContainsFunc(h.PCI,
		func(d facts.PCI) bool { return d.Driver == "nouveau" })
	switch {
	case nouveau:
		c.Details = append(c.Details, "the driver nouveau is bound to the GPU; CUDA needs NVIDIA's own")
		c.Fix = "echo blacklist nouveau >/etc/modprobe.d/blacklist-nouveau.conf && " + h.rebuildInitrd() + reboot
		if !slices.Contains(h.Kernel.Available, "nvidia") {
			c.Fix, c.Hint = h.driverFix()
		}
	case slices.Contains(h.Kernel.Available, "nvidia"):
		c.Fix = h.loadNVIDIA()
		c.Details = append(c.Details, "the module is installed; if it does not load, dmesg says why")
	case len(h.Library.CUDA) > 0:
		c.Details = append(c.Details, fmt.Sprintf("its libraries are installed (%s), its kernel module is not built "+
			"for this kernel", strings.Join(h.Library.CUDA, ", ")))
		c.Fix = h.buildModule() + " && " + h.loadNVIDIA()
	default:
		c.Fix, c.Hint = h.driverFix()
	}
	return c
}

const reboot = "systemctl reboot"

// driverFix is how NVIDIA's driver gets onto the host.
func (h *host) driverFix() (command, words string) {
	if command = h.installDriver(); command != "" {
		return command + " && " + reboot, ""
	}
	return "", "install NVIDIA's driver by the distribution's package, or from NVIDIA, and restart the host"
}

// rebuildInitrd is the command by which a change in /etc/modprobe.d comes into the initial RAM disk, with what follows
// it.
func (h *host) rebuildInitrd() string {
	switch {
	case h.OS.Is("debian", "ubuntu"):
		return "update-initramfs -u && "
	case h.OS.Is("fedora", "rhel", "centos", "rocky", "almalinux", "suse", "sles", "opensuse"):
		return "dracut --force && "
	}
	return ""
}

// installDriver is how NVIDIA's driver is installed on this distribution, or "".
func (h *host) installDriver() string {
	switch {
	case h.OS.Is("ubuntu") && h.Tool("ubuntu-drivers"):
		return "ubuntu-drivers install --gpgpu"
	case h.OS.Is("ubuntu"):
		return "apt-get install ubuntu-drivers-common && ubuntu-drivers install --gpgpu"
	case h.OS.Is("debian"):
		return "apt-get install nvidia-driver"
	case h.OS.Is("fedora", "rhel", "centos", "rocky", "almalinux"):
		return "dnf install nvidia-driver-cuda kmod-nvidia-open-dkms"
	case h.OS.Is("arch"):
		return "pacman -S nvidia-open"
	}
	return ""
}

// buildModule is how the kernel module is built for the running kernel.
func (h *host) buildModule() string {
	if h.OS.Is("debian", "ubuntu") {
		return "apt-get install linux-headers-$(uname -r) && dkms autoinstall"
	}
	return "dkms autoinstall"
}

// mismatch is the finding that the driver was updated and the old one is still loaded.
func (h *host) mismatch() (report.Check, bool) {
	loaded, installed := h.Kernel.Modules["nvidia"], h.Library.CUDA
	if loaded == "" || len(installed) == 0 || slices.Contains(installed, loaded) {
		return report.Check{}, false
	}
	c := h.fail("NVIDIA driver", fmt.Sprintf("the kernel still runs NVIDIA's driver %s, the installed libraries are of %s",
		loaded, strings.Join(installed, " and ")))
	c.Cause = causeMismatch
	c.Details = []string{"programs fail with \"Driver/library version mismatch\" until the two are of one version"}
	c.Fix = reboot
	c.Not = "nvidia-ctk cdi generate before that (it fails, or writes a Spec that does not fit the loaded driver)"
	return c, true
}

// offTheBus is the finding that the PCI bus has a GPU, or Specs have one, that the loaded driver does not serve.
func (h *host) offTheBus() (report.Check, bool) {
	if len(h.GPUs) > 0 || !h.HasGPUs {
		return report.Check{}, false
	}
	c := h.fail("NVIDIA driver", "NVIDIA's driver is loaded and serves no GPU (/proc/driver/nvidia/gpus is empty)")
	c.Cause = causeBus
	if !slices.ContainsFunc(h.Nodes, isGPU) && h.nvidiaPCI() == "" && len(h.devices) == 0 {
		return report.Check{}, false
	}
	if slot := h.nvidiaPCI(); slot != "" {
		c.Details = []string{slot + " on the PCI bus is a GPU that the driver did not take, or lost: dmesg has lines " +
			"with NVRM that say why"}
	} else {
		c.Details = []string{"the PCI bus has no GPU of NVIDIA's either: it has fallen off the bus, or was taken out"}
	}
	c.Fix = reboot
	c.Not = "nvidia-ctk cdi generate (it finds no GPU, and writes a Spec without one)"
	return c, true
}

// lostGPU is the finding that a Spec gives nodes which the host has and whose GPUs are gone.
func (h *host) lostGPU() (report.Check, bool) {
	nodes := h.lostNodes()
	if len(nodes) == 0 {
		return report.Check{}, false
	}
	c := h.fail("NVIDIA driver", fmt.Sprintf("the GPU of %s is gone, and its node has stayed: programs cannot open it",
		strings.Join(nodes, " and ")))
	c.Cause = causeBus
	switch silent, slot := h.silent(), h.lost(); {
	case silent != "":
		c.Details = []string{silent + " does not answer on the PCI bus: dmesg has a line with NVRM and Xid 79 that says why"}
	case slot != "":
		c.Details = []string{slot + " on the PCI bus is a GPU without a driver: dmesg has lines with NVRM that say why"}
	default:
		c.Details = []string{"the PCI bus has no such GPU: it has fallen off the bus (dmesg: NVRM, Xid 79), or was taken out"}
	}
	c.Details = append(c.Details, "NVIDIA's driver has these: "+h.gpuList())
	c.Fix = reboot
	c.Not = "nvidia-ctk cdi generate, unless the host is to do without that GPU"
	return c, true
}

// lostNodes returns the nodes of Specs that the host has although their GPUs are not served, or do not answer. Where
// the driver leaves a GPU alone, its node is not known.
func (h *host) lostNodes() []string {
	var served, out []string
	for _, g := range h.GPUs {
		if g.Node() == "" {
			return nil
		}
		if !h.isSilent(g.Bus) {
			served = append(served, g.Node())
		}
	}
	for _, node := range h.nodesIn("") {
		there := isGPU(node) && h.Paths[node].Type == "c"
		if there && len(h.GPUs) > 0 && !slices.Contains(served, node) && !slices.Contains(out, node) {
			out = append(out, node)
		}
	}
	slices.Sort(out)
	return out
}

// isSilent reports whether the device at the place of the PCI bus does not answer.
func (h *host) isSilent(slot string) bool {
	return slices.ContainsFunc(h.PCI, func(d facts.PCI) bool { return d.Slot == slot && d.Silent })
}

// silent returns the place of the first of NVIDIA's GPUs that does not answer on the PCI bus, or "".
func (h *host) silent() string {
	for _, d := range h.PCI {
		if d.Vendor == vendorPCI && d.Silent && !d.ForMachines() {
			return d.Slot
		}
	}
	return ""
}

// noUVM is the finding that CUDA's node is missing although the driver is loaded.
func (h *host) noUVM() report.Check {
	c := h.fail("nvidia_uvm", "/dev/nvidia-uvm is missing, without which CUDA does not work")
	c.Cause = causeUVM
	state := "module nvidia is loaded, nvidia_uvm is not"
	if h.Kernel.Loaded("nvidia_uvm") {
		state = "module nvidia_uvm is loaded, its node was not made"
	}
	c.Details = []string{state}
	c.Fix = h.makeUVM()
	c.Hint = "at every boot: echo nvidia-uvm >/etc/modules-load.d/nvidia-uvm.conf"
	c.Not = "nvidia-ctk cdi generate (the new Spec would lack nvidia-uvm, and CUDA would fail)"
	return c
}

// noLibrary is the finding that one of the driver's two main libraries is missing and the other one is there: libcuda,
// without which no program computes, or libnvidia-ml, by which nvidia-smi and nvidia-ctk find GPUs. A host whose driver
// is in a container has neither of them in these directories.
func (h *host) noLibrary() (report.Check, bool) {
	library, effect, p := "libnvidia-ml", "nvidia-smi and nvidia-ctk find no GPU", packages.Package{
		Apt: "libnvidia-ml1", Dnf: "'libnvidia-ml.so.1()(64bit)'", Zypper: "'libnvidia-ml.so.1()(64bit)'",
		Pacman: "nvidia-utils",
	}
	there := h.Library.CUDA
	if len(h.Library.CUDA) == 0 {
		library, effect, p = "libcuda", "CUDA does not work", packages.Package{
			Apt: "libcuda1", Dnf: "'libcuda.so.1()(64bit)'", Zypper: "'libcuda.so.1()(64bit)'", Pacman: "nvidia-utils",
		}
		there = h.Library.NVML
	}
	if len(there) == 0 || (len(h.Library.CUDA) > 0 && len(h.Library.NVML) > 0) {
		return report.Check{}, false
	}
	c := h.fail(library, library+".so of the driver is not installed: "+effect)
	c.Cause = library
	if branch, _, _ := strings.Cut(there[0], "."); h.OS.Is("ubuntu") {
		p.Apt = "--reinstall libnvidia-compute-" + branch
	}
	c.Fix = h.install(p)
	if c.Fix == "" {
		c.Hint = fmt.Sprintf("install the package of the driver that has %s.so.1, of version %s", library, there[0])
	}
	return c, true
}
