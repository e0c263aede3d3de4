package inject

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// searchPath is the whole environment of a delegate, and the PATH of a hook that has none. Our own environment is not
// passed on: what is in it depends on the engine.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// runHooks runs the hooks of the stages prestart, createRuntime and createContainer as a runtime would: stage by stage
// and in the order of the Spec, each with the state on standard input and with its own environment and timeout. Hooks
// of the first two stages run in the runtime's namespaces, with the bundle as working directory. Those of the last one
// run in the container's, where the root directory is still the host's.
//
// An optional hook that fails is Skipped, unless it failed because the deadline had passed or gpu-hook was told to end.
func (t *Target) runHooks(ctx context.Context, hooks []*devices.Hook, user state.User, result *Result) error {
	if !slices.ContainsFunc(hooks, func(h *devices.Hook) bool { return h.Status == devices.Apply }) {
		return nil
	}
	stdin, err := t.hookState()
	if err != nil {
		return err
	}
	for _, stage := range []string{cdi.PrestartHook, cdi.CreateRuntimeHook, cdi.CreateContainerHook} {
		for _, h := range hooks {
			if h.HookName != stage || h.Status != devices.Apply {
				continue
			}
			h.Status = devices.Failed
			result.Foreign = append(result.Foreign, h.Path)
			if err := t.runHook(ctx, h, user, stdin); err != nil {
				err := fault.New(fault.Hook, stage+" hook "+h.Path+" of the CDI Spec", "%w", err).
					WithHint("run it by hand with the state on its standard input, or correct the CDI Spec")
				if err := t.leaveOutHook(ctx, h, err, result); err != nil {
					return err
				}
				continue
			}
			h.Status = devices.Applied
		}
	}
	return nil
}

// hookState is the state for the Spec's hooks: the one that we were given, with two changes. The status is "creating",
// as the specification has it for these stages (crun says "created"). The field root, which crun has, is the absolute
// path of the root filesystem, for hooks that cannot read the bundle. The pid stays as it is: hooks are in the
// runtime's pid namespace, not in the container's.
func (t *Target) hookState() ([]byte, error) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(t.StateJSON))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		return nil, fault.New(fault.State, "state on standard input", "%w", err)
	}
	fields["status"], fields["root"] = specs.StateCreating, t.Root
	return json.Marshal(fields)
}

// runHook runs one hook in the namespaces of its stage.
func (t *Target) runHook(ctx context.Context, h *devices.Hook, user state.User, stdin []byte) error {
	c := command{path: h.Path, args: h.Args, env: environment(h.Env), dir: t.Container.State.Bundle, stdin: stdin}
	if len(c.args) == 0 {
		c.args = []string{h.Path}
	}
	if h.Timeout != nil {
		c.timeout = time.Duration(*h.Timeout) * time.Second
	}
	c.timeout = t.patience(ctx, h, c.timeout)
	run := func() error {
		_, err := c.run(ctx)
		return err
	}
	if h.HookName != cdi.CreateContainerHook {
		return run()
	}
	// Not the root filesystem, whose files the author of the image controls (CVE-2025-23266).
	c.dir = "/"
	namespaces, err := t.namespaces()
	if err != nil {
		return err
	}
	defer closeAll(namespaces)
	if user.Separate {
		return t.runAsRoot(ctx, c, namespaces)
	}
	return inNamespaces(namespaces, run)
}

// namespaces opens the container's namespaces in which its createContainer hooks run. The pid namespace is left out: in
// it, a process of the container could access the hook through /proc (CVE-2016-9962). A namespace that we are in
// already is left out too, since joining it can be forbidden: the host's may only be joined by the host's root.
func (t *Target) namespaces() ([]*os.File, error) {
	var out []*os.File
	for _, name := range []string{"net", "ipc", "uts", "cgroup", "mnt"} {
		ns, err := t.ownNamespace(name)
		if err != nil {
			closeAll(out)
			return nil, err
		}
		if ns != nil {
			out = append(out, ns)
		}
	}
	return out, nil
}

// ownNamespace opens the container's namespace of this kind, or returns nil if it is ours too.
func (t *Target) ownNamespace(name string) (*os.File, error) {
	ours, err := os.Open("/proc/self/ns/" + name)
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	its, err := t.Process.Namespace(name)
	if err != nil {
		return nil, err
	}
	same, err := sameFile(ours, its)
	if err != nil || same {
		_ = its.Close()
		return nil, err
	}
	return its, nil
}

// NSEnter is the program that joins a container's user namespace for a hook. We cannot: a process with threads, as
// every Go program is, cannot change its user namespace; see setns(2).
const NSEnter = "/usr/bin/nsenter"

// runAsRoot runs the command in the namespaces and in the container's user namespace, as its root user. In our own user
// namespace it could fail: update-ldcache of nvidia-cdi-hook cannot pivot_root(2) there. The command's argv[0] becomes
// its path. nsenter opens the namespaces through our handles in /proc, which the command does not inherit.
func (t *Target) runAsRoot(ctx context.Context, c command, namespaces []*os.File) error {
	if err := t.Owner.Executable(NSEnter); err != nil {
		return err
	}
	user, err := t.Process.Namespace("user")
	if err != nil {
		return err
	}
	defer user.Close()
	args := []string{NSEnter}
	for _, ns := range append([]*os.File{user}, namespaces...) {
		args = append(args, fmt.Sprintf("--%s=/proc/%d/fd/%d", option(path.Base(ns.Name())), os.Getpid(), ns.Fd()))
	}
	c.args = append(append(args, "--", c.path), c.args[1:]...)
	c.path = NSEnter
	_, err = c.run(ctx)
	return err
}

// option is nsenter's name for a namespace of /proc/PID/ns.
func option(namespace string) string {
	if namespace == "mnt" {
		return "mount"
	}
	return namespace
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// environment adds a PATH to a Spec hook's environment if it has none. So it is never empty; some programs take an
// empty environment for a missing one and use another.
func environment(env []string) []string {
	if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		return env
	}
	return append([]string{searchPath}, env...)
}
