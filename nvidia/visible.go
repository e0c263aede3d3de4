// Package nvidia is NVIDIA's contract with GPU images and with its own runtime hook: the variables that ask for devices
// and driver capabilities, and what its hook must be handed to serve a request. It changes nothing and runs nothing.
package nvidia

import (
	"slices"
	"strings"
)

// Variables of NVIDIA's contract.
const (
	VisibleDevices     = "NVIDIA_VISIBLE_DEVICES"
	DriverCapabilities = "NVIDIA_DRIVER_CAPABILITIES"
)

// Visible is what a visible-devices variable asks for.
type Visible struct {
	// IDs as they were written, each once; ["all"] for all devices.
	IDs []string
	// Nothing is "", or says why no device is asked for: "void", "none" or "empty".
	Nothing string
}

// ParseVisible reads the value of NVIDIA_VISIBLE_DEVICES, or of another vendor's variable of that kind, as NVIDIA
// documents it: a comma list, blanks dropped; "void" anywhere empties it; the first of "all" and "none" decides for the
// whole list.
func ParseVisible(unsafeValue string) Visible {
	var ids []string
	for id := range strings.SplitSeq(unsafeValue, ",") {
		if id = strings.TrimSpace(id); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	switch {
	case slices.Contains(ids, "void"):
		return Visible{Nothing: "void"}
	case len(ids) == 0:
		return Visible{Nothing: "empty"}
	}
	for _, id := range ids {
		switch id {
		case "all":
			return Visible{IDs: []string{"all"}}
		case "none":
			return Visible{Nothing: "none"}
		}
	}
	return Visible{IDs: ids}
}

// Capabilities are the driver capabilities that NVIDIA's tools know.
func Capabilities() []string {
	return []string{"compat32", "compute", "display", "graphics", "ngx", "utility", "video"}
}

// Selected returns those of a request's capabilities that are NVIDIA's driver capabilities, in the request's order:
// Docker's "gpu" and "nvidia" choose a vendor and mean no part of a driver.
func Selected(requested []string) []string {
	var out []string
	for _, c := range requested {
		if c == "all" || slices.Contains(Capabilities(), c) {
			out = append(out, c)
		}
	}
	return out
}
