package config

import (
	"strings"

	"github.com/gpu-hook/gpu-hook/amd"
	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// Dialects of a visible-devices variable.
const (
	DialectNVIDIA = "nvidia"
	DialectAMD    = "amd"
)

// Kinds of GPUs of vendors whose generators are known.
const (
	amdKind   = "amd.com/gpu"
	intelKind = "intel.com/gpu"
)

// dialects returns the grammars of visible-devices variables, by the names that a configuration uses.
func dialects() map[string]contract.Dialect {
	return map[string]contract.Dialect{DialectNVIDIA: nvidia.Dialect{}, DialectAMD: amd.Dialect{}}
}

// generator returns the program that writes Specs of the kind. NVIDIA's contract knows more of its own.
func generator(kind string) contract.Generator {
	switch kind {
	case amdKind:
		return amd.Generator()
	case intelKind:
		return contract.Generator{
			Kind: kind, Command: "intel-cdi-specs-generator --cdi-dir=DIR gpu",
			Origin: "github.com/intel/intel-resource-drivers-for-kubernetes", File: "intel.com-gpu.yaml",
		}
	}
	return contract.Generator{}
}

// needs returns the device nodes that all devices of the kind share. NVIDIA's contract knows its own.
func needs(kind string) []string {
	if kind == amdKind {
		return amd.Needs()
	}
	return nil
}

// ContractOfKind returns the contract of the vendor whose Specs define the kind: that of v or, if it is nil, of the
// vendor of the same domain.
func (c *Config) ContractOfKind(v *Vendor, kind string) contract.Vendor {
	if v == nil {
		domain, _, _ := strings.Cut(kind, "/")
		v = c.find(func(v *Vendor) bool { return strings.HasPrefix(v.Kind, domain+"/") })
	}
	return c.ContractOf(v)
}

// ContractOf returns the vendor's contract. The vendor named "nvidia" has NVIDIA's. Any other vendor has one with only
// a dialect and, if a hook is configured, a hook that is run as NVIDIA's is. v is nil for a vendor that is not
// configured.
func (c *Config) ContractOf(v *Vendor) contract.Vendor {
	if v == nil {
		return contract.None{}
	}
	none := contract.None{Dialect: dialects()[v.Dialect], Generator: generator(v.Kind), Needs: needs(v.Kind)}
	toolkit := nvidia.Toolkit{Hook: v.RuntimeHook, Owner: c.Self.Owner}
	if v.Name != "nvidia" {
		return nvidia.Compatible{None: none, Toolkit: toolkit, Variable: v.Env}
	}
	toolkit.Config = c.NVIDIA.RuntimeConfig
	return nvidia.Contract{
		Compatible: nvidia.Compatible{
			None: none, Toolkit: toolkit, Variable: nvidia.VisibleDevices,
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
