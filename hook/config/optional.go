package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Pattern names edits of CDI Specs that a container can do without, as KIND:GLOB. KIND is node, mount or hook. GLOB is
// matched against the edit's path in the container, or against a hook's program and its subcommand. "*", "?" and "[…]"
// match within one element of a path, and the element "**" matches any number of elements:
//
//	mount:/usr/share/egl/**      mounts on and below /usr/share/egl
//	node:/dev/nvidia-modeset     this node, if the Spec gives it to all of its devices
//	hook:chmod                   nvidia-cdi-hook chmod, nvidia-ctk hook chmod
//	hook:/opt/vendor/bin/*       every program in this directory
type Pattern string

// optional returns the built-in patterns: edits that programs on a GPU do not need, or that only a few need, which then
// report what is missing.
//
// These are deliberately not optional:
//   - Libraries of the driver. Their names contain the driver's version, so a missing one means that the Spec is stale,
//     and a program without it fails with errors that do not show the reason.
//   - The hooks create-symlinks, update-ldcache and enable-cuda-compat, without which libraries are not found.
//   - The hook disable-device-node-modification, which protects the host.
func optional() []Pattern {
	return []Pattern{
		// For display and for profilers. The module nvidia_modeset is often not loaded on hosts without a display.
		"node:/dev/nvidia-modeset", "node:/dev/nvidia-uvm-tools",
		// Sockets of daemons (persistenced, fabricmanager, MPS), which exist while the daemon runs.
		"mount:/run/nvidia-*/socket", "mount:/var/run/nvidia-*/socket", "mount:/tmp/nvidia-mps",
		// GSP firmware. Since Linux 5.7 the kernel reads it from the host's root only, and gpu-hook needs Linux 5.12.
		"mount:/lib/firmware/**", "mount:/usr/lib/firmware/**",
		// Files by which the loaders of OpenGL, EGL, Vulkan, OpenCL and X find a library, and application profiles.
		"mount:/etc/OpenCL/**", "mount:/etc/egl/**", "mount:/etc/glvnd/**", "mount:/etc/vulkan/**",
		"mount:/usr/share/egl/**", "mount:/usr/share/glvnd/**", "mount:/usr/share/vulkan/**",
		"mount:/usr/share/X11/**", "mount:/usr/share/nvidia/**",
		// These hooks write conveniences into the container and fail if /etc/nvidia is read-only or /dev is mounted: NVIDIA's
		// issues 2026 (which cost a cluster all of its GPU nodes) and 143.
		"hook:update-application-profile", "hook:chmod",
	}
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Pattern) UnmarshalText(text []byte) error {
	*p = Pattern(text)
	kind, glob, _ := strings.Cut(string(text), ":")
	if !slices.Contains([]string{"node", "mount", "hook"}, kind) || glob == "" {
		return fmt.Errorf("%q is not of the form node:GLOB, mount:GLOB or hook:GLOB", text)
	}
	if kind != "hook" && !path.IsAbs(glob) && !strings.HasPrefix(glob, "**") {
		return fmt.Errorf("%q: paths in a container begin with a slash", text)
	}
	for element := range strings.SplitSeq(glob, "/") {
		if _, err := path.Match(element, ""); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
	}
	return nil
}

// Rule returns, for messages, the first entry of optional that makes an edit of this kind optional, or "". names are
// all paths and commands that the edit is known by.
func (c *CDI) Rule(kind string, names ...string) string {
	for _, p := range c.Optional {
		if slices.ContainsFunc(names, func(name string) bool { return p.matches(kind, name) }) {
			return fmt.Sprintf("%q of optional under [cdi]", p)
		}
	}
	return ""
}

// matches reports whether the pattern names an edit of this kind with this path or command.
func (p Pattern) matches(kind, name string) bool {
	patternKind, glob, _ := strings.Cut(string(p), ":")
	return patternKind == kind && matches(elements{glob, true}, elements{name, true})
}

// elements are what is left of a path or glob. They are cut off one by one: most globs differ from a path in the first,
// and to split both took 15 % of a plan's time.
type elements struct {
	text string
	left bool // the last element may be ""
}

func (e elements) cut() (first string, rest elements) {
	first, text, left := strings.Cut(e.text, "/")
	return first, elements{text, left}
}

// matches reports whether a path matches a glob.
func matches(glob, name elements) bool {
	if !glob.left {
		return !name.left
	}
	wanted, globRest := glob.cut()
	found, nameRest := name.cut()
	switch {
	case wanted == "**":
		return matches(globRest, name) || name.left && matches(glob, nameRest)
	case !name.left:
		return false
	}
	ok, err := path.Match(wanted, found)
	return err == nil && ok && matches(globRest, nameRest)
}
