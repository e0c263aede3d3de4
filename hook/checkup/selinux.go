package checkup

import (
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// checkSELinux looks whether SELinux may keep containers from nodes that they were given.
func checkSELinux(h *host) []report.Check {
	if !h.SELinux.Enforcing || !h.wantsNVIDIA() && len(h.devices) == 0 {
		return nil
	}
	if h.SELinux.Booleans["container_use_devices"] || h.SELinux.Booleans["container_use_xserver_devices"] {
		return []report.Check{h.ok("SELinux", "enforcing, and containers may use devices")}
	}
	c := h.warn("SELinux", "SELinux is enforcing and does not let containers use devices: programs may fail with "+
		"\"Insufficient Permissions\"")
	c.Cause = "SELinux"
	c.Fix = "setsebool -P container_use_devices=true"
	if _, known := h.SELinux.Booleans["container_use_devices"]; !known {
		c.Fix = ""
		c.Hint = "install a newer container-selinux, or start the container with --security-opt label=disable"
	}
	c.Not = "setenforce 0 (it takes the protection from every container and service)"
	return []report.Check{c}
}
