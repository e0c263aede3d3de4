package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Pattern names edits of CDI Specs that a container can do without, as KIND:GLOB. KIND is node, mount or hook. GLOB is
// held against the edit's path in the container, of a hook against its program and its command; in it, "*", "?" and
// "[…]" stay within one element of a path, and an element "**" stands for any number of them:
//
//	mount:/usr/share/egl/**      what is mounted below /usr/share/egl
//	node:/dev/nvidia-modeset     that node, where a Spec gives it to all of its devices
//	hook:chmod                   nvidia-cdi-hook chmod, nvidia-ctk hook chmod
//	hook:/opt/vendor/bin/*       every program in that directory
type Pattern string

// optional are the patterns that come built in: what programs on a GPU do not need, or only some and those say so.
//
// A driver library is none of them. Libraries carry the driver's version in their name, so that one that is missing says
// that the Spec is stale, and programs that lack one fail in ways that nobody can read. Nor are create-symlinks,
// update-ldcache and enable-cuda-compat, without which libraries are not found, and disable-device-node-modification,
// which protects.
func optional() []Pattern {
	return []Pattern{
		// Of display and of profilers; nvidia_modeset need not even be loaded where nothing is drawn.
		"node:/dev/nvidia-modeset", "node:/dev/nvidia-uvm-tools",
		// Sockets of daemons are there while the daemon runs, and come back with it: persistenced, fabricmanager, MPS.
		"mount:/run/nvidia-*/socket", "mount:/var/run/nvidia-*/socket", "mount:/tmp/nvidia-mps",
		// GSP firmware: since Linux 5.7, and gpu-hook needs 5.12, the kernel reads it from the host's root alone.
		"mount:/lib/firmware/**", "mount:/usr/lib/firmware/**",
		// Text that tells loaders of OpenGL, EGL, Vulkan, OpenCL and X where a library is, and profiles of applications.
		"mount:/etc/OpenCL/**", "mount:/etc/egl/**", "mount:/etc/glvnd/**", "mount:/etc/vulkan/**",
		"mount:/usr/share/egl/**", "mount:/usr/share/glvnd/**", "mount:/usr/share/vulkan/**",
		"mount:/usr/share/X11/**", "mount:/usr/share/nvidia/**",
		// They write comfort into the container and fail where they cannot, on a read-only /etc/nvidia or a /dev that is
		// mounted: NVIDIA's issues 2026 (every GPU node of a cluster was lost for it) and 143.
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

// Rule returns in words which entry of optional makes an edit of the kind that is known by these names optional, or "".
func (c *CDI) Rule(kind string, names ...string) string {
	for _, p := range c.Optional {
		of, glob, _ := strings.Cut(string(p), ":")
		if of == kind && slices.ContainsFunc(names, func(name string) bool { return matches(strings.Split(glob, "/"), strings.Split(name, "/")) }) {
			return fmt.Sprintf("%q of optional under [cdi]", p)
		}
	}
	return ""
}

// matches holds a path against a glob, both by elements.
func matches(glob, name []string) bool {
	switch {
	case len(glob) == 0:
		return len(name) == 0
	case glob[0] == "**":
		return matches(glob[1:], name) || len(name) > 0 && matches(glob, name[1:])
	case len(name) == 0:
		return false
	}
	ok, err := path.Match(glob[0], name[0])
	return err == nil && ok && matches(glob[1:], name[1:])
}
