package amd

import (
	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/packages"
)

// Generator returns the program of AMD's container toolkit that writes CDI Specs.
func Generator() contract.Generator {
	return contract.Generator{
		Kind: "amd.com/gpu", Command: "amd-ctk cdi generate --output=FILE", Origin: "the package " + packages.AMD().Any,
		File: "amd.json",
	}
}

// Needs returns the device nodes that every GPU needs beside its own: ROCm opens a GPU through the driver's.
func Needs() []string { return []string{"/dev/kfd"} }
