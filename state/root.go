package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

var (
	errNotRegular = errors.New("it is not a regular file")
	errNull       = errors.New("it holds null")
)

// Root returns the path of the container's root filesystem in the runtime's mount namespace, absolute and without
// symbolic links. It is root.path of config.json, relative to the bundle; if crun's state names a root too, both must
// be the same. It is a directory and not the host's own root, where every edit would land on the host. The runtime has
// chosen the path; the container controls everything below it.
func (c *Container) Root() (string, error) {
	if c.Spec.Process == nil {
		return "", c.incomplete("process")
	}
	if c.Spec.Root == nil || c.Spec.Root.Path == "" {
		return "", c.incomplete("root")
	}
	root, err := c.resolve(c.Spec.Root.Path)
	if err != nil {
		return "", err
	}
	if c.State.Root == "" {
		return root, nil
	}
	stated, err := c.resolve(c.State.Root)
	if err != nil {
		return "", err
	}
	if stated != root {
		return "", fault.New(fault.Bundle, "root filesystem", "the state says %q, config.json says %q", stated, root).
			WithHint("a runtime states the root that it was given; report this with the runtime's version")
	}
	return root, nil
}

// CheckNamespaces refuses a container to which config.json gives no mount namespace: every edit would land on the host.
// A config.json without a linux section is not refused here.
func (c *Container) CheckNamespaces() error {
	if c.Spec.Linux == nil {
		return nil
	}
	if !c.has(specs.MountNamespace) {
		return errMountNamespace(filepath.Join(c.State.Bundle, "config.json"))
	}
	return nil
}

// UserNamespace reports whether config.json gives the container a user namespace.
func (c *Container) UserNamespace() bool { return c.Spec.Linux != nil && c.has(specs.UserNamespace) }

// has reports whether config.json lists a namespace of this kind.
func (c *Container) has(kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(c.Spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
}

func errMountNamespace(what string) error {
	return fault.New(fault.State, what,
		"the container has no mount namespace of its own: every edit would land on the host").
		WithHint("give the container a mount namespace")
}

func (c *Container) incomplete(field string) error {
	return fault.New(fault.Bundle, filepath.Join(c.State.Bundle, "config.json"), "it has no %s", field).
		WithHint("a container that asks for devices needs process and root in its config.json")
}

// resolve returns the absolute path, without symbolic links, of a directory that is not the host's root.
func (c *Container) resolve(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.State.Bundle, path)
	}
	hint := "the root filesystem must be a directory that the runtime has mounted"
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fault.New(fault.Bundle, "root filesystem "+path, "%w", cause(err)).WithHint("%s", hint)
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return "", fault.New(fault.Bundle, "root filesystem "+path, "%w", cause(err)).WithHint("%s", hint)
	}
	if !info.IsDir() {
		return "", fault.New(fault.Bundle, "root filesystem "+path, "it is not a directory").WithHint("%s", hint)
	}
	host, err := os.Stat("/")
	if err != nil {
		return "", fault.New(fault.Bundle, "root filesystem "+path, "%w", cause(err))
	}
	if os.SameFile(info, host) {
		return "", fault.New(fault.Bundle, "root filesystem "+path, "it is the root of the host itself").
			WithHint("give the container a root filesystem of its own; a container on / already has the host's devices")
	}
	return resolved, nil
}

// cause strips the operation and the path from an error: the caller names them in its own words.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
