// Package packages names the packages that tools come with, and how a distribution installs them. Every hint
// and every check of doctor takes the names from here.
package packages

// Package is one package under its names in the distributions; "" where a distribution does not have it.
type Package struct {
	Any                      string // a name for texts that are not for one distribution
	Apt, Dnf, Zypper, Pacman string
}

// named is a package that has one name everywhere.
func named(name string) Package { return Package{name, name, name, name, name} }

// Toolkit has nvidia-ctk and nvidia-cdi-hook. The distributions that divide the toolkit have them in a part of it that
// brings no hook for an engine.
func Toolkit() Package {
	const base = "nvidia-container-toolkit-base"
	return Package{"nvidia-container-toolkit", base, base, base, "nvidia-container-toolkit"}
}

// Hook has nvidia-container-runtime-hook.
func Hook() Package { return named("nvidia-container-toolkit") }

// CLI has nvidia-container-cli.
func CLI() Package {
	p := named("libnvidia-container-tools")
	p.Pacman = "libnvidia-container"
	return p
}

// CRun has crun.
func CRun() Package { return named("crun") }

// AMD has amd-ctk.
func AMD() Package {
	p := named("amd-container-toolkit")
	p.Pacman = ""
	return p
}

// Install returns the command that installs the package, or "" where none is known. is reports whether the distribution
// is one of these, or derived from one.
func (p Package) Install(is func(ids ...string) bool) string {
	return p.run(is, "apt-get install ", "dnf install ", "zypper install ", "pacman -S ")
}

// Upgrade is [Package.Install] for a package that is installed and too old.
func (p Package) Upgrade(is func(ids ...string) bool) string {
	return p.run(is, "apt-get install --only-upgrade ", "dnf upgrade ", "zypper update ", "pacman -Syu ")
}

func (p Package) run(is func(ids ...string) bool, apt, dnf, zypper, pacman string) string {
	switch {
	case is("debian", "ubuntu") && p.Apt != "":
		return apt + p.Apt
	case is("fedora", "rhel", "centos", "rocky", "almalinux") && p.Dnf != "":
		return dnf + p.Dnf
	case is("suse", "sles", "opensuse") && p.Zypper != "":
		return zypper + p.Zypper
	case is("arch") && p.Pacman != "":
		return pacman + p.Pacman
	}
	return ""
}
