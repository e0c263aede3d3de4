package packages

import (
	"slices"
	"testing"
)

func TestCommands(t *testing.T) {
	for _, test := range []struct {
		p                          Package
		distribution, install, new string
	}{
		{Toolkit(), "debian", "apt-get install nvidia-container-toolkit-base", "apt-get install --only-upgrade " +
			"nvidia-container-toolkit-base"},
		{Toolkit(), "arch", "pacman -S nvidia-container-toolkit", "pacman -Syu nvidia-container-toolkit"},
		{Hook(), "rhel", "dnf install nvidia-container-toolkit", "dnf upgrade nvidia-container-toolkit"},
		{CLI(), "sles", "zypper install libnvidia-container-tools", "zypper update libnvidia-container-tools"},
		{CLI(), "arch", "pacman -S libnvidia-container", "pacman -Syu libnvidia-container"},
		{AMD(), "arch", "", ""},
		{AMD(), "nixos", "", ""},
	} {
		is := func(ids ...string) bool { return slices.Contains(ids, test.distribution) }
		if got := test.p.Install(is); got != test.install {
			t.Errorf("%s: %q", test.distribution, got)
		}
		if got := test.p.Upgrade(is); got != test.new {
			t.Errorf("%s: %q", test.distribution, got)
		}
	}
}
