package checkup

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// badNode returns what is wrong with a node of a Spec on this host, and whether anything is.
func (h *host) badNode(d *device, n *devices.DeviceNode) (report.Check, bool) {
	p, looked := h.Paths[path.Clean(n.HostPath)]
	want := strings.Replace(n.Type, "u", "c", 1)
	switch {
	case !looked:
		return report.Check{}, false
	case !p.Exists():
		return h.noNode(d, n.HostPath), true
	case !p.Node() || (want != "" && want != p.Type):
		return h.notANode(n.HostPath, p), true
	case n.Major != 0 && (n.Major != p.Major || n.Minor != p.Minor):
		return h.renumbered(d, n, p), true
	}
	return report.Check{}, false
}

// noNode explains a node that a Spec wants and the host lacks.
func (h *host) noNode(d *device, node string) report.Check {
	minor, isNumber := strconv.Atoi(strings.TrimPrefix(node, "/dev/nvidia"))
	switch {
	case strings.HasPrefix(node, "/dev/nvidia") && h.Kernel.Known && !h.Kernel.Loaded("nvidia"):
		return h.notLoaded()
	case node == "/dev/nvidia-uvm" || node == "/dev/nvidia-uvm-tools":
		return h.noUVM()
	case strings.HasPrefix(node, "/dev/nvidia-caps/"):
		return h.noCapability(d, node)
	case node == "/dev/nvidiactl":
		return h.notMade(node, "module nvidia is loaded, its control node was not made", h.makeNode(node, 255))
	case node == "/dev/nvidia-modeset":
		fix := "nvidia-modprobe -m"
		if !h.Tool("nvidia-modprobe") {
			fix = "modprobe nvidia-modeset && mknod -m 666 /dev/nvidia-modeset c 195 254"
		}
		return h.notMade(node, "module nvidia_modeset is not loaded, or its node was not made", fix)
	case d.Kind == nvidiaKind && strings.HasPrefix(node, "/dev/dri/") && h.Kernel.Known && !h.Kernel.Loaded("nvidia_drm"):
		c := h.notMade(node, "module nvidia_drm makes it, and is not loaded", "modprobe nvidia-drm modeset=1")
		c.Cause = "nvidia_drm"
		return c
	case isGPU(node) && isNumber == nil:
		return h.noGPUNode(d, node, minor)
	case node == "/dev/kfd" || (d.Kind == amdKind && h.Kernel.Known && !h.Kernel.Loaded("amdgpu")):
		c := h.notMade(node, "the kernel driver amdgpu makes it, and is not loaded", "modprobe amdgpu")
		c.Cause = "amdgpu"
		return c
	}
	return h.gone(d, node)
}

// notMade is the finding that a node is missing that a command makes.
func (h *host) notMade(node, why, fix string) report.Check {
	c := h.fail("device nodes", node+" is missing on this host")
	c.Cause, c.Details, c.Fix = "node "+node, []string{why}, fix
	c.Not = "generating the CDI Spec again (the new one would lack the node)"
	return c
}

// noGPUNode explains a missing node of a GPU of NVIDIA's.
func (h *host) noGPUNode(d *device, node string, minor int) report.Check {
	i := slices.IndexFunc(h.GPUs, func(g facts.GPU) bool { return g.Node() == node })
	switch {
	case i >= 0:
		g := h.GPUs[i]
		return h.notMade(node, fmt.Sprintf("the driver has that GPU (%s, %s), its node was not made", g.Bus, g.UUID),
			h.makeNode(node, minor))
	case len(h.GPUs) == 0 && h.HasGPUs:
		if c, found := h.offTheBus(); found {
			return c
		}
	case h.lost() != "":
		c := h.fail("device nodes", "NVIDIA's driver does not serve the GPU of "+node)
		c.Cause = causeBus
		c.Details = []string{h.lost() + " on the PCI bus is a GPU without a driver: dmesg has lines with NVRM that say why"}
		c.Fix = reboot
		c.Not = "nvidia-ctk cdi generate, unless the host is to do without that GPU"
		return c
	}
	return h.gone(d, node)
}

// lost returns the place of a GPU of NVIDIA's on the PCI bus that the driver does not serve, or "".
func (h *host) lost() string {
	for _, p := range h.PCI {
		served := slices.ContainsFunc(h.GPUs, func(g facts.GPU) bool { return g.Bus == p.Slot })
		if p.Vendor == vendorPCI && !served && !p.ForMachines() {
			return p.Slot
		}
	}
	return ""
}

// gone is the finding that the host has not, or no longer, what the Spec describes.
func (h *host) gone(d *device, node string) report.Check {
	c := h.fail("device nodes", fmt.Sprintf("%s wants %s, which this host lacks", d.Spec, node))
	c.Cause = "gone " + d.Spec
	if isGPU(node) && len(h.GPUs) > 0 {
		c.Details = []string{"NVIDIA's driver has these: " + h.gpuList()}
	}
	c.Fix, c.Hint = h.regenerate(d.Kind, d.Spec)
	if isGPU(node) && h.thisBoot(d.Spec) {
		c.Message = fmt.Sprintf("the GPU of %s was there when %s was generated, since the host's start, and is gone", node,
			d.Spec)
		c.Cause = causeBus
		c.Details = append(c.Details, "it has fallen off the bus: dmesg has a line with NVRM and Xid 79 then")
		c.Not = c.Fix + " (unless the host is to do without that GPU)"
		c.Fix, c.Hint = reboot, ""
	}
	return c
}

// thisBoot reports whether the Spec was written since the host's start.
func (h *host) thisBoot(spec string) bool {
	return slices.ContainsFunc(h.Specs, func(f facts.SpecFile) bool {
		return f.Path == spec && h.Started > 0 && f.Written > h.Started
	})
}

// gpuList returns the GPUs of NVIDIA's driver, as "/dev/nvidia0 (GPU-…)".
func (h *host) gpuList() string {
	var out []string
	for _, g := range h.GPUs {
		out = append(out, fmt.Sprintf("%s (%s)", g.Node(), g.UUID))
	}
	return strings.Join(out, ", ")
}

// noCapability explains a missing node of a MIG instance: it was not made, or the instance is no longer there.
func (h *host) noCapability(d *device, node string) report.Check {
	i := slices.IndexFunc(h.MIG, func(c facts.Capability) bool { return c.Node() == node })
	if i < 0 {
		c := h.fail("MIG", fmt.Sprintf("%s wants %s, and the driver has no such capability now", d.Spec, node))
		c.Cause = "gone " + d.Spec
		c.Details = []string{"the MIG instances were changed after the Spec was generated"}
		c.Fix, c.Hint = h.regenerate(d.Kind, d.Spec)
		return c
	}
	file := h.MIG[i].File
	c := h.fail("MIG", node+" is missing, which containers need for a MIG instance")
	c.Cause = "MIG nodes"
	c.Details = []string{"the driver has the instance (" + file + "), its nodes were not made"}
	var wanted []string
	for _, m := range h.MIG {
		if !h.Paths[m.Node()].Exists() {
			wanted = append(wanted, m.File)
		}
	}
	c.Fix, c.Hint = "nvidia-smi -L", "run by root, it makes the nodes of all instances"
	if h.Tool("nvidia-modprobe") {
		c.Hint = ""
		c.Fix = "for f in " + strings.Join(wanted, " ") + "; do nvidia-modprobe -f $f; done"
	}
	c.Not = "nvidia-ctk cdi generate (the nodes would be missing still)"
	return c
}

// notANode explains something else in the place of a node.
func (h *host) notANode(node string, p facts.Path) report.Check {
	what := map[string]string{"link": "a symbolic link", "directory": "a directory", "file": "a regular file"}[p.Type]
	if what == "" {
		what = map[string]string{"c": "a character device", "b": "a block device", "p": "a FIFO"}[p.Type] + " of another type"
	}
	c := h.fail("device nodes", fmt.Sprintf("%s is %s, not the device node that it should be", node, what))
	c.Cause = "node " + node
	remove := "rm " + node
	if p.Type == "directory" {
		remove = "rmdir " + node
		c.Details = []string{"container engines make such a directory when a container mounts a node that is not there"}
	}
	c.Fix = remove
	minor, err := strconv.Atoi(strings.TrimPrefix(node, "/dev/nvidia"))
	switch {
	case isGPU(node) && err == nil:
		c.Fix += " && " + h.makeNode(node, minor)
	case node == "/dev/nvidiactl":
		c.Fix += " && " + h.makeNode(node, 255)
	case node == "/dev/nvidia-uvm":
		c.Fix += " && " + h.makeUVM()
	case strings.HasPrefix(node, "/dev/dri/"), node == "/dev/kfd":
		c.Fix += " && udevadm trigger --action=add --subsystem-match=drm --subsystem-match=kfd"
	}
	c.Not = "generating the CDI Spec again (it would not change what is at " + node + ")"
	return c
}

// checkNodeNumbers looks for nodes of NVIDIA's driver whose major number is that of an earlier load of it.
func checkNodeNumbers(h *host) []report.Check {
	var out []report.Check
	for _, node := range h.Nodes {
		if c, found := h.anotherDevice(node); found {
			out = append(out, c)
			continue
		}
		driver := ""
		switch {
		case node == "/dev/nvidia-uvm" || node == "/dev/nvidia-uvm-tools":
			driver = "nvidia-uvm"
		case strings.HasPrefix(node, "/dev/nvidia-caps/"):
			driver = "nvidia-caps"
		}
		major, known := h.Majors[driver]
		p := h.Paths[node]
		if !known || p.Type != "c" || p.Major == major {
			continue
		}
		c := h.fail("device nodes", fmt.Sprintf("%s has the number %d:%d, but the loaded driver has the major number "+
			"%d: opening it fails",
			node, p.Major, p.Minor, major))
		c.Cause = "numbers of " + driver
		c.Details = []string{"the node is of an earlier load of the driver"}
		c.Fix = "rm " + node + " && " + h.makeUVM()
		if driver == "nvidia-caps" {
			c.Fix, c.Hint = "rm /dev/nvidia-caps/* && nvidia-smi -L", "run by root, it makes the nodes again"
		}
		c.Not = "generating the CDI Spec again (it names the node by its path)"
		out = append(out, c)
	}
	return out
}

// anotherDevice is the finding that a node of NVIDIA's driver has the number of another device. Those of its GPUs and
// of its control node are always the same.
func (h *host) anotherDevice(node string) (report.Check, bool) {
	p, minor := h.Paths[node], int64(255)
	if isGPU(node) {
		minor, _ = strconv.ParseInt(strings.TrimPrefix(node, "/dev/nvidia"), 10, 16)
	} else if node != "/dev/nvidiactl" {
		return report.Check{}, false
	}
	if p.Type != "c" || (p.Major == 195 && p.Minor == minor) {
		return report.Check{}, false
	}
	c := h.fail("device nodes", fmt.Sprintf("%s has the number %d:%d, which is that of another device: NVIDIA's driver "+
		"has it as 195:%d", node, p.Major, p.Minor, minor))
	c.Cause = "number of " + node
	c.Fix = "rm " + node + " && " + h.makeNode(node, int(minor))
	c.Not = "generating the CDI Spec again (it would give containers that other device)"
	return c, true
}

// renumbered explains a node whose number is another than the Spec says.
func (h *host) renumbered(d *device, n *devices.DeviceNode, p facts.Path) report.Check {
	for _, c := range checkNodeNumbers(h) {
		if strings.HasPrefix(c.Message, n.HostPath+" ") {
			return c // the node is wrong, and the Spec is not
		}
	}
	c := h.fail("device nodes", fmt.Sprintf("%s has %s as %d:%d, on this host it is %d:%d since the driver was "+
		"loaded again",
		d.Spec, n.HostPath, n.Major, n.Minor, p.Major, p.Minor))
	c.Cause = "numbers " + d.Spec
	c.Fix, c.Hint = h.regenerate(d.Kind, d.Spec)
	return c
}
