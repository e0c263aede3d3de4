package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
)

// Holders lists the running containers that hold devices. Its JSON form is a contract with scripts; lists are never
// null.
type Holders struct {
	Containers []Holder  `json:"containers"` // the newest first
	Unseen     string    `json:"unseen"`     // what is not in the list, in one sentence
	Errors     []Message `json:"errors"`     // records that could not be read, and why
}

// Holder is a running container that holds devices.
type Holder struct {
	Engine    string    `json:"engine"`
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Pod       string    `json:"pod"`
	Namespace string    `json:"namespace"`
	UID       int       `json:"uid"` // whose engine it is
	Since     time.Time `json:"since"`
	Devices   []string  `json:"devices"` // of all holds, each once
	Holds     []Hold    `json:"holds"`
}

// Hold is what a container holds because of one request.
type Hold struct {
	Devices []string `json:"devices"` // CDI names, or what the vendor's own hook was asked for
	Vendor  string   `json:"vendor"`
	Driver  string   `json:"driver"` // "" if the engine serves the request
	Source  string   `json:"source"`
	Value   string   `json:"value"`
}

// HolderOf returns what the container of a record holds, by the kind of each vendor's devices. Its texts are fit to be
// printed, whoever has written the record.
func HolderOf(r *Report, kinds map[string]string) Holder {
	c := r.Container
	h := Holder{
		Engine: Shown(c.Engine), ID: Shown(c.ID), Name: Shown(c.Name), Pod: Shown(c.Pod), Namespace: Shown(c.Namespace),
		UID: c.UID, Since: r.Time, Devices: []string{}, Holds: []Hold{},
	}
	for _, g := range r.Grants {
		if g.Request < 0 || g.Request >= len(r.Requests) {
			continue
		}
		q := r.Requests[g.Request]
		held := g.CDIDevices
		if g.Delegate != nil {
			held = q.Devices
		}
		h.add(q, g.Vendor, g.Driver, held, kinds[g.Vendor])
	}
	for _, q := range r.Requests {
		if q.Status == plan.Present {
			h.add(q, q.Vendor, "", q.Devices, kinds[q.Vendor])
		}
	}
	return h
}

// add adds what one request came to. A device's name without a kind gets that of its vendor.
func (h *Holder) add(q plan.Request, vendor, driver string, held []string, kind string) {
	hold := Hold{
		Devices: []string{}, Vendor: Shown(vendor), Driver: Shown(driver), Source: Shown(q.Source), Value: Shown(q.Value),
	}
	for _, name := range held {
		if !strings.Contains(name, "=") && kind != "" {
			name = kind + "=" + name
		}
		hold.Devices = append(hold.Devices, Shown(name))
	}
	h.Holds = append(h.Holds, hold)
	for _, name := range hold.Devices {
		if !slices.Contains(h.Devices, name) {
			h.Devices = append(h.Devices, name)
		}
	}
}

// FullName returns the container's name: NAMESPACE/POD/CONTAINER in a pod, or "" if it has none.
func (h *Holder) FullName() string { return fullName(h.Namespace, h.Pod, h.Name) }

func fullName(namespace, pod, name string) string {
	if pod == "" {
		return name
	}
	return strings.TrimPrefix(namespace+"/"+pod+"/"+name, "/")
}

// Shown returns a text that others have written as it may be printed: on one line, with escapes in place of what a
// terminal does not show as it is, and of limited length.
func Shown(unsafe string) string {
	const longest = 256 // bytes
	if len(unsafe) > longest {
		return visible(strings.ToValidUTF8(unsafe[:longest], "")) + "…"
	}
	return visible(unsafe)
}

// Text writes the list as text for people.
func (h *Holders) Text(w io.Writer) error {
	t := &textWriter{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	if len(h.Containers) == 0 {
		t.line("no running container holds a device")
	} else {
		t.line("ENGINE\tNAME\tID\tUID\tSINCE\tDEVICES\tREQUEST")
	}
	for _, c := range h.Containers {
		for _, hold := range c.Holds {
			t.line("%s\t%s\t%s\t%d\t%s\t%s\t%s %s", orDash(c.Engine), orDash(c.FullName()), shortID(c.ID), c.UID,
				c.Since.Format(time.RFC3339), orDash(strings.Join(hold.Devices, " ")), hold.Source, strconv.Quote(hold.Value))
		}
	}
	t.line("\n%s", h.Unseen)
	t.messages("error", h.Errors)
	return t.Flush()
}

// orDash returns the text, or a dash where a table has none.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// DeviceHolder is a device and a container that holds it.
type DeviceHolder struct {
	Device    string `json:"device"` // as the inventory lists it, or as the container's request names it
	Container Holder `json:"container"`
}

// On returns who holds which of the devices, in their order. A device that has several names in the list is told by the
// first. A device that is held by another of its names counts, and "all" of a kind is each of its devices. What is held
// and not among the devices comes last.
func (h *Holders) On(list []devices.Device) []DeviceHolder {
	out := []DeviceHolder{}
	known := map[string]bool{}
	for _, d := range list {
		isHeld := func(name string) bool { return isHeldBy(d, name) }
		for _, c := range h.Containers {
			if !known[d.Name] && slices.ContainsFunc(c.Devices, isHeld) {
				out = append(out, DeviceHolder{d.Name, c})
			}
		}
		known[d.Name], known[d.Kind+"=all"] = true, true
		for _, alias := range d.Aliases {
			known[alias] = true
		}
	}
	for _, c := range h.Containers {
		for _, name := range c.Devices {
			if !known[name] {
				out = append(out, DeviceHolder{name, c})
			}
		}
	}
	return out
}

// isHeldBy reports whether whoever holds the device of this name holds d.
func isHeldBy(d devices.Device, name string) bool {
	return name == d.Name || name == d.Kind+"=all" || slices.Contains(d.Aliases, name)
}

// label returns the container's engine, name and short id.
func (h *Holder) label() string {
	id := shortID(h.ID)
	if h.FullName() != "" {
		id = fmt.Sprintf("%s (%s)", h.FullName(), id)
	}
	return strings.TrimSpace(h.Engine + " " + id)
}
