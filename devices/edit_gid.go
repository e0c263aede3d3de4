package devices

import (
	"fmt"
	"slices"
	"strconv"

	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

// GID is a supplementary group for the container's process.
type GID struct {
	Value  uint32 `json:"value"`
	Status Status `json:"status"`
}

func gidList() editList {
	return listOf[GID, *GID]{
		func(e *Edits) *[]*GID { return &e.AdditionalGIDs },
		func(c *cdispecs.ContainerEdits) []*GID { return convert(c.AdditionalGIDs, gidOf) },
		replace[*GID],
	}
}

// gidOf returns nil for root's group, as the CDI library does: a Spec cannot give it.
func gidOf(gid uint32) *GID {
	if gid == 0 {
		return nil
	}
	return &GID{gid, Late}
}

// Label implements [Edit].
func (g *GID) Label() string { return fmt.Sprintf("group %d", g.Value) }

// Row implements [Edit].
func (g *GID) Row() (label, detail string) { return fmt.Sprintf("group %d", g.Value), "" }

// State implements [Edit].
func (g *GID) State() *Status { return &g.Status }

// Makes implements [Edit].
func (*GID) Makes() bool { return false }

// Undone implements [Edit].
func (*GID) Undone() bool { return false }

func (*GID) names() (kind string, names []string) { return "", nil }

func (g *GID) key() string { return strconv.FormatUint(uint64(g.Value), 10) }

// complete sets Present if config.json has the group.
func (g *GID) complete(h *host) error { //nolint:unparam // the signature is that of [Edit]
	if p := h.container.Process; p != nil && (p.User.GID == g.Value || slices.Contains(p.User.AdditionalGids, g.Value)) {
		g.Status = Present
	}
	return nil
}
