package checkup

import (
	"fmt"
	"path"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// install returns the command that installs a package on this distribution, or "" where none is known.
func (h *host) install(p packages.Package) string { return p.Install(h.OS.Is) }

// with returns the command, behind the one that installs its program where that is missing.
func (h *host) with(tool string, p packages.Package, command string) string {
	if install := h.install(p); !h.Tool(tool) && install != "" {
		return install + " && " + command
	}
	return command
}

// lacks says which package a command needs that is not installed, where [host.with] cannot tell how to install it; or
// returns "".
func (h *host) lacks(tool string, p packages.Package) string {
	if h.Tool(tool) || h.install(p) != "" {
		return ""
	}
	return fmt.Sprintf("%s is of the package %s, which is not installed", tool, p.Any)
}

// generate returns the command that writes the CDI Spec of a kind into the file. It is "" for a kind whose tool is not
// known: another vendor's tool would put its own devices in the Spec's place.
func (h *host) generate(kind, file string) string {
	vendor, class, _ := strings.Cut(kind, "/")
	format := ""
	if path.Ext(file) == ".json" {
		format = " --format=json"
	}
	switch {
	case kind == nvidiaKind:
		return h.with("nvidia-ctk", packages.Toolkit(), "nvidia-ctk cdi generate"+format+" --output="+file)
	case vendor == "nvidia.com" && (class == "gds" || class == "mofed" || class == "gdrcopy" || class == "nvswitch"):
		return h.with("nvidia-ctk", packages.Toolkit(), "nvidia-ctk cdi generate --mode="+class+format+" --output="+file)
	case kind == amdKind:
		return h.with("amd-ctk", packages.AMD(), "amd-ctk cdi generate --output="+file)
	case kind == intelKind && h.Tool(intelGenerator):
		return intelGenerator + " --cdi-dir=" + path.Dir(file) + " gpu"
	}
	return ""
}

// intelGenerator is Intel's program that writes CDI Specs. No distribution has a package of it.
const intelGenerator = "intel-cdi-specs-generator"

// regenerate is [host.generate], and words where no command is known or its program is missing.
func (h *host) regenerate(kind, file string) (command, words string) {
	command = h.generate(kind, file)
	switch vendor, _, _ := strings.Cut(kind, "/"); {
	case command != "" && vendor == "nvidia.com":
		return command, h.lacks("nvidia-ctk", packages.Toolkit())
	case kind == amdKind:
		return command, h.lacks("amd-ctk", packages.AMD())
	case command != "":
		return command, ""
	}
	vendor, _, _ := strings.Cut(kind, "/")
	words = fmt.Sprintf("generate %s again with the tool of %s", file, vendor)
	if kind == intelKind {
		words += ": " + intelGenerator + ", of github.com/intel/intel-resource-drivers-for-kubernetes"
	}
	return "", words
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

// loadNVIDIA is the command that loads NVIDIA's driver with its nodes. With -u, nvidia-modprobe makes those of
// nvidia-uvm alone.
func (h *host) loadNVIDIA() string {
	gpus := 0
	for _, d := range h.PCI {
		if d.Vendor == vendorPCI && !d.ForMachines() {
			gpus++
		}
	}
	nodes := "-c=255"
	for minor := range max(gpus, 1) {
		nodes += fmt.Sprintf(" -c=%d", minor)
	}
	return h.modprobe(nodes+" && nvidia-modprobe -u -c=0", "modprobe nvidia && modprobe nvidia-uvm")
}
