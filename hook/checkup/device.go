package checkup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// checkDevices tries every device of every Spec against the host: first its nodes and files, of which the cause can be
// told, then the plan. What only the plan finds is reported with its reason.
func checkDevices(h *host) []report.Check {
	var out []report.Check
	for i := range h.devices {
		out = append(out, h.device(&h.devices[i])...)
	}
	return out
}

// device returns what is wrong with a device. Where its plan holds all the same, or the vendor's own hook serves,
// containers get it.
func (h *host) device(d *device) []report.Check {
	var out []report.Check
	if c, found := h.stale(d); found {
		out = append(out, c)
	}
	if d.withoutGPU() {
		c := h.fail("CDI Specs", fmt.Sprintf("%s defines a device without a GPU's node: a container gets no GPU", d.Spec))
		c.Cause = "no nodes " + d.Spec
		for _, note := range h.notes {
			if note.What() == d.Spec {
				c.Details = append(c.Details, note.Error())
			}
		}
		c.Fix, c.Hint = h.regenerate(d.Kind, d.Spec)
		return append(out, c)
	}
	for _, n := range d.nodes {
		if c, found := h.badNode(d, n); found && !h.optional(n) {
			out = append(out, c)
		}
	}
	for _, hook := range d.hooks {
		if c, found := h.badHook(d, hook); found && d.refused() {
			out = append(out, c)
		}
	}
	if d.refused() && len(out) == 0 {
		out = append(out, h.refusedDevice(d))
	}
	if !d.refused() || h.fallsBack(d.Kind) {
		for i := range out {
			out[i].Status = report.CheckWarn
		}
	}
	return out
}

// withoutGPU reports whether the device of a vendor's kind has no node of a GPU. NVIDIA's Specs for WSL and Tegra have
// other nodes than its driver for PCs has.
func (d *device) withoutGPU() bool {
	nodes := nodesOf(*d)
	switch {
	case d.Kind != nvidiaKind && d.Kind != amdKind:
		return false
	case slices.Contains(nodes, "/dev/nvidiactl"):
		return !slices.ContainsFunc(nodes, isGPU)
	}
	return len(nodes) == 0
}

// badHook is the finding that a program that the Spec runs is not installed.
func (h *host) badHook(d *device, program string) (report.Check, bool) {
	if p, looked := h.Paths[path.Clean(program)]; !looked || p.Exists() {
		return report.Check{}, false
	}
	c := h.fail("CDI Specs", fmt.Sprintf("%s runs %s, which is not installed", d.Spec, program))
	c.Cause = "program " + program
	switch path.Base(program) {
	case "nvidia-cdi-hook", "nvidia-ctk":
		c.Fix = h.install(packages.Toolkit())
		c.Hint = "or generate the Spec again with the installed tool, if its program is elsewhere now"
		if h.Tool("nvidia-ctk") {
			c.Fix, c.Hint = h.regenerate(d.Kind, d.Spec)
		}
	default:
		c.Fix, c.Hint = h.regenerate(d.Kind, d.Spec)
	}
	return c, true
}

// fallsBack reports whether another driver serves devices of the kind in CDI's place.
func (h *host) fallsBack(kind string) bool {
	return slices.ContainsFunc(h.trials, func(t trial) bool {
		return t.vendor.Kind == kind && !t.refused() && t.fallback != ""
	})
}

// optional reports whether a container can do without the node.
func (h *host) optional(n *devices.DeviceNode) bool {
	return !n.Own && h.config.CDI.Rule("node", n.Path) != ""
}

// refusedDevice is the finding that a plan for the device is refused, with the plan's reason.
func (h *host) refusedDevice(d *device) report.Check {
	c := h.fail("devices", fmt.Sprintf("%s cannot be given: %s", d.Name, d.reason))
	c.Cause, c.Hint = "plan: "+d.reason, d.hint
	return c
}

// stale is the finding that a device's Spec was written for other files than the host has now.
func (h *host) stale(d *device) (report.Check, bool) {
	if d.written == "" && len(d.files) == 0 {
		return report.Check{}, false
	}
	c := h.fail("CDI Specs", fmt.Sprintf("%s was written for driver %s, this host runs %s", d.Spec, d.written, d.loaded))
	c.Cause = "stale " + d.Spec
	if d.written == "" {
		c.Message = fmt.Sprintf("%s names files that are not on this host", d.Spec)
	}
	if len(d.files) > 0 {
		c.Details = []string{fmt.Sprintf("%d of its files are missing, the first is %s", len(d.files), d.files[0])}
	}
	c.Fix, c.Hint = h.regenerate(d.Kind, d.Spec)
	if l, found := h.noLibrary(); found && strings.Contains(strings.Join(d.files, " "), l.Name+".so.") {
		l.Details = append(l.Details, c.Message)
		l.Not = "nvidia-ctk cdi generate before that (it fails without the library, or writes a Spec that lacks it)"
		return l, true
	}
	if m, found := h.mismatch(); found {
		// The new driver is installed and not loaded: the Spec may be right after the restart.
		if !slices.Contains(h.Library.CUDA, d.written) {
			m.Hint = "after the restart: " + c.Fix
		}
		return m, true
	}
	return c, true
}

// checkTrials asks for all devices of each vendor, as a container would.
func checkTrials(h *host) []report.Check {
	var out []report.Check
	served := false
	for _, t := range h.trials {
		if len(t.specs) > 0 && !t.refused() {
			served = true
		}
		out = append(out, h.trial(t)...)
	}
	if !served && len(out) == 0 && !slices.ContainsFunc(h.trials, func(t trial) bool { return !t.refused() }) {
		out = append(out, h.nothingToGive())
	}
	return out
}

// trial returns what a vendor's trial shows. What is refused or falls back for a reason that another check has found is
// added to that one.
func (h *host) trial(t trial) []report.Check {
	name := "driver " + t.vendor.Name
	switch {
	case !t.refused() && !t.served:
		return nil // policy keeps the plan from coming about, which says nothing about the devices
	case !t.refused() && (t.fallback == "" || len(t.specs) == 0):
		by := strings.Join(t.specs, " ")
		if by == "" && h.said.broken[t.vendor.Name] != "" {
			return nil // the finding about the hook says it
		}
		if by == "" {
			by = "by " + t.vendor.RuntimeHook
		}
		return []report.Check{h.ok(name, "a container that asks for all devices gets them: "+by)}
	case !t.refused():
		c := h.warn(name, "the vendor's own hook serves, because CDI does not: "+t.fallback)
		c.Cause = h.causeOf(t)
		return []report.Check{c}
	case len(t.specs) == 0 && !h.expects(t.vendor.Kind) && len(h.unreadSpecs(t.vendor.Kind)) == 0:
		return nil
	}
	c := h.fail(name, fmt.Sprintf("a container that asks for all devices of %s is refused: %s", t.vendor.Name, t.reason))
	c.Hint = t.hint
	if len(t.specs) == 0 && h.anyServed() {
		c.Status = report.CheckWarn
	}
	if cause := h.causeOf(t); cause != "" {
		c.Cause = cause
	} else if len(t.specs) == 0 && t.code == fault.NoSpec {
		status := c.Status
		c = h.noSpec(t)
		c.Status = status
	}
	return []report.Check{c}
}

// causeOf returns the cause of another finding that explains a trial, or "".
func (h *host) causeOf(t trial) string {
	var found []report.Check
	for i := range h.devices {
		if d := &h.devices[i]; d.Kind == t.vendor.Kind {
			found = append(found, h.device(d)...)
		}
	}
	for _, c := range checkConflicts(h) {
		if strings.Contains(c.Message, t.vendor.Kind+"=") {
			found = append(found, c)
		}
	}
	if len(t.specs) == 0 {
		found = append(found, h.unreadSpecs(t.vendor.Kind)...)
	}
	if t.vendor.Kind == nvidiaKind {
		found = append(found, checkDriver(h)...)
	}
	for _, c := range found {
		if c.Status != report.CheckOK && c.Cause != "" {
			return c.Cause
		}
	}
	return ""
}

// servedBy returns the vendor of the kind if a container gets all of its devices, or "".
func (h *host) servedBy(kind string) string {
	for _, t := range h.trials {
		if t.vendor.Kind == kind && t.served {
			return t.vendor.Name
		}
	}
	return ""
}

// anyServed reports whether a container gets all devices of some vendor.
func (h *host) anyServed() bool {
	return slices.ContainsFunc(h.trials, func(t trial) bool { return t.served })
}

// expects reports whether the host has hardware of the kind, so that the lack of a Spec is a fault.
func (h *host) expects(kind string) bool {
	switch kind {
	case nvidiaKind:
		return h.hasNVIDIA() || slices.ContainsFunc(h.Nodes, isGPU)
	case amdKind:
		return slices.Contains(h.Nodes, "/dev/kfd")
	}
	return false
}

// noSpec is the finding that a vendor's GPU is there and no Spec for it.
func (h *host) noSpec(t trial) report.Check {
	c := h.fail("CDI Specs", fmt.Sprintf("no CDI Spec defines %s: containers have nothing to ask for", t.vendor.Kind))
	c.Cause = causeNoSpec + " " + t.vendor.Kind
	c.Details = []string{t.reason}
	for _, d := range h.devices {
		other := t.vendor.Kind == nvidiaKind && slices.ContainsFunc(nodesOf(d), isGPU)
		if other && !slices.ContainsFunc(c.Details, func(o string) bool { return strings.HasPrefix(o, d.Spec+" ") }) {
			c.Details = append(c.Details, fmt.Sprintf("%s defines %s instead, which is asked for by its full name (%s) alone",
				d.Spec, d.Kind, d.Name))
		}
	}
	file := "/etc/cdi/" + t.vendor.Name + ".yaml"
	if slices.ContainsFunc(h.Specs, func(f facts.SpecFile) bool { return f.Path == file }) {
		file = "/etc/cdi/" + t.vendor.Name + "-gpu.yaml" // that file is somebody's
	}
	c.Fix, c.Hint = h.regenerate(t.vendor.Kind, file)
	if h.Refresh.Installed && t.vendor.Kind == nvidiaKind {
		c.Fix = "systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service"
		if h.Refresh.Enabled {
			c.Fix = "systemctl restart nvidia-cdi-refresh.service"
			c.Hint = "if that fails, journalctl -u nvidia-cdi-refresh says why"
		}
	}
	return c
}

// nothingToGive is the finding that no vendor has anything on this host.
func (h *host) nothingToGive() report.Check {
	c := h.fail("drivers", "this host has no GPU to give: no CDI Spec of a vendor's kind, no runtime hook, and no "+
		"GPU that is known here")
	c.Hint = "install the GPU's driver and generate a Spec with its vendor's tool; gpu-hook devices says more"
	return c
}
