package nvidia

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
)

const (
	controlNode = "/dev/nvidiactl"
	uvmNode     = "/dev/nvidia-uvm"
	nodesOfCaps = "/dev/nvidia-caps"
)

// Lacking implements [contract.Specs]. nvidia-ctk leaves out of a Spec what the host does not have when it runs, such
// as the node of nvidia_uvm at boot.
func (n Contract) Lacking(g contract.Given) []contract.Lack {
	dir := dirOfGPUs(g)
	if dir == "" {
		return nil // WSL's and Tegra's GPUs have other nodes
	}
	maker := func(node string) string { return n.look().maker(node) }
	h := holdings{
		dir: dir, exists: exists, maker: maker, devices: "/proc/devices", gpus: gpusDir, caps: capsDir, nodes: nodesOfCaps,
	}
	return h.lacking(g)
}

// holdings is what the host has, as far as it is looked at. A directory of GPU nodes other than /dev is that of a
// driver root, about which the paths of the kernel tell nothing.
type holdings struct {
	dir                        string // of the host's GPU nodes
	exists                     func(path string) bool
	maker                      func(node string) string // of the command that makes a node
	devices, gpus, caps, nodes string                   // paths of the kernel's and the driver's lists
}

// dirOfGPUs returns the directory of the host in which the GPU nodes of the container are, or "" if there is none.
func dirOfGPUs(g contract.Given) string {
	for _, node := range g.Nodes {
		if IsGPU(node.Path) && node.HostPath != "" {
			return path.Dir(node.HostPath)
		}
	}
	return ""
}

func (h holdings) lacking(g contract.Given) []contract.Lack {
	var out []contract.Lack
	for _, find := range []func(contract.Given) (contract.Lack, bool){
		h.control, h.uvm, h.capabilities, h.instances, h.gpu, h.lost,
	} {
		if lack, found := find(g); found {
			out = append(out, lack)
		}
	}
	return out
}

// control is the lack of the node through which everything opens a GPU.
func (h holdings) control(g contract.Given) (contract.Lack, bool) {
	if g.Has(controlNode) || !h.exists(path.Join(h.dir, path.Base(controlNode))) {
		return contract.Lack{}, false
	}
	return contract.Lack{
		Node: controlNode, What: "it lacks " + controlNode + ": neither nvidia-smi nor CUDA finds a GPU in the container",
	}, true
}

// uvm is the lack of CUDA's node. A host that has loaded no module for it lacks it itself.
func (h holdings) uvm(g contract.Given) (contract.Lack, bool) {
	if g.Has(uvmNode) || !needsUVM(g.Capabilities) {
		return contract.Lack{}, false
	}
	lack := contract.Lack{
		Node: uvmNode, What: "it lacks " + uvmNode + ": nvidia-smi works in the container, CUDA does not",
	}
	switch {
	case h.exists(path.Join(h.dir, path.Base(uvmNode))):
	case h.registered("nvidia-uvm"):
		lack.Before = h.maker(uvmNode)
	default:
		return contract.Lack{}, false
	}
	return lack, true
}

// needsUVM reports whether one of the driver capabilities is CUDA's, or may be.
func needsUVM(capabilities []string) bool {
	without := []string{"compat32", "display", "graphics", "utility"}
	return len(capabilities) == 0 ||
		slices.ContainsFunc(capabilities, func(c string) bool { return !slices.Contains(without, c) })
}

// capabilities is the lack of the nodes without which a MIG device cannot be opened.
func (h holdings) capabilities(g contract.Given) (contract.Lack, bool) {
	if givesCapability(g) || !slices.ContainsFunc(g.Names, isMIGName) || h.dir != "/dev" {
		return contract.Lack{}, false
	}
	lack := contract.Lack{
		Node: nodesOfCaps, What: "it gives MIG devices without nodes of " + nodesOfCaps + ": no program can open them",
	}
	switch {
	case len(h.instanceNodes()) > 0:
	case h.registered("nvidia-caps"):
		lack.Before = "nvidia-smi -L" // run by root, it makes the nodes
	default:
		return contract.Lack{}, false
	}
	return lack, true
}

// instances is the lack of every MIG instance where all devices were requested.
func (h holdings) instances(g contract.Given) (contract.Lack, bool) {
	if !g.All || givesCapability(g) || slices.ContainsFunc(g.Names, isMIGName) || h.dir != "/dev" {
		return contract.Lack{}, false
	}
	nodes := h.instanceNodes()
	if len(nodes) == 0 || !h.hasInstances() {
		return contract.Lack{}, false
	}
	return contract.Lack{
		Node: path.Join(nodesOfCaps, nodes[0]),
		What: "it has none of the MIG instances of this host, and a GPU in MIG mode does not work as a whole",
	}, true
}

// gpu is the lack of some of the GPUs where all were requested. Of each GPU more is read only if there are more of them
// than the container gets.
func (h holdings) gpu(g contract.Given) (contract.Lack, bool) {
	if !g.All || h.dir != "/dev" {
		return contract.Lack{}, false
	}
	entries, _ := os.ReadDir(h.gpus)
	var given []string
	for _, node := range g.Nodes {
		if IsGPU(node.Path) && !slices.Contains(given, node.Path) {
			given = append(given, node.Path)
		}
	}
	if len(entries) <= len(given) {
		return contract.Lack{}, false
	}
	var lacking []string
	for _, e := range entries {
		about := information(h.gpus, e.Name())
		node := "/dev/nvidia" + about["Device Minor"]
		if IsGPU(node) && about["GPU Excluded"] != "Yes" && !slices.Contains(given, node) {
			lacking = append(lacking, node)
		}
	}
	if len(lacking) == 0 {
		return contract.Lack{}, false
	}
	slices.Sort(lacking)
	return contract.Lack{
		Node: lacking[0],
		What: fmt.Sprintf("it lacks %s: %q gives %d GPUs, and the driver has %d",
			strings.Join(lacking, " and "), "all", len(given), len(given)+len(lacking)),
	}, true
}

// lost is the lack of the GPU behind a node that the container gets: it has fallen off the bus, or was taken out, and
// its node has stayed. A driver without any GPU in its list may be one that lists none, as Tegra's. Of each GPU more is
// read only if there is a node after those of as many GPUs as the driver has.
func (h holdings) lost(g contract.Given) (contract.Lack, bool) {
	entries, _ := os.ReadDir(h.gpus)
	if h.dir != "/dev" || len(entries) == 0 || !h.exists("/dev/nvidia"+strconv.Itoa(len(entries))) {
		return contract.Lack{}, false
	}
	var served []string
	for _, e := range entries {
		about := information(h.gpus, e.Name())
		if about["Device Minor"] == "" || about["GPU Excluded"] == "Yes" {
			return contract.Lack{}, false // it may be the GPU of any node
		}
		served = append(served, "/dev/nvidia"+about["Device Minor"])
	}
	var lost []string
	for _, n := range g.Nodes {
		if node := n.HostPath; IsGPU(node) && !slices.Contains(served, node) && !slices.Contains(lost, node) {
			lost = append(lost, node)
		}
	}
	if len(lost) == 0 {
		return contract.Lack{}, false
	}
	slices.Sort(lost)
	return contract.Lack{
		Node: lost[0], What: "NVIDIA's driver has no GPU for " + strings.Join(lost, " and ") + ": no program can open it",
		First: "ask for another GPU; dmesg says why it is gone (NVRM, Xid 79); removed for good",
	}, true
}

// givesCapability reports whether the container gets the node of a MIG capability.
func givesCapability(g contract.Given) bool {
	return slices.ContainsFunc(g.Nodes, func(n contract.GivenNode) bool { return path.Dir(n.Path) == nodesOfCaps })
}

// isMIGName reports whether a CDI name is that of a MIG device, by its index or UUID: 0:1, mig0:1 or MIG-….
func isMIGName(name string) bool {
	_, device, _ := strings.Cut(name, "=")
	gpu, instance, found := strings.Cut(strings.TrimPrefix(device, "mig"), ":")
	return strings.HasPrefix(device, "MIG-") || found && only(gpu, "0123456789") && only(instance, "0123456789")
}

// instanceNodes returns the nodes of MIG instances. The first two nodes are those of the rights to configure and to
// watch MIG, which every host with MIG has.
func (h holdings) instanceNodes() []string {
	entries, _ := os.ReadDir(h.nodes)
	var out []string
	for _, e := range entries {
		number, found := strings.CutPrefix(e.Name(), "nvidia-cap")
		if n, err := strconv.Atoi(number); found && err == nil && n > 2 {
			out = append(out, e.Name())
		}
	}
	return out
}

// hasInstances reports whether a GPU has a MIG instance now. Nodes of instances that are gone may stay.
func (h holdings) hasInstances() bool {
	gpus, _ := os.ReadDir(h.caps)
	return slices.ContainsFunc(gpus, func(gpu os.DirEntry) bool {
		instances, _ := os.ReadDir(path.Join(h.caps, gpu.Name(), "mig"))
		return slices.ContainsFunc(instances, func(i os.DirEntry) bool { return strings.HasPrefix(i.Name(), "gi") })
	})
}

// registered reports whether the kernel has a driver of this name for character devices. It is asked only where nodes
// are lacking.
func (h holdings) registered(driver string) bool {
	if h.dir != "/dev" {
		return false
	}
	text, _ := os.ReadFile(h.devices)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == "Block" {
			return false
		}
		if len(fields) == 2 && fields[1] == driver {
			return true
		}
	}
	return false
}
