package amd

import "github.com/gpu-hook/gpu-hook/contract"

// Generator returns the program of AMD's container toolkit that writes CDI Specs.
func Generator() contract.Generator {
	return contract.Generator{
		Command: "amd-ctk cdi generate --output=", Package: "amd-container-toolkit", File: "amd.json",
	}
}

// Needs returns the device nodes that every GPU needs beside its own: ROCm opens a GPU through the driver's.
func Needs() []string { return []string{"/dev/kfd"} }
