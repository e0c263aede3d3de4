package nvidia

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// compatDir is where CUDA images keep the libraries of a newer driver, for forward compatibility.
const compatDir = "/usr/local/cuda/compat"

// compatibility returns the end of a message about an unmet requirement. If the image has compatibility libraries, it
// says whether they would help; else it is "".
func compatibility(c contract.Container, r Requirement, host Driver) string {
	driver, found := compatDriver(c.Root)
	if !found {
		return ""
	}
	text := fmt.Sprintf("; its own libraries for CUDA %s ", driver.CUDA())
	switch answer, _ := r.Check(host.WithCUDA(driver)); answer {
	case Unmet:
		return text + "do not help"
	case Unknown:
		return text + "may help on a data centre's GPU"
	case Met:
	}
	return text + "help on a data centre's GPU"
}

// compatDriver returns the driver whose compatibility libraries are in the image, and whether there are any. It lists
// one directory by handle and opens no file in it. Without a root filesystem, rootfs is "" and nothing is found.
func compatDriver(rootfs string) (Driver, bool) {
	if rootfs == "" {
		return Driver{}, false
	}
	root, err := os.OpenFile(rootfs, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return Driver{}, false
	}
	defer root.Close()
	handle, err := linux.OpenInRoot(root, compatDir)
	if err != nil {
		return Driver{}, false
	}
	defer handle.Close()
	dir, err := linux.Openat(handle, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return Driver{}, false
	}
	defer dir.Close()
	const most = 1024
	names, _ := dir.Readdirnames(most)
	for _, name := range names {
		if version, found := strings.CutPrefix(name, "libcuda.so."); found && strings.Contains(version, ".") {
			if driver, err := ParseDriver(version); err == nil {
				return driver, true
			}
		}
	}
	return Driver{}, false
}
