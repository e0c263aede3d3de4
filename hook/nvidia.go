package hook

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/nvidia"
)

// precondition checks what NVIDIA's contract demands before any driver is tried.
func (p *planner) precondition(g *group) error {
	if g.vendor == nil || !g.vendor.NVIDIA() || !slices.ContainsFunc(g.requests, func(r *request) bool { return r.part == "" }) {
		return nil
	}
	if variable, value := p.mig(); value != "" && !p.container.Privileged() {
		return fault.New(fault.Policy, fmt.Sprintf("env:%s %q", variable, value), "only a privileged container (CAP_SYS_ADMIN) may configure or watch MIG devices").
			WithHint("remove the variable, or run the container privileged")
	}
	if variable, value := p.migVariable(); value != "" {
		if counted, _ := p.mig(); counted == "" {
			p.warn(fault.New(fault.Refused, fmt.Sprintf("env:%s %q", variable, value), "environment does not count for this container").
				WithHint("the administrator of this host decides this in %s", config.DefaultPath))
		}
	}
	if _, err := p.driverCapabilities(g, true); err != nil {
		return err
	}
	return p.require()
}

// mig returns the first variable that asks for the right to configure or to watch MIG devices, where environment counts.
func (p *planner) mig() (variable, value string) {
	if variable, value = p.migVariable(); value == "" {
		return "", ""
	}
	sources, _ := sourcesFor(p.config, p.container)
	if !slices.Contains(sources, config.SourceEnv) {
		return "", ""
	}
	return variable, value
}

func (p *planner) migVariable() (variable, value string) {
	for _, variable := range []string{nvidia.MIGConfigDevices, nvidia.MIGMonitorDevices} {
		if value, _ := p.container.Env(variable); value != "" {
			return variable, value
		}
	}
	return "", ""
}

// driverCapabilities resolves the driver capabilities of the group, each request's own or, where it names none, those of
// the image; note writes them into the requests.
func (p *planner) driverCapabilities(g *group, note bool) ([]string, error) {
	supported := p.config.NVIDIA.SupportedCapabilities
	var all []string
	for _, r := range g.requests {
		what := describe(r)
		asked := r.selected(g.vendor)
		resolved, err := nvidia.Within(nvidia.Selected(asked), supported)
		if len(nvidia.Selected(asked)) == 0 {
			value, set := p.container.Env(nvidia.DriverCapabilities)
			if set {
				what = fmt.Sprintf("env:%s %q", nvidia.DriverCapabilities, value)
			}
			resolved, err = nvidia.DriverCapabilitiesOf(value, set, nvidia.LegacyImage(p.container), supported)
		}
		if err != nil {
			return nil, refusedCapability(what, err)
		}
		if note && r.part == "" {
			r.Capabilities = append([]string{}, resolved...)
		}
		all = append(all, resolved...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func refusedCapability(what string, err error) error {
	var unsupported *nvidia.UnsupportedError
	if errors.As(err, &unsupported) {
		return fault.New(fault.Policy, what, "%w", err).WithHint("ask for supported ones, or add it to supported-capabilities under [nvidia] in %s", config.DefaultPath)
	}
	return fault.New(fault.Request, what, "%w", err).WithHint("ask for supported ones alone")
}

// require holds what the image requires against the host's driver. What cannot be known is said, and fails nothing.
func (p *planner) require() error {
	policy := p.config.NVIDIA.Requirements
	if policy == config.RequirementsIgnore {
		return nil
	}
	requirements, err := nvidia.Requirements(p.container)
	if err != nil {
		return p.unmet(fault.New(fault.Require, "image", "%w", err).
			WithHint("correct the image's variable, or start it with NVIDIA_DISABLE_REQUIRE=1"))
	}
	if len(requirements) == 0 {
		return nil
	}
	driver := nvidia.ReadDriver(p.config.NVIDIA.DriverVersionFile)
	for _, r := range requirements {
		answer, clauses := r.Check(driver)
		what := fmt.Sprintf("env:%s %q", r.Variable, r.Value)
		switch answer {
		case nvidia.Unknown:
			p.warn(fault.New(fault.RequireNote, what, "whether the host meets %s is not known here (driver %s, CUDA %s)", strings.Join(clauses, ", "), known(driver.Version), driver.CUDA()).
				WithHint("if the program fails for it, see the image's documentation"))
		case nvidia.Unmet:
			f := fault.New(fault.Require, what, "the host does not meet %s: it has driver %s with CUDA %s%s", strings.Join(clauses, ", "), driver.Version, driver.CUDA(), p.compat(r, driver)).
				WithHint("install a newer driver or use an older image; NVIDIA_DISABLE_REQUIRE=1 in its environment starts it all the same")
			if err := p.unmet(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func known(version string) string {
	if version == "" {
		return "not known"
	}
	return version
}

func (p *planner) unmet(f *fault.Error) error {
	if p.config.NVIDIA.Requirements == config.RequirementsEnforce {
		return f
	}
	p.warn(f.WithCode(fault.RequireNote))
	return nil
}

// compatDir is where CUDA images keep the libraries of a newer driver, for forward compatibility.
const compatDir = "/usr/local/cuda/compat"

// compat reports whether the image's compatibility libraries would help with an unmet requirement.
func (p *planner) compat(r nvidia.Requirement, host nvidia.Driver) string {
	driver, found := p.compatDriver()
	if !found {
		return "; the image has no compatibility libraries (" + compatDir + ")"
	}
	text := fmt.Sprintf("; the image's compatibility libraries (%s, of driver %s with CUDA %s) ", compatDir, driver.Version, driver.CUDA())
	switch answer, _ := r.Check(host.WithCUDA(driver)); answer {
	case nvidia.Unmet:
		return text + "would not meet it either"
	case nvidia.Unknown:
		return text + "might meet it on a GPU for data centres"
	}
	return text + "would meet it on a GPU for data centres"
}

// compatDriver is the driver whose libraries are in the image. It lists one directory by handle and opens nothing in it.
func (p *planner) compatDriver() (nvidia.Driver, bool) {
	if p.root == "" {
		return nvidia.Driver{}, false
	}
	root, err := os.OpenFile(p.root, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nvidia.Driver{}, false
	}
	defer root.Close()
	handle, err := linux.OpenInRoot(root, compatDir)
	if err != nil {
		return nvidia.Driver{}, false
	}
	defer handle.Close()
	dir, err := linux.Openat(handle, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nvidia.Driver{}, false
	}
	defer dir.Close()
	const most = 1024
	names, _ := dir.Readdirnames(most)
	for _, name := range names {
		if version, found := strings.CutPrefix(name, "libcuda.so."); found && strings.Contains(version, ".") {
			if driver, err := nvidia.ParseDriver(version); err == nil {
				return driver, true
			}
		}
	}
	return nvidia.Driver{}, false
}
