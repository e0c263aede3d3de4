package checkup

import (
	"fmt"
	"path"
	"strings"
)

// packages are the names of one package in the distributions; "" where a distribution does not have it.
type packages struct{ apt, dnf, zypper, pacman string }

func toolkitPackage() packages {
	return packages{
		"nvidia-container-toolkit-base", "nvidia-container-toolkit-base", "nvidia-container-toolkit-base",
		"nvidia-container-toolkit",
	}
}

// install returns the command that installs a package on this distribution, or "" where none is known.
func (h *host) install(p packages) string {
	switch {
	case h.OS.Is("debian", "ubuntu") && p.apt != "":
		return "apt-get install " + p.apt
	case h.OS.Is("fedora", "rhel", "centos", "rocky", "almalinux") && p.dnf != "":
		return "dnf install " + p.dnf
	case h.OS.Is("suse", "sles", "opensuse") && p.zypper != "":
		return "zypper install " + p.zypper
	case h.OS.Is("arch") && p.pacman != "":
		return "pacman -S " + p.pacman
	}
	return ""
}

// with returns the command, behind the one that installs its program where that is missing.
func (h *host) with(tool string, p packages, command string) string {
	if h.Tool(tool) {
		return command
	}
	if install := h.install(p); install != "" {
		return install + " && " + command
	}
	return fmt.Sprintf("%s  (%s is of the package %s, which is not installed)", command, tool, p.apt)
}

// generate returns the command that writes the CDI Spec of a kind into the file. It is "" for a kind whose tool is not known:
// another vendor's tool would put its own devices in the Spec's place.
func (h *host) generate(kind, file string) string {
	vendor, class, _ := strings.Cut(kind, "/")
	format := ""
	if path.Ext(file) == ".json" {
		format = " --format=json"
	}
	switch {
	case kind == "nvidia.com/gpu":
		return h.with("nvidia-ctk", toolkitPackage(), "nvidia-ctk cdi generate"+format+" --output="+file)
	case vendor == "nvidia.com" && (class == "gds" || class == "mofed" || class == "gdrcopy" || class == "nvswitch"):
		return h.with("nvidia-ctk", toolkitPackage(), "nvidia-ctk cdi generate --mode="+class+format+" --output="+file)
	case kind == "amd.com/gpu":
		p := packages{"amd-container-toolkit", "amd-container-toolkit", "amd-container-toolkit", ""}
		return h.with("amd-ctk", p, "amd-ctk cdi generate --output="+file)
	}
	return ""
}

// regenerate is [host.generate], and words where no command is known.
func (h *host) regenerate(kind, file string) (command, words string) {
	if command = h.generate(kind, file); command != "" {
		return command, ""
	}
	vendor, _, _ := strings.Cut(kind, "/")
	return "", fmt.Sprintf("generate %s again with the tool of %s", file, vendor)
}

// modprobe returns the command by which NVIDIA's own tool makes a node, or the one that does without it.
func (h *host) modprobe(arguments, without string) string {
	if h.Tool("nvidia-modprobe") {
		return "nvidia-modprobe " + arguments
	}
	return without
}

// makeUVM is the command that loads nvidia_uvm and makes its node.
func (h *host) makeUVM() string {
	return h.modprobe("-u -c=0", "modprobe nvidia-uvm && "+
		`mknod -m 666 /dev/nvidia-uvm c $(awk '$2 == "nvidia-uvm" {print $1}' /proc/devices) 0`)
}

// makeNode is the command that makes the node of NVIDIA's driver with this minor number.
func (h *host) makeNode(node string, minor int) string {
	return h.modprobe(fmt.Sprintf("-c=%d", minor), fmt.Sprintf("mknod -m 666 %s c 195 %d", node, minor))
}

// loadNVIDIA is the command that loads NVIDIA's driver with its nodes.
func (h *host) loadNVIDIA() string {
	return h.modprobe("-u -c=0", "modprobe nvidia && modprobe nvidia-uvm")
}
