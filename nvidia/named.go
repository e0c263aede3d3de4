package nvidia

import (
	"path"
	"slices"
	"strings"
)

// hostDriverFlag is how a CDI Spec's enable-cuda-compat hook is told the driver that the Spec was written for.
const hostDriverFlag = "--host-driver-version"

// DriversNamed returns the driver versions that a CDI Spec names, by the libraries among the host files that it mounts
// (libcuda.so.VERSION, libnvidia-ml.so.VERSION) and by the arguments of its hooks. A Spec of one driver names one; one
// that names none was not written for any.
func DriversNamed(files, arguments []string) []string {
	var versions []string
	add := func(version string) {
		if _, err := ParseDriver(version); err == nil && !slices.Contains(versions, version) {
			versions = append(versions, version)
		}
	}
	for _, file := range files {
		for _, library := range []string{"libcuda.so.", "libnvidia-ml.so."} {
			if version, found := strings.CutPrefix(path.Base(file), library); found {
				add(version)
			}
		}
	}
	for i, argument := range arguments {
		flag, version, joined := strings.Cut(argument, "=")
		switch {
		case flag != hostDriverFlag:
		case joined:
			add(version)
		case i+1 < len(arguments):
			add(arguments[i+1])
		}
	}
	return versions
}
