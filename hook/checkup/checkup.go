// Package checkup examines the host and the installation. It finds which devices there are, whether engines will call
// gpu-hook, and what is in the way. It changes nothing.
package checkup

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// Places are where to look.
type Places struct {
	Shared string // directory of hook definitions which CRI-O reads as well as podman
	Podman string // which only podman reads, or "" where podman is not used
	Named  bool   // that the two were named, and are to be taken for what engines read

	User    bool   // whether the engine is a user's own
	UserDir string // the user's configuration directory, or ""
	Config  string // the configuration file of gpu-hook, or "" for the default

	Plan Planner // which plans for a container, or nil
	Ask  Asker   // which runs programs of the host, or nil
}

// Run examines the host and the installation: whether engines call gpu-hook, what keeps containers from devices, and
// where the records and log lines of gpu-hook go.
func Run(o config.Options, places Places) *report.Checkup {
	c, err := o.Load()
	out := &report.Checkup{Checks: []report.Check{}}
	if err != nil {
		m := report.MessageOf(err)
		out.Add("configuration", report.CheckFail, string(m.Code)+": "+m.Message, m.Hint)
	} else {
		out.Add("configuration", report.CheckOK, "read", "")
	}
	checkKernel(out)
	h := look("/", c, o.Engine, places)
	out.Host = h.describe()
	for _, check := range h.examine() {
		out.Put(check)
	}
	checkRecords(out, c)
	out.Finish()
	if h.config.Self.Rootless && out.Failed() {
		out.Summary += " Commands that change the host are for its administrator."
	}
	h.lastRefused(out, time.Now())
	return out
}

// examine makes every check, those first that are about what comes first on the way to a device.
func (h *host) examine() []report.Check {
	var out []report.Check
	for _, check := range []func(*host) []report.Check{
		checkEngines, checkDriver, checkConflicts, checkSpecFiles, checkDevices, checkTrials, checkNodeNumbers,
		checkNVIDIASpecs, checkLacking, checkDelegates, checkToolkit,
		checkPodmanSpecs,
		checkNodeAccess, checkPolicy, checkSELinux, checkVolatile, checkOrder, checkRuntime,
	} {
		out = append(out, check(h)...)
	}
	return out
}

// describe says in one line what kind of host it is.
func (h *host) describe() string {
	var parts []string
	for _, program := range []string{"podman", "crio", "runc", "crun"} {
		if version := h.said.podman; program == "podman" && version != "" {
			program += " " + version
		}
		if h.Tool(strings.Fields(program)[0]) {
			parts = append(parts, program)
		}
	}
	if version := h.Kernel.Modules["nvidia"]; version != "" {
		parts = append(parts, fmt.Sprintf("NVIDIA driver %s", version))
	}
	if n := len(h.GPUs); n > 0 {
		parts = append(parts, count(n, "GPU")+" of NVIDIA's")
	}
	return strings.Join(parts, ", ")
}

// lastRefused adds to the summary which container was refused last.
func (h *host) lastRefused(out *report.Checkup, now time.Time) {
	r := report.LastRefused(h.config.RunDir())
	if r == nil {
		return
	}
	id := r.Container.ID
	if len(id) > 12 {
		id = id[:12]
	}
	out.Summary += fmt.Sprintf(" Last refused start: %s, container %s (gpu-hook last %s).", report.Ago(r.Time, now), id,
		id)
}

// checkKernel checks that the kernel is new enough for mount_setattr, with which gpu-hook mounts.
func checkKernel(out *report.Checkup) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		out.Add("kernel", report.CheckWarn, err.Error(), "")
		return
	}
	release := unix.ByteSliceToString(name.Release[:])
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < 5 || major == 5 && minor < 12) {
		out.Add("kernel", report.CheckFail, "Linux "+release+" lacks mount_setattr",
			"gpu-hook needs Linux 5.12 or newer to mount")
		return
	}
	out.Add("kernel", report.CheckOK, "Linux "+release, "")
}

// checkRecords checks the places where gpu-hook reports what it did: the directory of its records and the system log.
func checkRecords(out *report.Checkup, c *config.Config) {
	dir := c.RunDir()
	info, err := os.Lstat(dir)
	switch {
	case os.IsNotExist(err):
		out.Add("records", report.CheckOK, dir+" (none yet); gpu-hook last shows the newest", "")
	case err != nil:
		out.Add("records", report.CheckWarn, err.Error(), "make "+dir+" a directory that root alone may write")
	case !info.IsDir() || info.Mode().Perm()&0o022 != 0:
		out.Add("records", report.CheckWarn, dir+" is not a directory that one user alone may write",
			"make it one; without records gpu-hook last has nothing to show")
	default:
		out.Add("records", report.CheckOK, dir+"; gpu-hook last shows the newest", "")
	}
	if _, err := os.Stat("/dev/log"); err != nil {
		out.Add("system log", report.CheckWarn, "there is no system log (/dev/log): warnings are in the records alone", "")
		return
	}
	out.Add("system log", report.CheckOK, "/dev/log", "")
}
