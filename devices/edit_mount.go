package devices

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Mount is a bind mount of a host file or directory, or a new tmpfs.
type Mount struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath"`
	Options       []string `json:"options"`
	Status        Status   `json:"status"`

	Type string `json:"-"`
}

func mountList() editList {
	return newEditList(
		func(e *Edits) *[]*Mount { return &e.Mounts },
		func(c *cdispecs.ContainerEdits) []*Mount { return convert(c.Mounts, mountOf) },
	)
}

func mountOf(m *cdispecs.Mount) *Mount {
	return &Mount{m.HostPath, m.ContainerPath, nonNil(m.Options), Apply, m.Type}
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

// addTo replaces the mount on the same path. A new mount goes behind those with paths of the same or less depth, so
// that none hides one that was made before it.
func (m *Mount) addTo(e *Edits) {
	same := func(o *Mount) bool { return path.Clean(o.ContainerPath) == path.Clean(m.ContainerPath) }
	if i := slices.IndexFunc(e.Mounts, same); i >= 0 {
		e.Mounts[i] = m
		return
	}
	behind := len(e.Mounts)
	if i := slices.IndexFunc(e.Mounts, func(o *Mount) bool { return o.depth() > m.depth() }); i >= 0 {
		behind = i
	}
	e.Mounts = slices.Insert(e.Mounts, behind, m)
}

func (m *Mount) depth() int { return strings.Count(path.Clean(m.ContainerPath), "/") }

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
		if err := m.checkSource(what, h.root); err != nil {
			return err
		}
	}
	if mounted(h.container, m.HostPath, m.ContainerPath, m.Tmpfs()) {
		m.Status = Present
	}
	return nil
}

// checkSource checks the host path of a bind mount.
func (m *Mount) checkSource(what, root string) error {
	if !path.IsAbs(m.HostPath) || path.Clean(m.HostPath) == "/" {
		return fault.New(fault.Mount, what, "the path must be that of a file or directory below /").
			WithHint("correct hostPath in the CDI Spec")
	}
	resolved, err := filepath.EvalSymlinks(m.HostPath)
	if errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.Mount, what, "it is missing on this host").
			WithHint("install the driver's libraries or, if the driver has changed, generate the CDI Spec anew")
	}
	if err != nil {
		return fault.New(fault.Mount, what, "%w", err).WithHint("make the file readable to root")
	}
	if resolved == "/" {
		return fault.New(fault.Mount, what, "it is a link to the host's root").WithHint("correct hostPath in the CDI Spec")
	}
	if root != "" && strings.HasPrefix(resolved+"/", root+"/") {
		return fault.New(fault.Mount, what, "it is in the container's own root filesystem").
			WithHint("name a file of the host as hostPath in the CDI Spec")
	}
	return nil
}

// mounted reports whether config.json mounts the host path, or a tmpfs, on the container path.
func mounted(container *specs.Spec, hostPath, containerPath string, tmpfs bool) bool {
	return slices.ContainsFunc(container.Mounts, func(o specs.Mount) bool {
		return path.Clean(o.Destination) == path.Clean(containerPath) && path.Clean(o.Source) == path.Clean(hostPath) &&
			(o.Type == "tmpfs") == tmpfs
	})
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
