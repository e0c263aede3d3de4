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

// Selected returns those of a request's capabilities that are NVIDIA's driver capabilities, in the request's order:
// Docker's "gpu" and "nvidia" choose a vendor and mean no part of a driver.
func Selected(requested []string) []string {
	var out []string
	for _, c := range requested {
		if c == CapabilityAll || slices.Contains(Capabilities(), c) {
			out = append(out, c)
		}
	}
	return out
}

// DriverCapabilitiesOf resolves what an image says of driver capabilities: the value of NVIDIA_DRIVER_CAPABILITIES, if
// it is set, within the supported ones, sorted. "all" and, for a legacy image, an unset variable mean all that are
// supported; unset or empty otherwise means those of utility and compute that are.
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
		return sorted(slices.DeleteFunc(slices.Clone(supported), func(c string) bool { return c != "utility" && c != "compute" })), nil
	}
	return Within(wanted, supported)
}

// Within checks that every driver capability is supported and returns them sorted, each once, "all" as all of them. An
// error names the one that is not, and those that are.
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

// UnsupportedError is a driver capability that there is, but that the administrator does not give.
type UnsupportedError struct {
	Capability string
	Supported  []string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("driver capability %q is not supported on this host; supported: %s", e.Capability, strings.Join(e.Supported, ", "))
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}
