package config

import (
	"github.com/gpu-hook/gpu-hook/amd"
	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// Dialects of a visible-devices variable.
const (
	DialectNVIDIA = "nvidia"
	DialectAMD    = "amd"
)

// dialects returns the grammars of visible-devices variables, by the names that a configuration uses.
func dialects() map[string]contract.Dialect {
	return map[string]contract.Dialect{DialectNVIDIA: nvidia.Dialect{}, DialectAMD: amd.Dialect{}}
}

// ContractOf returns the vendor's contract. The vendor named "nvidia" has NVIDIA's. Any other vendor has one with only
// a dialect and, if a hook is configured, a hook that is run as NVIDIA's is. v is nil for a vendor that is not
// configured.
func (c *Config) ContractOf(v *Vendor) contract.Vendor {
	if v == nil {
		return contract.None{}
	}
	dialect := dialects()[v.Dialect]
	toolkit := nvidia.Toolkit{Hook: v.RuntimeHook, Owner: c.Self.Owner}
	if v.Name != "nvidia" {
		return nvidia.Compatible{None: contract.None{Dialect: dialect}, Toolkit: toolkit, Variable: v.Env}
	}
	toolkit.Config = c.NVIDIA.RuntimeConfig
	return nvidia.Contract{
		Compatible: nvidia.Compatible{
			None: contract.None{Dialect: dialect}, Toolkit: toolkit, Variable: nvidia.VisibleDevices,
		},
		Supported: c.NVIDIA.SupportedCapabilities, Requirements: c.NVIDIA.Requirements,
		DriverVersionFile: c.NVIDIA.DriverVersionFile, ConfigFile: DefaultPath,
	}
}

// OfMounts returns the vendor whose devices are requested by mounts, or nil.
func (c *Config) OfMounts() *Vendor {
	return c.find(func(v *Vendor) bool { return c.ContractOf(v).ByMounts() })
}

// OfPart returns the vendor of which a CDI kind is a part, and that part, or nil.
func (c *Config) OfPart(kind string) (*Vendor, contract.Part) {
	for i := range c.Vendors {
		for _, part := range c.ContractOf(&c.Vendors[i]).Parts() {
			if part.Kind == kind {
				return &c.Vendors[i], part
			}
		}
	}
	return nil, contract.Part{}
}
