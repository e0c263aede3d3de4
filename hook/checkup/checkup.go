// Package checkup examines the host and the installation. It finds which devices there are, whether engines will call
// gpu-hook, and what is in the way. It changes nothing.
package checkup

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
)

// Places are directories of hook definitions.
type Places struct {
	Shared string // read by both CRI-O and podman
	Podman string // read by podman alone; "" where podman is not used
}

// Run examines the installation: whether engines will call gpu-hook, whether the host has what gpu-hook needs, and
// where its records and log lines go.
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
	checkDefinitions(out, c, places)
	checkDrivers(out, o)
	checkRecords(out, c)
	return out
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

// found is the file of a hook definition. Its fields are set as far as the file could be read.
type found struct {
	file string
	err  error // why it could not be read, or nil
	Hook struct {
		Path string   `json:"path"`
		Args []string `json:"args"`
	} `json:"hook"`
	Stages []string `json:"stages"`
}

// calls reports whether the definition makes engines call gpu-hook at this stage.
func (f *found) calls(stage string) bool {
	return f.err == nil && filepath.Base(f.Hook.Path) == "gpu-hook" && slices.Contains(f.Stages, stage)
}

// engine returns the engine that the definition names with --engine, or "".
func (f *found) engine() string {
	i := slices.Index(f.Hook.Args, "--engine")
	if i < 0 || i+1 == len(f.Hook.Args) {
		return ""
	}
	return f.Hook.Args[i+1]
}

// definitions reads the hook definitions in dir. If dir cannot be read, there are none.
func definitions(dir string) []found {
	entries, _ := os.ReadDir(dir)
	var out []found
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		f := found{file: filepath.Join(dir, e.Name())}
		data, err := os.ReadFile(f.file)
		if err == nil {
			err = json.Unmarshal(data, &f)
		}
		f.err = err
		out = append(out, f)
	}
	return out
}

// checkDefinitions checks the hook definitions of gpu-hook, and whether definitions of other hooks get in the way.
func checkDefinitions(out *report.Checkup, c *config.Config, places Places) {
	shared := definitions(places.Shared)
	checkStage(out, c, "createRuntime", shared, places.Shared)
	if needsPodman(shared, places) {
		podman := definitions(places.Podman)
		checkStage(out, c, "precreate", podman, places.Podman)
		if places.Podman != places.Shared && slices.ContainsFunc(podman, isCreateRuntime) {
			checkStage(out, c, "createRuntime", podman, places.Podman)
		}
	}
	for _, f := range shared {
		checkOther(out, &f, places)
	}
}

// checkOther checks a definition in the shared directory: whether engines can read it, whether all of them know its
// stage, and whether it makes them run NVIDIA's own hook.
func checkOther(out *report.Checkup, f *found, places Places) {
	switch name := filepath.Base(f.Hook.Path); {
	case f.err != nil:
		out.Add("other hooks", report.CheckFail, f.file+": "+f.err.Error(),
			"podman runs no container, and CRI-O does not start, beside a definition that cannot be read: "+
				"correct or remove it")
	case slices.Contains(f.Stages, "precreate") && places.Podman != places.Shared:
		out.Add("other hooks", report.CheckFail,
			f.file+" is for the stage precreate, beside which CRI-O does not start",
			"move it to a directory that podman alone reads, such as "+places.Podman)
	case strings.HasPrefix(name, "nvidia-container-runtime-hook") || name == "nvidia-container-toolkit":
		out.Add("other hooks", report.CheckWarn,
			f.file+" runs "+f.Hook.Path+" beside gpu-hook, by its own rules",
			"remove it, or set NVIDIA_VISIBLE_DEVICES=void where gpu-hook is asked by annotation")
	}
}

// isCreateRuntime reports whether the definition makes engines call gpu-hook at createRuntime.
func isCreateRuntime(f found) bool { return f.calls("createRuntime") }

// needsPodman reports whether podman needs definitions of its own. It does not if the shared definition of gpu-hook
// names another engine.
func needsPodman(shared []found, places Places) bool {
	if places.Podman == "" {
		return false
	}
	i := slices.IndexFunc(shared, isCreateRuntime)
	if i < 0 {
		return true
	}
	engine := shared[i].engine()
	return engine == "" || engine == state.Podman
}

// checkStage checks that one of the definitions in dir makes engines call gpu-hook at the stage, and that the program
// it names can be run. Engines silently ignore a definition whose program is missing.
func checkStage(out *report.Checkup, c *config.Config, stage string, list []found, dir string) {
	i := slices.IndexFunc(list, func(f found) bool { return f.calls(stage) })
	status := report.CheckFail
	if stage == "precreate" {
		status = report.CheckWarn // only podman has this stage, and gpu-hook works without it
	}
	if i < 0 {
		out.Add(stage, status, "no definition in "+dir+" calls gpu-hook at this stage", "gpu-hook install")
		return
	}
	if err := c.Self.Owner.Executable(list[i].Hook.Path); err != nil {
		out.Add(stage, report.CheckFail, list[i].file+": "+err.Error(), "gpu-hook install")
		return
	}
	out.Add(stage, report.CheckOK, list[i].file, "")
}

// checkDrivers checks that at least one driver can serve requests, and reports every problem with the host's CDI Specs.
func checkDrivers(out *report.Checkup, o config.Options) {
	i, err := Inventory(o)
	if err != nil {
		return // the check of the configuration has reported it
	}
	any := false
	for _, v := range i.Vendors {
		for _, d := range v.Drivers {
			if d.Found {
				any = true
				out.Add("driver "+d.Name, report.CheckOK, strings.Join(d.Paths, " "), "")
			}
		}
	}
	if !any {
		out.Add("drivers", report.CheckFail,
			"no driver has what it needs: no CDI Spec of a vendor's kind, no runtime hook",
			"generate a Spec, for NVIDIA: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml; "+
				"gpu-hook devices says more")
	}
	for _, m := range i.Errors {
		out.Add("CDI Specs", report.CheckWarn, string(m.Code)+": "+m.Message, m.Hint)
	}
	for _, conflict := range i.Conflicts {
		out.Add("CDI Specs", report.CheckWarn, conflict.Name+" stands in "+strings.Join(conflict.Specs, " and "),
			"remove one of the two")
	}
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
		out.Add("system log", report.CheckWarn, "there is none (/dev/log): warnings are in the records alone", "")
		return
	}
	out.Add("system log", report.CheckOK, "/dev/log", "")
}
