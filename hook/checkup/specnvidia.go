package checkup

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// checkNVIDIASpecs compares NVIDIA's Specs with the GPUs that the driver serves.
func checkNVIDIASpecs(h *host) []report.Check {
	specs := h.nvidiaSpecs()
	if len(specs) == 0 {
		return nil
	}
	var out []report.Check
	for _, find := range []func(string) (report.Check, bool){
		h.withoutUVM, h.withoutGPU, h.withoutMIG, h.wrongUUID, h.wrongIndex, h.withoutIndex,
	} {
		for _, spec := range specs {
			if c, found := find(spec); found {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// nvidiaSpecs returns the files that define GPUs of NVIDIA's by the nodes of its driver. Those for WSL and Tegra have
// others.
func (h *host) nvidiaSpecs() []string {
	var out []string
	for _, d := range h.devices {
		ofDriver := slices.Contains(nodesOf(d), "/dev/nvidiactl") && !d.withoutGPU()
		if d.Kind == nvidiaKind && ofDriver && !slices.Contains(out, d.Spec) {
			out = append(out, d.Spec)
		}
	}
	return out
}

func nodesOf(d device) []string {
	var out []string
	for _, n := range d.nodes {
		out = append(out, n.HostPath)
	}
	return out
}

// nodesIn returns the nodes of all devices of a Spec file; of every Spec of NVIDIA's GPUs for "".
func (h *host) nodesIn(spec string) []string {
	var out []string
	for _, d := range h.devices {
		if d.Kind == nvidiaKind && (spec == "" || d.Spec == spec) {
			out = append(out, nodesOf(d)...)
		}
	}
	return out
}

// withoutUVM is the finding that a Spec has GPUs and not the node that CUDA needs.
func (h *host) withoutUVM(spec string) (report.Check, bool) {
	nodes := h.nodesIn(spec)
	if !slices.ContainsFunc(nodes, isGPU) || slices.Contains(nodes, "/dev/nvidia-uvm") || len(h.GPUs) == 0 {
		return report.Check{}, false
	}
	c := h.fail("CDI Specs", spec+" gives GPUs without /dev/nvidia-uvm: nvidia-smi works in containers, CUDA does not")
	c.Cause = "without uvm " + spec
	command, words := h.regenerate(nvidiaKind, spec)
	c.Fix, c.Hint = command, words
	if h.missing("/dev/nvidia-uvm") {
		c.Details = []string{"it was generated while this host had no such node, and the host still has none"}
		c.Fix = h.makeUVM() + " && " + command
	}
	return c, true
}

// withoutGPU is the finding that a GPU of the host is in no Spec.
func (h *host) withoutGPU(spec string) (report.Check, bool) {
	nodes := h.nodesIn("")
	var lacking []string
	for _, g := range h.GPUs {
		if g.Node() != "" && !slices.Contains(nodes, g.Node()) {
			lacking = append(lacking, fmt.Sprintf("%s (%s, %s)", g.Node(), g.Model, g.UUID))
		}
	}
	for _, node := range h.Nodes {
		// Where the driver does not list its GPUs, the nodes tell.
		if !h.HasGPUs && isGPU(node) && h.Paths[node].Type == "c" && !slices.Contains(nodes, node) {
			lacking = append(lacking, node)
		}
	}
	if len(lacking) == 0 || h.config.CDI.OnIncomplete == config.Ignore {
		return report.Check{}, false
	}
	c := h.warn("CDI Specs", "no CDI Spec has "+strings.Join(lacking, " and "))
	c.Cause = "gone " + spec // with whatever else says that the Spec was made for other GPUs
	c.Details = []string{
		"containers cannot ask for it, and do not get it with \"all\"",
		"if that is on purpose: on-incomplete = \"ignore\" under [cdi] in " + cmp.Or(h.places.Config, config.DefaultPath),
	}
	c.Fix, c.Hint = h.regenerate(nvidiaKind, spec)
	return c, true
}

// withoutMIG is the finding that the driver has MIG instances, and no Spec one.
func (h *host) withoutMIG(spec string) (report.Check, bool) {
	instances := []string{}
	for _, m := range h.MIG {
		if strings.Contains(m.File, "/gi") {
			instances = append(instances, m.Node())
		}
	}
	nodes := h.nodesIn("")
	if slices.ContainsFunc(h.incomplete, func(l lack) bool { return l.Node == "/dev/nvidia-caps" }) {
		return report.Check{}, false // they are defined, and lack their nodes
	}
	if len(instances) == 0 || slices.ContainsFunc(instances, func(n string) bool { return slices.Contains(nodes, n) }) {
		return report.Check{}, false
	}
	c := h.warn("MIG", "the GPU has MIG instances, and no CDI Spec defines one: containers can ask for whole GPUs alone")
	c.Cause = "gone " + spec
	c.Details = []string{"a program that opens a GPU in MIG mode as a whole finds no device"}
	c.Fix, c.Hint = h.regenerate(nvidiaKind, spec)
	return c, true
}

// namesOf returns all names of a device without its kind.
func namesOf(d device) []string {
	var out []string
	for _, name := range append([]string{d.Name}, d.Aliases...) {
		_, short, _ := strings.Cut(name, "=")
		out = append(out, short)
	}
	return out
}

// wrongUUID is the finding that a Spec names a GPU by a UUID that no GPU here, or another one, has.
func (h *host) wrongUUID(spec string) (report.Check, bool) {
	if len(h.GPUs) == 0 || len(h.lostNodes()) > 0 || slices.ContainsFunc(h.GPUs, func(g facts.GPU) bool {
		return !strings.HasPrefix(g.UUID,
			"GPU-")
	}) {
		return report.Check{}, false
	}
	for _, d := range h.devices {
		for _, name := range namesOf(d) {
			if d.Spec != spec || !strings.HasPrefix(name, "GPU-") {
				continue
			}
			i := slices.IndexFunc(h.GPUs, func(g facts.GPU) bool { return g.UUID == name })
			if i < 0 && (h.lost() != "" || h.thisBoot(spec)) {
				continue // that GPU was there, and will be after a restart
			}
			if i >= 0 && (h.GPUs[i].Node() == "" || slices.Contains(nodesOf(d), h.GPUs[i].Node())) {
				continue
			}
			c := h.warn("CDI Specs", fmt.Sprintf("%s has the name %s, and no GPU here has that UUID", spec, name))
			if i >= 0 {
				c = h.fail("CDI Specs", fmt.Sprintf("%s gives another GPU for %s, which is %s here", spec, name, h.GPUs[i].Node()))
			}
			c.Cause = "gone " + spec
			c.Details = []string{"NVIDIA's driver has these: " + h.gpuList()}
			c.Fix, c.Hint = h.regenerate(nvidiaKind, spec)
			return c, true
		}
	}
	return report.Check{}, false
}

// withoutIndex is the finding that a Spec names no GPU by an index, which is how most requests name them.
func (h *host) withoutIndex(spec string) (report.Check, bool) {
	for _, d := range h.devices {
		for _, name := range namesOf(d) {
			if d.Kind == nvidiaKind && strings.Trim(name, "0123456789:") == "" {
				return report.Check{}, false
			}
		}
	}
	c := h.warn("CDI Specs", spec+" names no GPU by its index: NVIDIA_VISIBLE_DEVICES=0 is refused")
	c.Cause = "index " + spec
	c.Fix = h.generate(nvidiaKind, spec) + " --device-name-strategy=index --device-name-strategy=uuid"
	return c, true
}

// wrongIndex is the finding that an index in a Spec is another GPU than the driver's: those count in the order of the
// bus.
func (h *host) wrongIndex(spec string) (report.Check, bool) {
	if len(h.lostNodes()) > 0 {
		return report.Check{}, false // the driver counts without them
	}
	order := slices.Clone(h.GPUs)
	slices.SortFunc(order, func(a, b facts.GPU) int { return strings.Compare(a.Bus, b.Bus) })
	for _, d := range h.devices {
		for _, name := range namesOf(d) {
			n, err := strconv.Atoi(name)
			if d.Spec != spec || err != nil || n >= len(order) || order[n].Node() == "" {
				continue
			}
			nodes := nodesOf(d)
			if slices.Contains(nodes, order[n].Node()) || !slices.ContainsFunc(nodes, isGPU) {
				continue
			}
			c := h.warn("CDI Specs", fmt.Sprintf("%s gives another GPU for index %d than nvidia-smi on the host, where it is %s",
				spec, n, order[n].Node()))
			c.Cause = "gone " + spec
			c.Fix, c.Hint = h.regenerate(nvidiaKind, spec)
			return c, true
		}
	}
	return report.Check{}, false
}
