package nvidia

import (
	"errors"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/contract"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Admit implements [contract.Preconditions]. It checks the right to configure MIG devices, the driver capabilities, and
// what the image requires of the host's driver.
func (n Contract) Admit(c contract.Container, demands []contract.Demand) (contract.Admission, error) {
	var a contract.Admission
	if variable, value := migVariable(c); variable != "" {
		what := variable + "=" + fault.Value(value)
		switch {
		case c.EnvCounts && !c.Privileged():
			return a, fault.New(fault.Policy, what,
				"only a privileged container (CAP_SYS_ADMIN) may configure or watch MIG devices").
				WithHint("remove the variable, or run the container privileged")
		case !c.EnvCounts:
			a.Warnings = append(a.Warnings, fault.New(fault.Refused, what, "environment does not count for this container").
				WithHint("the administrator of this host decides this in %s", n.ConfigFile))
		}
	}
	var err error
	if a.Capabilities, err = n.capabilities(c, demands); err != nil {
		return a, err
	}
	warnings, err := n.require(c)
	a.Warnings = append(a.Warnings, warnings...)
	return a, err
}

// BeyondCDI implements [contract.Preconditions]: no CDI device stands for the right to configure or watch MIG devices.
func (Contract) BeyondCDI(c contract.Container) error {
	variable := mig(c)
	if variable == "" {
		return nil
	}
	return fault.New(fault.Name, variable, "CDI has no name for the right to configure or watch MIG devices").
		WithHint("only nvidia-container-runtime-hook gives it: let the driver nvidia.runtime-hook serve the container")
}

// mig returns the first variable that requests the right to configure or watch MIG devices. It returns "" if there is
// none, or if the container's environment does not count.
func mig(c contract.Container) string {
	if !c.EnvCounts {
		return ""
	}
	variable, _ := migVariable(c)
	return variable
}

// migVariable returns the first MIG variable that is set and not empty, and its value, whether or not the environment
// counts.
func migVariable(c contract.Container) (variable, value string) {
	for _, variable := range []string{MIGConfigDevices, MIGMonitorDevices} {
		if value, _ := c.Env(variable); value != "" {
			return variable, value
		}
	}
	return "", ""
}

// capabilities returns the driver capabilities that each demand gets: those that it names or, if it names none, those
// that the image requests.
func (n Contract) capabilities(c contract.Container, demands []contract.Demand) ([][]string, error) {
	var out [][]string
	for _, d := range demands {
		what, selected := d.What, Selected(d.Capabilities)
		resolved, err := Within(selected, n.Supported)
		if len(selected) == 0 {
			value, set := c.Env(DriverCapabilities)
			if set {
				what = DriverCapabilities + "=" + fault.Value(value)
			}
			resolved, err = DriverCapabilitiesOf(value, set, LegacyImage(c.Container), n.Supported)
		}
		if err != nil {
			return nil, n.refused(what, err)
		}
		out = append(out, append([]string{}, resolved...))
	}
	return out, nil
}

// union returns the driver capabilities of all demands, sorted, each once.
func (n Contract) union(c contract.Container, demands []contract.Demand) ([]string, error) {
	each, err := n.capabilities(c, demands)
	return sorted(slices.Concat(each...)), err
}

// refused returns the error of a demand, named what, whose driver capabilities were refused with err.
func (n Contract) refused(what string, err error) error {
	var unsupported *UnsupportedError
	if errors.As(err, &unsupported) {
		return fault.New(fault.Policy, what, "%w", err).
			WithHint("ask for supported ones, or add it to supported-capabilities under [nvidia] in %s", n.ConfigFile)
	}
	return fault.New(fault.Request, what, "%w", err).WithHint("ask for supported ones alone")
}

// require checks the image's requirements against the host's driver. A requirement of which it is not known whether the
// host meets it becomes a warning.
func (n Contract) require(c contract.Container) (warnings []*fault.Error, err error) {
	if n.Requirements == RequirementsIgnore {
		return nil, nil
	}
	requirements, err := Requirements(c.Container)
	if err != nil {
		return n.unmet(nil, fault.New(fault.Require, "image", "%w", err).
			WithHint("correct the image's variable, or start it with NVIDIA_DISABLE_REQUIRE=1"))
	}
	if len(requirements) == 0 {
		return nil, nil
	}
	driver := ReadDriver(n.DriverVersionFile)
	for _, r := range requirements {
		answer, clauses := r.Check(driver)
		what := r.Variable + "=" + fault.Value(r.Value)
		switch answer {
		case Met:
		case Unknown:
			warnings = append(warnings, fault.New(fault.RequireNote, what,
				"whether the host meets %s is not known here (driver %s, CUDA %s)",
				strings.Join(clauses, ", "), driver.name(), driver.CUDA()).
				WithHint("if the program fails for it, see the image's documentation"))
		case Unmet:
			f := fault.New(fault.Require, what, "%sthe host has driver %s with CUDA %s%s",
				unmetOf(r, clauses), driver.Version, driver.CUDA(), compatibility(c, r, driver)).
				WithHint("install a newer driver or use an older image; " +
					"NVIDIA_DISABLE_REQUIRE=1 in its environment skips the check")
			if warnings, err = n.unmet(warnings, f); err != nil {
				return warnings, err
			}
		}
	}
	return warnings, nil
}

// unmetOf names the clauses that the host does not meet, if the requirement has others too.
func unmetOf(r Requirement, clauses []string) string {
	if all := strings.Join(clauses, ","); all != r.Value {
		return "not " + strings.Join(clauses, ", ") + ": "
	}
	return ""
}

// unmet handles f, an unmet requirement, as the policy wants it: f is the error, or it is added to the warnings.
func (n Contract) unmet(warnings []*fault.Error, f *fault.Error) ([]*fault.Error, error) {
	if n.Requirements == RequirementsEnforce {
		return warnings, f
	}
	return append(warnings, f.WithCode(fault.RequireNote)), nil
}

// name returns the driver's version for messages.
func (d Driver) name() string {
	if d.Version == "" {
		return "not known"
	}
	return d.Version
}
