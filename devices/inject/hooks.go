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

// searchPath is all that a foreign program is told of our environment.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// runHooks runs the hooks of the stages prestart, createRuntime and createContainer, stage by stage and within one in the
// order of the Spec, as a runtime would: each with the state on standard input, its own environment and timeout, the
// first two in the runtime's namespaces with the bundle as working directory, the last in the container's, where the
// host's tree is still the root. An optional one that fails is Skipped; one that was running when the time was over, or
// when we were told to end, is why we end.
func (t *Target) runHooks(ctx context.Context, hooks []*devices.Hook, user state.User, result *Result) error {
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

// hookState is the state for the Spec's hooks: ours with all its fields, the status that it has in these stages (crun says
// "created") and, as crun has it, the absolute path of the root filesystem: a hook need not look for it in a bundle that it
// may be unable to read. The pid is the runtime's, as the hooks see it, whose pid namespace is not the container's.
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
	// Not the root filesystem, which the image's author has furnished (CVE-2025-23266).
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

// namespaces opens those of the container that its createContainer hooks run in. The pid namespace is left out: there,
// programs of a container that shares it could reach into the hook's /proc (CVE-2016-9962). So is one that is ours
// already: it may belong to the host, which lets nobody join it who is not its root.
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

// ownNamespace opens the container's namespace of this kind, or returns nil where that is ours too.
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

// NSEnter joins a container's user namespace for a hook: a process with threads cannot, setns(2), and all of Go's have some.
const NSEnter = "/usr/bin/nsenter"

// runAsRoot runs the command in the namespaces and in the container's user namespace, as its root user. It must not run in
// our own: update-ldcache of nvidia-cdi-hook cannot pivot there. The command's argv[0] becomes its path. nsenter finds the
// namespaces through our own handles, which do not reach the command.
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

// environment completes a Spec hook's environment: it is never empty, which some programs take for permission to use
// another, and has a PATH.
func environment(env []string) []string {
	if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		return env
	}
	return append([]string{searchPath}, env...)
}
