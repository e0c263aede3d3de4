package nvidia

import (
	"fmt"
	"slices"
	"strings"
)

// CapabilityAll stands for every supported driver capability.
const CapabilityAll = "all"

// Capabilities are the driver capabilities that NVIDIA's tools know.
func Capabilities() []string {
	return []string{"compat32", "compute", "display", "graphics", "ngx", "utility", "video"}
}

// Selected returns those of a request's capabilities that are NVIDIA's driver capabilities, in the request's order.
// Docker's "gpu" and "nvidia" are left out: they choose a vendor, not a part of its driver.
func Selected(requested []string) []string {
	var out []string
	for _, c := range requested {
		if c == CapabilityAll || slices.Contains(Capabilities(), c) {
			out = append(out, c)
		}
	}
	return out
}

// DriverCapabilitiesOf returns, sorted, the driver capabilities that an image requests by the value of
// NVIDIA_DRIVER_CAPABILITIES. Whatever it requests must be supported.
//
// "all" means all supported ones. So does an unset variable for a legacy image. In every other case an unset or empty
// variable means utility and compute, as far as they are supported.
func DriverCapabilitiesOf(value string, set, legacy bool, supported []string) ([]string, error) {
	var wanted []string
	for c := range strings.SplitSeq(value, ",") {
		if c = strings.TrimSpace(c); c != "" {
			wanted = append(wanted, c)
		}
	}
	switch {
	case !set && legacy:
		return sorted(supported), nil
	case len(wanted) == 0:
		isExtra := func(c string) bool { return c != "utility" && c != "compute" }
		return sorted(slices.DeleteFunc(slices.Clone(supported), isExtra)), nil
	}
	return Within(wanted, supported)
}

// Within checks that every wanted driver capability is supported, and returns them sorted, each once. "all" stands for
// all supported ones. The error names the first that is not supported, and all that are; it is an [*UnsupportedError]
// if NVIDIA's tools know the capability.
func Within(wanted, supported []string) ([]string, error) {
	if slices.Contains(wanted, CapabilityAll) {
		return sorted(supported), nil
	}
	for _, c := range wanted {
		switch {
		case slices.Contains(supported, c):
		case slices.Contains(Capabilities(), c):
			return nil, &UnsupportedError{c, supported}
		default:
			return nil, fmt.Errorf("driver capability %q is not known; supported: %s", c, strings.Join(supported, ", "))
		}
	}
	return sorted(wanted), nil
}

// UnsupportedError is the error about a driver capability that exists, but that the administrator does not support.
type UnsupportedError struct {
	Capability string
	Supported  []string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("driver capability %q is not supported on this host; supported: %s",
		e.Capability, strings.Join(e.Supported, ", "))
}

// sorted returns a sorted copy of the list with each element once.
func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}
