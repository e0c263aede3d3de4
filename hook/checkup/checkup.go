// Package checkup looks over the host and the installation: what devices there are, which engines will call gpu-hook, and
// what is in the way. It changes nothing.
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
	Shared string // which CRI-O reads as well as podman
	Podman string // which only podman reads, or "" where podman is not used
}

// Run looks over the installation: whether engines will call gpu-hook, whether it has what it needs
// and where its word is to be found.
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

func checkKernel(out *report.Checkup) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		out.Add("kernel", report.CheckWarn, err.Error(), "")
		return
	}
	release := unix.ByteSliceToString(name.Release[:])
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < 5 || major == 5 && minor < 12) {
		out.Add("kernel", report.CheckFail, "Linux "+release+" lacks mount_setattr", "gpu-hook needs Linux 5.12 or newer to mount")
		return
	}
	out.Add("kernel", report.CheckOK, "Linux "+release, "")
}

// found is a hook definition in a directory.
type found struct {
	file string
	err  error
	Hook struct {
		Path string   `json:"path"`
		Args []string `json:"args"`
	} `json:"hook"`
	Stages []string `json:"stages"`
}

// calls reports whether the definition calls gpu-hook at the stage.
func (f *found) calls(stage string) bool {
	return f.err == nil && filepath.Base(f.Hook.Path) == "gpu-hook" && slices.Contains(f.Stages, stage)
}

// engine is the one that the definition names, or "".
func (f *found) engine() string {
	i := slices.Index(f.Hook.Args, "--engine")
	if i < 0 || i+1 == len(f.Hook.Args) {
		return ""
	}
	return f.Hook.Args[i+1]
}

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

func checkDefinitions(out *report.Checkup, c *config.Config, places Places) {
	shared := definitions(places.Shared)
	checkStage(out, c, "createRuntime", shared, places.Shared)
	if needsPodman(shared, places) {
		podman := definitions(places.Podman)
		checkStage(out, c, "precreate", podman, places.Podman)
		if places.Podman != places.Shared && slices.ContainsFunc(podman, func(f found) bool { return f.calls("createRuntime") }) {
			checkStage(out, c, "createRuntime", podman, places.Podman)
		}
	}
	for _, f := range shared {
		switch name := filepath.Base(f.Hook.Path); {
		case f.err != nil:
			out.Add("other hooks", report.CheckFail, f.file+": "+f.err.Error(), "podman runs no container, and CRI-O does not start, beside a definition that cannot be read: correct or remove it")
		case slices.Contains(f.Stages, "precreate") && places.Podman != places.Shared:
			out.Add("other hooks", report.CheckFail, f.file+" is for the stage precreate, beside which CRI-O does not start", "move it to a directory that podman alone reads, such as "+places.Podman)
		case strings.HasPrefix(name, "nvidia-container-runtime-hook") || name == "nvidia-container-toolkit":
			out.Add("other hooks", report.CheckWarn, f.file+" runs "+f.Hook.Path+" beside gpu-hook, by its own rules", "remove it, or set NVIDIA_VISIBLE_DEVICES=void where gpu-hook is asked by annotation")
		}
	}
}

// needsPodman reports whether podman's own definitions are wanted: not where the one that all engines read is another's.
func needsPodman(shared []found, places Places) bool {
	if places.Podman == "" {
		return false
	}
	i := slices.IndexFunc(shared, func(f found) bool { return f.calls("createRuntime") })
	if i < 0 {
		return true
	}
	engine := shared[i].engine()
	return engine == "" || engine == state.Podman
}

// checkStage reports whether an engine finds gpu-hook for the stage in dir, and the program that the definition names. An
// engine passes over a definition whose program is not there without a word.
func checkStage(out *report.Checkup, c *config.Config, stage string, list []found, dir string) {
	i := slices.IndexFunc(list, func(f found) bool { return f.calls(stage) })
	status := report.CheckFail
	if stage == "precreate" {
		status = report.CheckWarn // podman alone has it, and does without
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

func checkDrivers(out *report.Checkup, o config.Options) {
	i, err := Inventory(o)
	if err != nil {
		return // said already
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
		out.Add("drivers", report.CheckFail, "no driver has what it needs: no CDI Spec of a vendor's kind, no runtime hook", "generate a Spec, for NVIDIA: nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml; gpu-hook devices says more")
	}
	for _, m := range i.Errors {
		out.Add("CDI Specs", report.CheckWarn, string(m.Code)+": "+m.Message, m.Hint)
	}
	for _, conflict := range i.Conflicts {
		out.Add("CDI Specs", report.CheckWarn, conflict.Name+" stands in "+strings.Join(conflict.Specs, " and "), "remove one of the two")
	}
}

func checkRecords(out *report.Checkup, c *config.Config) {
	dir := c.RunDir()
	info, err := os.Lstat(dir)
	switch {
	case os.IsNotExist(err):
		out.Add("records", report.CheckOK, dir+" (none yet); gpu-hook last shows the newest", "")
	case err != nil:
		out.Add("records", report.CheckWarn, err.Error(), "make "+dir+" a directory that root alone may write")
	case !info.IsDir() || info.Mode().Perm()&0o022 != 0:
		out.Add("records", report.CheckWarn, dir+" is not a directory that one user alone may write", "make it one; without records gpu-hook last has nothing to show")
	default:
		out.Add("records", report.CheckOK, dir+"; gpu-hook last shows the newest", "")
	}
	if _, err := os.Stat("/dev/log"); err != nil {
		out.Add("system log", report.CheckWarn, "there is none (/dev/log): warnings are in the records alone", "")
		return
	}
	out.Add("system log", report.CheckOK, "/dev/log", "")
}
