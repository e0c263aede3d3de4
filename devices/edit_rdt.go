package devices

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"
)

// IntelRdt is a setting of Intel Resource Director Technology.
type IntelRdt struct {
	ClosID string `json:"closID"`
	Status Status `json:"status"`

	Setting *cdispecs.IntelRdt `json:"-"` // as the Spec has it
}

func rdtList() editList {
	return listOf[IntelRdt, *IntelRdt]{
		func(e *Edits) *[]*IntelRdt { return &e.IntelRdt },
		func(c *cdispecs.ContainerEdits) []*IntelRdt { return convert([]*cdispecs.IntelRdt{c.IntelRdt}, rdtOf) },
		replace[*IntelRdt],
	}
}

func rdtOf(setting *cdispecs.IntelRdt) *IntelRdt {
	if setting == nil {
		return nil
	}
	return &IntelRdt{setting.ClosID, Late, setting}
}

// Label implements [Edit].
func (rdt *IntelRdt) Label() string { return strings.TrimSpace("Intel RDT class " + rdt.ClosID) }

// Row implements [Edit].
func (rdt *IntelRdt) Row() (label, detail string) { return fmt.Sprintf("intelRdt %q", rdt.ClosID), "" }

// State implements [Edit].
func (rdt *IntelRdt) State() *Status { return &rdt.Status }

// Makes implements [Edit].
func (*IntelRdt) Makes() bool { return false }

// Undone implements [Edit].
func (*IntelRdt) Undone() bool { return false }

func (*IntelRdt) names() (kind string, names []string) { return "", nil }

// key is the same for all settings: a container has one.
func (*IntelRdt) key() string { return "" }

// complete sets Present if config.json has the setting.
func (rdt *IntelRdt) complete(h *host) error { //nolint:unparam // the signature is that of [Edit]
	if linux := h.container.Linux; linux != nil && linux.IntelRdt != nil && rdt.same(linux.IntelRdt) {
		rdt.Status = Present
	}
	return nil
}

// same reports whether config.json has the setting. A class with a name is compared by its name alone, because its
// limits belong to the class. A class without a name belongs to the container and is compared by its limits.
func (rdt *IntelRdt) same(o *specs.LinuxIntelRdt) bool {
	if rdt.ClosID != "" || rdt.Setting == nil {
		return rdt.ClosID != "" && rdt.ClosID == o.ClosID
	}
	s := rdt.Setting
	return o.ClosID == "" && o.L3CacheSchema == s.L3CacheSchema && o.MemBwSchema == s.MemBwSchema &&
		o.EnableMonitoring == s.EnableMonitoring && slices.Equal(o.Schemata, s.Schemata)
}
