package checkup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/hook/checkup/facts"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// checkNodeAccess looks whether the user whose rootless engine it is may open the nodes; for root, whether users may.
func checkNodeAccess(h *host) []report.Check {
	var closed []string // nodes by the owners and modes that close them
	byGroup := map[int][]string{}
	for _, node := range h.wantedNodes() {
		p := h.Paths[node]
		switch {
		case !p.Node() || p.Mode&0o006 == 0o006:
		case h.byUser() && int(p.UID) == h.User.UID && p.Mode&0o600 == 0o600:
		case p.Mode&0o060 == 0o060 && p.GID != 0:
			byGroup[int(p.GID)] = append(byGroup[int(p.GID)], node)
		default:
			closed = append(closed, node)
		}
	}
	var out []report.Check
	if len(closed) > 0 {
		out = append(out, h.closed(closed))
	}
	var groups []int
	for gid := range byGroup {
		groups = append(groups, gid)
	}
	slices.Sort(groups)
	for _, gid := range groups {
		out = append(out, h.ofGroup(gid, byGroup[gid]))
	}
	return out
}

// wantedNodes returns the nodes of the Specs' devices, each once. Root is asked about NVIDIA's alone, which are open to
// everybody unless somebody has closed them; those of DRM never are.
func (h *host) wantedNodes() []string {
	var out []string
	for _, d := range h.devices {
		for _, node := range nodesOf(d) {
			if !slices.Contains(out, node) && (h.byUser() || strings.HasPrefix(node, "/dev/nvidia")) &&
				!strings.HasPrefix(node, "/dev/nvidia-caps/") {
				out = append(out, node)
			}
		}
	}
	return out
}

// group is the name of a group, or its number.
func (h *host) group(gid int) string {
	if name := h.User.GroupIDs[gid]; name != "" {
		return name
	}
	return fmt.Sprint(gid)
}

func mode(p facts.Path) string { return fmt.Sprintf("%04o", p.Mode) }

// closed is the finding that nodes are open to root alone.
func (h *host) closed(nodes []string) report.Check {
	p := h.Paths[nodes[0]]
	c := h.warn("device nodes", fmt.Sprintf("rootless containers cannot open %s (root:%s %s)", nodes[0],
		h.group(int(p.GID)), mode(p)))
	if h.byUser() {
		c.Status = report.CheckFail
	}
	c.Cause = "closed nodes"
	c.Fix = "chmod 666 " + strings.Join(nodes, " ")
	if strings.HasPrefix(nodes[0], "/dev/nvidia") {
		c.Hint = "for good: NVreg_DeviceFileMode=0666 in the options of module nvidia (/etc/modprobe.d)"
	}
	return c
}

// ofGroup is the finding that nodes are open to a group that the user is not in, or that containers do not keep.
func (h *host) ofGroup(gid int, nodes []string) report.Check {
	p, name := h.Paths[nodes[0]], h.group(gid)
	node := fmt.Sprintf("%s (root:%s %s)", nodes[0], name, mode(p))
	if !h.byUser() {
		c := h.warn("device nodes", "rootless containers can open "+node+" only if their user is in the group "+name)
		c.Cause = "group " + name
		c.Fix = "usermod -aG " + name + " USER"
		c.Hint = "then, after a new login: podman --runtime crun run --group-add keep-groups …"
		return c
	}
	c := h.fail("device nodes", fmt.Sprintf("%s cannot open %s: not in the group %s", h.userName(), node, name))
	c.Cause = "group " + name
	switch {
	case slices.Contains(h.User.Groups, gid):
		c = h.warn("device nodes", fmt.Sprintf("containers can open %s only if they keep the groups of %s", node,
			h.userName()))
		c.Cause = "group " + name
		c.Fix = "podman --runtime crun run --group-add keep-groups …"
		if !h.Tool("crun") {
			c.Hint = "crun alone can keep groups, and is not installed: " + h.install(packages.CRun())
		}
	case slices.Contains(h.User.Member, gid):
		c.Message = fmt.Sprintf("%s cannot open %s: added to the group %s only after this login", h.userName(), node, name)
		c.Hint = "log out and in again, then: podman --runtime crun run --group-add keep-groups …"
	default:
		c.Fix = "usermod -aG " + name + " " + h.userName()
		c.Hint = "as root; then, after a new login: podman --runtime crun run --group-add keep-groups …"
	}
	return c
}

func (h *host) userName() string {
	if h.User.Name != "" {
		return h.User.Name
	}
	return fmt.Sprintf("uid %d", h.User.UID)
}
