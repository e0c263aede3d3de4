package nvidia

import (
	"path"
	"slices"
	"strings"
)

// hostDriverFlag is the flag of a CDI Spec's enable-cuda-compat hook that names the driver of the Spec.
const hostDriverFlag = "--host-driver-version"

// DriversNamed returns the driver versions that a CDI Spec names, each once. It finds them in the names of the
// libraries among the host files that the Spec mounts (libcuda.so.VERSION, libnvidia-ml.so.VERSION) and in the
// arguments of its hooks. A Spec written for one driver names one version; a Spec that names none is not for a
// particular driver.
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
