package devices

import (
	"cmp"
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Mount is a bind mount of a host file or directory, or a new tmpfs.
type Mount struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath"`
	Options       []string `json:"options"`
	Status        Status   `json:"status"`

	Type string `json:"-"`
	// Source is HostPath without symbolic links, once the mount is complete. It is what is mounted.
	Source string `json:"-"`
}

func mountList() editList {
	return listOf[Mount, *Mount]{
		func(e *Edits) *[]*Mount { return &e.Mounts },
		func(c *cdispecs.ContainerEdits) []*Mount { return convert(c.Mounts, mountOf) },
		addMounts,
	}
}

func mountOf(m *cdispecs.Mount) *Mount {
	return &Mount{
		HostPath: m.HostPath, ContainerPath: m.ContainerPath, Options: nonNil(m.Options), Status: Apply, Type: m.Type,
	}
}

// Label implements [Edit].
func (m *Mount) Label() string { return "mount " + m.ContainerPath }

// Row implements [Edit].
func (m *Mount) Row() (label, detail string) {
	return "mount " + m.ContainerPath, strings.Join(m.Options, ",")
}

// State implements [Edit].
func (m *Mount) State() *Status { return &m.Status }

// Makes implements [Edit].
func (*Mount) Makes() bool { return true }

// Undone implements [Edit].
func (*Mount) Undone() bool { return true }

func (m *Mount) names() (kind string, names []string) {
	return kindMount, []string{path.Clean(m.ContainerPath)}
}

// key returns the mount's path in the container.
func (m *Mount) key() string { return path.Clean(m.ContainerPath) }

// addMounts adds mounts to the list. One that replaces none goes before the first with a path of more depth, so that
// none hides one that is made before it.
func addMounts(list, more []*Mount) []*Mount {
	n := len(list)
	if list = replace(list, more); len(list) == n {
		return list
	}
	old, fresh := deepMounts(list[:n]), deepMounts(list[n:])
	slices.SortStableFunc(fresh, func(a, b deepMount) int { return cmp.Compare(a.depth, b.depth) })
	list = list[:0]
	for _, m := range old {
		for len(fresh) > 0 && fresh[0].depth < m.depth {
			list, fresh = append(list, fresh[0].Mount), fresh[1:]
		}
		list = append(list, m.Mount)
	}
	for _, m := range fresh {
		list = append(list, m.Mount)
	}
	return list
}

// deepMount is a mount with the depth of its path, which takes too long to be found for each comparison.
type deepMount struct {
	*Mount
	depth int
}

func deepMounts(mounts []*Mount) []deepMount {
	out := make([]deepMount, 0, len(mounts))
	for _, m := range mounts {
		out = append(out, deepMount{m, strings.Count(m.key(), "/")})
	}
	return out
}

func (m *Mount) complete(h *host) error {
	what := "mount of " + m.HostPath
	if err := checkContainerPath(m.ContainerPath); err != nil {
		return fault.New(fault.Mount, "mount on "+m.ContainerPath, "%w", err).
			WithHint("correct containerPath in the CDI Spec")
	}
	switch m.Type {
	case "", "bind", "none", "tmpfs":
	default:
		return fault.New(fault.Mount, what, "mounts of type %q are not supported, only bind mounts and tmpfs", m.Type).
			WithHint("use a bind mount in the CDI Spec")
	}
	if _, err := m.Attributes(); err != nil {
		return fault.New(fault.Mount, what, "%w", err).WithHint("correct the options in the CDI Spec")
	}
	if !m.Tmpfs() {
		if err := m.checkSource(what, h); err != nil {
			return err
		}
	}
	if h.carried.mounts(m.HostPath, m.ContainerPath, m.Tmpfs()) {
		m.Status = Present
	}
	return nil
}

// checkSource checks the host path of a bind mount, and sets Source.
func (m *Mount) checkSource(what string, h *host) error {
	if !path.IsAbs(m.HostPath) || path.Clean(m.HostPath) == "/" {
		return fault.New(fault.Mount, what, "the path must be that of a file or directory below /").
			WithHint("correct hostPath in the CDI Spec")
	}
	resolved, err := h.sources.resolve(m.HostPath)
	if errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.Mount, what, "it is missing on this host").
			WithHint("install the driver's libraries, or generate the CDI Spec again")
	}
	if errors.Is(err, trust.ErrUntrusted) {
		return fault.New(fault.Mount, what, "%w", err).
			WithHint("write into hostPath in the CDI Spec where the link should lead, or remove the link")
	}
	if err != nil {
		return fault.New(fault.Mount, what, "%w", err).WithHint("make the file readable to root")
	}
	if resolved == "/" {
		return fault.New(fault.Mount, what, "it is a link to the host's root").WithHint("correct hostPath in the CDI Spec")
	}
	if h.inRoot(resolved) {
		return fault.New(fault.Mount, what, "it is in the container's own root filesystem").
			WithHint("name a file of the host as hostPath in the CDI Spec")
	}
	m.Source = resolved
	return nil
}

func checkContainerPath(p string) error {
	switch {
	case !path.IsAbs(p):
		return errors.New("the path is not absolute")
	case path.Clean(p) == "/":
		return errors.New("the path is the container's root")
	case slices.Contains(strings.Split(p, "/"), ".."):
		return errors.New(`the path has a ".." in it`)
	}
	return nil
}
