package holder

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/test/gpuhost"
)

// onVolume makes a container with a volume, which has these files, on destination.
func onVolume(t *testing.T, destination string, files ...string) *container {
	t.Helper()
	c := newBundle(t, annotated("device=0"), volume(destination))
	for _, dir := range []string{c.volume(), c.rootfs(destination)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(c.volume(), name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return c.start()
}

// What is made on a volume outlives the container, and other containers see it. Undoing a mount point could remove the
// mount of another container that uses it.
func TestNothingIsMadeOnAVolume(t *testing.T) {
	c := onVolume(t, gpuhost.LibDir)
	c.run().refused(t, "E-MOUNT", "libcuda.so", "volume")
	c.unchanged()
}

func TestWhatIsOnAVolumeIsMountedOn(t *testing.T) {
	c := onVolume(t, gpuhost.LibDir, "libcuda.so."+gpuhost.Driver, "libnvidia-ml.so."+gpuhost.Driver)
	c.run().applied(t)
	if got := c.sees(libPath); got != lib {
		t.Errorf("library: %s", got)
	}
}

// A device node in a directory of the host would be usable by every user of the host.
func TestNoNodeIsMadeOnAVolume(t *testing.T) {
	c := onVolume(t, "/dev")
	c.run().refused(t, "E-NODE", "/dev/nvidia", "volume")
	c.unchanged()
}

func TestNodesThatAreOnAVolumeArePresent(t *testing.T) {
	c := newBundle(t, annotated("device=0"), volume("/dev"))
	if err := os.MkdirAll(c.volume(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nvidia0", "nvidiactl"} {
		number := int(unix.Mkdev(gpuhost.Major, gpuhost.Minor))
		if err := unix.Mknod(filepath.Join(c.volume(), name), unix.S_IFCHR|0o666, number); err != nil {
			t.Fatal(err)
		}
	}
	r := c.start().run()
	r.applied(t)
	for _, d := range r.report.Edits.DeviceNodes {
		if d.Status != devices.Present {
			t.Errorf("%s: %s", d.Path, d.Status)
		}
	}
}
