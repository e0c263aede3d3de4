// Package nvidia is NVIDIA's contract with GPU images and with its own runtime hook: the variables that request devices
// and driver capabilities, what images require of the driver, and what NVIDIA's hook must be given to serve a request.
// It changes nothing and runs nothing.
package nvidia

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// Variables of NVIDIA's contract.
const (
	VisibleDevices     = "NVIDIA_VISIBLE_DEVICES"
	DriverCapabilities = "NVIDIA_DRIVER_CAPABILITIES"
	IMEXChannels       = "NVIDIA_IMEX_CHANNELS"
	MIGConfigDevices   = "NVIDIA_MIG_CONFIG_DEVICES"
	MIGMonitorDevices  = "NVIDIA_MIG_MONITOR_DEVICES"
	DisableRequire     = "NVIDIA_DISABLE_REQUIRE"
	RequirePrefix      = "NVIDIA_REQUIRE_"
	CUDAVersion        = "CUDA_VERSION"
)

// IMEXKind is the CDI kind of IMEX channels.
const IMEXKind = "nvidia.com/imex-channel"

// maxIDs and maxValue bound a list of devices, in ids and in bytes. No host has as many devices.
const (
	maxIDs   = limits.Devices
	maxValue = limits.Value
)

// ParseVisible reads the value of NVIDIA_VISIBLE_DEVICES, or of another vendor's variable of that kind, as NVIDIA
// documents it. The value is a list of ids separated by commas; blanks are dropped and duplicates count once. "void"
// anywhere empties the list. Otherwise the first of "all" and "none" decides for the whole list.
func ParseVisible(unsafeValue string) (contract.Visible, error) {
	if len(unsafeValue) > maxValue {
		return contract.Visible{}, fmt.Errorf("it is longer than %d bytes", maxValue)
	}
	return VisibleOf(strings.Split(unsafeValue, ","))
}

// VisibleOf is [ParseVisible] of a list that is already split.
func VisibleOf(unsafeIDs []string) (contract.Visible, error) {
	var ids []string
	seen := map[string]bool{}
	for _, id := range unsafeIDs {
		if id = strings.TrimSpace(id); id != "" && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	switch {
	case seen["void"]:
		return contract.Visible{Nothing: "void"}, nil
	case len(ids) == 0:
		return contract.Visible{Nothing: "empty"}, nil
	case len(ids) > maxIDs:
		return contract.Visible{}, fmt.Errorf("%d devices are more than any host has (%d)", len(ids), maxIDs)
	}
	switch i := slices.IndexFunc(ids, func(id string) bool { return id == "all" || id == "none" }); {
	case i < 0:
		return contract.Visible{IDs: ids}, nil
	case ids[i] == "all":
		return contract.Visible{IDs: []string{"all"}}, nil
	}
	return contract.Visible{None: true}, nil
}

// IsMIGInstance reports whether id names a MIG device by its GPU, GPU instance and compute instance:
// MIG-GPU-<uuid>/<gi>/<ci>. CDI has no name for such an id.
func IsMIGInstance(id string) bool {
	const digits, hex = "0123456789", "0123456789-ABCDEFabcdef"
	rest, found := strings.CutPrefix(id, "MIG-GPU-")
	parts := strings.Split(rest, "/")
	return found && len(parts) == 3 && only(parts[0], hex) && only(parts[1], digits) && only(parts[2], digits)
}

// only reports whether the text is not empty and has no other characters than these letters.
func only(text, letters string) bool { return text != "" && strings.Trim(text, letters) == "" }

// maxChannel is the highest IMEX channel for which a device number has room.
const maxChannel = 1<<20 - 1

// ParseChannels reads a list of IMEX channels, such as the value of NVIDIA_IMEX_CHANNELS, and returns their numbers.
// A channel may be written as "0" or "channel0". "none", "void" and an empty list mean no channel. So does "all",
// because it does not name a channel for NVIDIA's own tools either.
func ParseChannels(unsafeIDs []string) ([]string, error) {
	v, err := VisibleOf(unsafeIDs)
	if err != nil {
		return nil, err
	}
	if slices.Equal(v.IDs, []string{"all"}) {
		return nil, nil
	}
	var out []string
	for _, id := range v.IDs {
		n, err := strconv.ParseUint(strings.TrimPrefix(id, "channel"), 10, 32)
		if err != nil || n > maxChannel {
			return nil, fmt.Errorf("IMEX channel %q is not a number from 0 to %d", id, maxChannel)
		}
		out = append(out, strconv.FormatUint(n, 10))
	}
	return out, nil
}

// Asks reports whether a container requests something, or requires something of the host, by the variable with this
// name.
func Asks(name string) bool {
	switch name {
	case VisibleDevices, DriverCapabilities, IMEXChannels,
		MIGConfigDevices, MIGMonitorDevices,
		DisableRequire, CUDAVersion:
		return true
	}
	return strings.HasPrefix(name, RequirePrefix)
}

// IsGPU reports whether the path is that of the device node of a whole GPU: /dev/nvidia followed by a number.
func IsGPU(node string) bool {
	number, found := strings.CutPrefix(node, "/dev/nvidia")
	return found && only(number, "0123456789")
}
