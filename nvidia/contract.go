package nvidia

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Contract is NVIDIA's [contract.Vendor].
type Contract struct {
	Compatible
	Supported         []string // driver capabilities that the administrator supports
	Requirements      string   // policy for requirements that the host does not meet: one of those below
	DriverVersionFile string   // file in which the loaded driver states its version
	ConfigFile        string   // path of gpu-hook's configuration file, for hints
}

// Policies for what an image requires of the driver. With any other value, an unmet requirement is a warning.
const (
	RequirementsEnforce = "enforce" // the container does not start
	RequirementsIgnore  = "ignore"  // NVIDIA_REQUIRE_* variables are not read
)

// PartIMEX is the name of the [contract.Part] that IMEX channels are.
const PartIMEX = "imex"

// channelDir is where the driver makes the nodes of IMEX channels.
const channelDir = "/dev/nvidia-caps-imex-channels"

// Dialect is the grammar of NVIDIA_VISIBLE_DEVICES.
type Dialect struct{}

// ParseVisible implements [contract.Dialect].
func (Dialect) ParseVisible(unsafeValue string) (contract.Visible, error) {
	return ParseVisible(unsafeValue)
}

// Unknown implements [contract.Dialect]. It returns "": NVIDIA's Specs can name devices in every form that the variable
// takes.
func (Dialect) Unknown(string) (why, hint string) { return "", "" }

// Asks implements [contract.Requests].
func (Contract) Asks(variable string) bool { return Asks(variable) }

// Unset implements [contract.Requests]: images older than NVIDIA_VISIBLE_DEVICES request all devices.
func (Contract) Unset(c *state.Container) (variable, unsafeValue string) {
	if !LegacyImage(c) {
		return "", ""
	}
	value, _ := c.Env(CUDAVersion)
	return CUDAVersion, value
}

// ByMounts implements [contract.Requests].
func (Contract) ByMounts() bool { return true }

// SeeMounts implements [contract.Requests]: device plugins set the variable to the directory of the mounts.
func (Contract) SeeMounts(unsafeValue string) bool { return unsafeValue == MountRoot }

// Parts implements [contract.Requests]. "all" requests no channel, as with NVIDIA's own tools.
func (Contract) Parts() []contract.Part {
	return []contract.Part{{
		Name: PartIMEX, Kind: IMEXKind, Variable: IMEXChannels, Parse: ParseChannels, Noun: "IMEX channel",
		Hint: "ask for IMEX channels by their numbers, for example 0,1",
	}}
}

// Features implements [contract.Requests].
func (Contract) Features(c *state.Container) []contract.Feature { return Features(c) }

// IsID implements [contract.Requests].
func (Contract) IsID(unsafeID string) bool { return IsMIGInstance(unsafeID) }

// Selected implements [contract.Requests].
func (Contract) Selected(capabilities []string) []string { return Selected(capabilities) }

// Other implements [contract.Requests]. It looks for NVIDIA's hook among the hooks that run before the container's
// program.
func (n Contract) Other(c *state.Container) *contract.Other {
	if c.Spec.Hooks == nil {
		return nil
	}
	for _, stage := range []struct {
		name  string
		hooks []specs.Hook
	}{
		{"prestart", c.Spec.Hooks.Prestart}, //nolint:staticcheck // deprecated, but NVIDIA's tools write it
		{"createRuntime", c.Spec.Hooks.CreateRuntime},
	} {
		for _, h := range stage.hooks {
			if name := path.Base(h.Path); name == "nvidia-container-runtime-hook" || name == "nvidia-container-toolkit" {
				return n.other(c, h.Path, stage.name)
			}
		}
	}
	return nil
}

// other returns what the hook at this path, which config.json runs at this stage, will serve.
func (n Contract) other(c *state.Container, hook, stage string) *contract.Other {
	// gpu-hook may be configured to run another hook, but this one reads the same configuration.
	serves, variable, value := Toolkit{Config: n.Toolkit.Config, Owner: n.Toolkit.Owner}.Serves(c)
	capabilities, _ := c.Env(DriverCapabilities)
	return &contract.Other{
		Path: hook, Stage: stage, Serves: serves, Variable: variable, Value: value, Off: VisibleDevices + "=void",
		Selected: strings.FieldsFunc(capabilities, func(r rune) bool { return r == ',' || r == ' ' }),
	}
}

// Drivers implements [contract.Specs]. It compares the versions that the Spec names with that of the loaded driver.
func (n Contract) Drivers(files, arguments []string) (written, loaded string) {
	named := DriversNamed(files, arguments)
	loaded = ReadDriver(n.DriverVersionFile).Version
	if len(named) == 0 || loaded == "" || slices.Contains(named, loaded) {
		return "", ""
	}
	return strings.Join(named, " and "), loaded
}

// IsDevice implements [contract.Specs].
func (Contract) IsDevice(node string) bool { return IsGPU(node) }

// NodeOf implements [contract.Specs]. Only an index tells the node; a UUID does not.
func (Contract) NodeOf(id string) string {
	if node := "/dev/nvidia" + id; IsGPU(node) {
		return node
	}
	return ""
}

// HostNodes implements [contract.Specs].
func (Contract) HostNodes() []string {
	entries, _ := os.ReadDir("/dev")
	var out []string
	for _, e := range entries {
		if node := path.Join("/dev", e.Name()); IsGPU(node) {
			out = append(out, node)
		}
	}
	return out
}

// Trial implements [contract.Delegate]. With "info" the program loads NVIDIA's library and looks at the GPUs.
func (n Contract) Trial() (program string, args []string) {
	there, err := n.Toolkit.find()
	if err != nil || there.cli == "" {
		return "", nil
	}
	return there.cli, []string{"info"}
}

// CheckID implements [contract.Delegate]. It checks that the host has an IMEX channel, because NVIDIA's hook fails
// without a message if it does not.
func (Contract) CheckID(part, id string) error {
	if part != PartIMEX {
		return nil
	}
	node := path.Join(channelDir, "channel"+id)
	if _, err := os.Lstat(node); os.IsNotExist(err) {
		return fault.New(fault.Node, "IMEX channel "+id, "%s is missing on this host", node).
			WithHint("ask for a channel that the driver has made (NVreg_ImexChannelCount), or for none")
	}
	return nil
}

// Run implements [contract.Delegate].
func (n Contract) Run(o contract.Order) (*contract.Delegation, error) {
	there, err := n.Toolkit.find()
	if err != nil {
		return nil, err
	}
	r := n.request(o)
	r.Channels = o.Parts[PartIMEX]
	r.NoRequire = n.Requirements != RequirementsEnforce
	if mig(o.Container) != "" {
		r.MIGConfig, _ = o.Container.Env(MIGConfigDevices)
		r.MIGMonitor, _ = o.Container.Env(MIGMonitorDevices)
	}
	if r.Capabilities, err = n.union(o.Container, o.Demands); err != nil {
		return nil, err
	}
	if len(r.Capabilities) == 0 { // the hook would take an empty list for its own defaults
		return nil, fault.New(fault.Policy, DriverCapabilities,
			"of the driver capabilities asked for none is supported on this host").
			WithHint("ask for supported ones, or add some to supported-capabilities under [nvidia] in %s", n.ConfigFile)
	}
	d, err := n.Toolkit.delegate(there, r)
	if f := withoutSMI(o, r.Capabilities); f != nil && err == nil {
		d.Warnings = append(d.Warnings, f)
	}
	return d, err
}

// Given implements [contract.Delegate]. It reports whether config.json has the node of each device, requested by index,
// and a mount of one of the driver's libraries. Nodes alone prove nothing: --privileged and --device give nodes without
// libraries.
func (Contract) Given(spec *specs.Spec, ids []string) bool {
	if len(ids) == 0 || spec.Linux == nil {
		return false
	}
	library := slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		name := path.Base(m.Destination)
		return strings.HasPrefix(name, "libcuda.so.") || strings.HasPrefix(name, "libnvidia-ml.so.")
	})
	return library && !slices.ContainsFunc(ids, func(id string) bool {
		return !slices.ContainsFunc(spec.Linux.Devices, func(d specs.LinuxDevice) bool {
			return path.Clean(d.Path) == fmt.Sprint("/dev/nvidia", id)
		})
	})
}
