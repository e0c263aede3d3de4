package nvidia

import (
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// smi is the program of the driver that most people try first.
const smi = "nvidia-smi"

// withoutSMI is the warning that the container's command runs nvidia-smi, which NVIDIA's hook does not give it with
// these driver capabilities; or nil. What CDI gives does not depend on them.
func withoutSMI(o contract.Order, capabilities []string) *fault.Error {
	process := o.Container.Spec.Process
	if slices.Contains(capabilities, "utility") || process == nil ||
		!slices.ContainsFunc(process.Args, func(arg string) bool { return strings.Contains(arg, smi) }) {
		return nil
	}
	what := DriverCapabilities + "=" + strings.Join(capabilities, ",")
	selects := func(d contract.Demand) bool { return len(Selected(d.Capabilities)) > 0 }
	if i := slices.IndexFunc(o.Demands, selects); i >= 0 {
		what = o.Demands[i].What
	}
	return fault.New(fault.Skipped, what, "it lacks utility, so that the container does not get %s", smi).
		WithHint("ask for the capability utility too: %s=%s,utility", DriverCapabilities, strings.Join(capabilities, ","))
}
