package report

import (
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Inventory lists the vendors, drivers and devices of this host, and the sources of requests that count. Its JSON form
// is a contract with scripts; lists are never null.
type Inventory struct {
	Vendors   []VendorInfo       `json:"vendors"` // in order of preference
	Devices   []devices.Device   `json:"devices"`
	Conflicts []devices.Conflict `json:"conflicts"`
	Sources   []SourcesInfo      `json:"sources"`
	Holders   []DeviceHolder     `json:"holders"`
	Errors    []Message          `json:"errors"` // files that could not be read, and why; and what Specs lack
}

// VendorInfo is a vendor with its drivers in order of preference.
type VendorInfo struct {
	Name         string       `json:"name"`
	Kind         string       `json:"kind"`
	Env          string       `json:"env"`
	Capabilities []string     `json:"capabilities"`
	Drivers      []DriverInfo `json:"drivers"`
}

// DriverInfo tells whether a driver has what it needs on this host. Paths are those of its Specs or of its hook.
type DriverInfo struct {
	Name   string   `json:"name"`
	Found  bool     `json:"found"`
	Paths  []string `json:"paths"`
	Reason string   `json:"reason"`
}

// SourcesInfo are the sources of requests that count for an engine, highest first; "" stands for all other engines.
type SourcesInfo struct {
	Engine     string              `json:"engine"`
	Sources    []string            `json:"sources"`
	Namespaces map[string][]string `json:"namespaces"`
}

// MessageOf returns the message of an error.
func MessageOf(err error) Message { return message(fault.From(err)) }

// Text writes the inventory as text for people.
func (i *Inventory) Text(w io.Writer) error {
	t := &textWriter{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.line("vendors, the first that can serve a request gets it:")
	for _, v := range i.Vendors {
		t.line("  %s\t%s\t%s\t%s", v.Name, v.Kind, v.Env, strings.Join(v.Capabilities, ","))
		for _, d := range v.Drivers {
			found := "no: " + d.Reason
			if d.Found {
				found = "yes: " + strings.Join(d.Paths, " ")
			}
			t.line("    driver %s\t%s", d.Name, found)
		}
	}
	t.line("\ndevices that CDI knows:")
	for _, d := range i.Devices {
		also := ""
		if len(d.Aliases) > 0 {
			also = "also " + strings.Join(d.Aliases, " ")
		}
		t.line("  %s\t%s\t%s", d.Name, d.Spec, also)
		t.holders(i.Holders, d.Name)
	}
	for _, c := range i.Conflicts {
		t.line("  %s\tCONFLICT\tin %s", c.Name, strings.Join(c.Specs, " and "))
	}
	if len(i.Devices)+len(i.Conflicts) == 0 {
		t.line("  none")
	}
	t.otherHolders(i)
	t.line("\nsources of requests that count, highest first:")
	for _, s := range i.Sources {
		name := s.Engine
		if name == "" {
			name = "(any other)"
		}
		t.line("  %s\t%s", name, strings.Join(s.Sources, " "))
		for _, namespace := range slices.Sorted(maps.Keys(s.Namespaces)) {
			t.line("    namespace %s\tand %s", namespace, strings.Join(s.Namespaces[namespace], " "))
		}
	}
	for _, m := range i.Errors {
		kind := "error"
		if strings.HasPrefix(string(m.Code), "W-") {
			kind = "warning"
		}
		t.messages(kind, []Message{m})
	}
	return t.Flush()
}

// holders writes which running containers hold the device.
func (t *textWriter) holders(all []DeviceHolder, device string) {
	for _, h := range all {
		if h.Device == device {
			t.line("    held by %s", h.Container.label())
		}
	}
}

// otherHolders writes which running containers hold devices that are not among those of the inventory.
func (t *textWriter) otherHolders(i *Inventory) {
	for n, h := range i.Holders {
		isListed := func(d devices.Device) bool { return d.Name == h.Device }
		isWritten := func(before DeviceHolder) bool { return before.Device == h.Device }
		if slices.ContainsFunc(i.Devices, isListed) || slices.ContainsFunc(i.Holders[:n], isWritten) {
			continue
		}
		t.line("  %s\tin no Spec now\t", h.Device)
		t.holders(i.Holders, h.Device)
	}
}
