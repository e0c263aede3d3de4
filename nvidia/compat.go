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

// compatibility returns the end of a message about an unmet requirement. It says whether the image has compatibility
// libraries and, if it has, whether they would help.
func compatibility(c contract.Container, r Requirement, host Driver) string {
	driver, found := compatDriver(c.Root)
	if !found {
		return "; the image has no compatibility libraries (" + compatDir + ")"
	}
	text := fmt.Sprintf("; the image's compatibility libraries (%s, of driver %s with CUDA %s) ",
		compatDir, driver.Version, driver.CUDA())
	switch answer, _ := r.Check(host.WithCUDA(driver)); answer {
	case Unmet:
		return text + "would not meet it either"
	case Unknown:
		return text + "might meet it on a GPU for data centres"
	case Met:
	}
	return text + "would meet it on a GPU for data centres"
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
