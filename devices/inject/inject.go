// Package inject carries a plan out: it makes device nodes and mounts in a container that is being created, opens its
// device rules and runs the hooks of CDI Specs and the vendor's own hook. It is the only package that changes anything.
//
// The container is at its createRuntime stage: its namespaces and mounts exist, its root is not pivoted into yet, its
// device rules are set. Everything below the root filesystem is in the hands of strangers and reached by handle alone.
package inject

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/rules"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

// Target is the container to change.
type Target struct {
	Container *state.Container
	Process   *state.Process
	Root      string // as [state.Container.Root] returns it
	StateJSON []byte // for the hooks' standard input
	RunDir    string // where a private bundle for the delegate may be made
	Owner     trust.Owner
	// Namespaced says that this process is in a user namespace that is not the host's: it has no say over device rules.
	Namespaced bool
	Optional   devices.Optional // which edits may be left out where they cannot be made
	// Wish says that the container must be able to start without the edits: on error everything is undone.
	Wish bool
	// NothingInRoot says that nothing may be made in the root filesystem, which an image is made of.
	NothingInRoot bool
}

// Result is what happened beyond the statuses of the edits.
type Result struct {
	// NoCgroup says that device rules were needed, but the container has no cgroup of its own to set them in.
	NoCgroup error
	// Skipped says of each edit that could not be made, and was left out, why.
	Skipped []*fault.Error
	// Notes are about what may take device rules away again, or stands above them: they warn, the rules are set.
	Notes []*fault.Error
	// Delegated are the nodes that delegates left in the container's /dev, with their device rules set.
	Delegated []*devices.DeviceNode
	// Said is what each delegate wrote, on one line.
	Said []string
	// Foreign are programs that ran before an error and whose doings in the container nobody can undo.
	Foreign []string
	// Left is what could not be undone of a wish that failed: the container must not start then.
	Left error
}

// note keeps a note, once.
func (r *Result) note(f *fault.Error) {
	if !slices.ContainsFunc(r.Notes, func(n *fault.Error) bool { return n.Error() == f.Error() }) {
		r.Notes = append(r.Notes, f)
	}
}

// Apply makes the edits whose status is Apply, mounts first, then nodes, network devices, device rules, hooks and at last
// the delegates, and sets each edit's status. One that fails and is optional is Skipped: what was made for it is taken
// away again, what a hook has done until then stays, and the rest is made. On error, network devices are back on the host,
// and what it made in the root filesystem is gone again; mounts, device rules and what lies on the container's own tmpfs
// end with the container, whose start must now fail.
//
// With a Wish, device rules come last, after hooks and delegates, so that nothing which can fail comes after them. On error
// the mounts are detached again too, every edit that was not refused by itself is Skipped, and the container can start as
// if nothing had happened, but for what result.Foreign did; where result.Left is set it must not.
//
// Apply may be called again for the same container, with other edits.
func (t *Target) Apply(ctx context.Context, edits *devices.Edits, delegates []Delegate) (Result, error) {
	var result Result
	err := t.carryOut(ctx, edits, delegates, &result)
	if err != nil && t.Wish {
		forgo(edits)
		result.Delegated = nil // their device rules were to come
	}
	return result, err
}

// carryOut is [Target.Apply] but for the statuses of a wish that failed.
func (t *Target) carryOut(ctx context.Context, edits *devices.Edits, delegates []Delegate, result *Result) error {
	if err := t.spareRoot(edits, delegates, result); err != nil {
		return err
	}
	user, err := t.Process.RootUser()
	if err != nil {
		return fault.New(fault.State, "user namespace of the container", "%w", err).WithHint("map the container's root user to one of the host (--uidmap 0:…)")
	}
	r := newRootfs(user, t.NothingInRoot, t.Wish)
	defer r.closeWaiting()
	sources, err := t.clones(r, edits.Mounts, result)
	defer closeSources(sources)
	if err != nil {
		return err
	}
	if user.Separate || t.Namespaced {
		err = t.cloneNodes(r, toMake(edits), result)
	}
	if err != nil {
		return err
	}
	err = t.apply(ctx, r, sources, edits, delegates, result)
	switch {
	case err != nil && t.Wish:
		result.Left = t.unmake(r)
	case err != nil:
		err = errors.Join(err, r.undo())
	}
	r.close()
	if r.root != nil {
		_ = r.root.Close()
	}
	return err
}

func (t *Target) apply(
	ctx context.Context, r *rootfs, sources []*source, edits *devices.Edits, delegates []Delegate, result *Result,
) error {
	if err := t.enter(ctx, r, sources, toMake(edits), result); err != nil {
		return err
	}
	if err := t.moveNetDevices(r, edits.NetDevices); err != nil {
		return err
	}
	made := slices.DeleteFunc(slices.Clone(edits.DeviceNodes), func(d *devices.DeviceNode) bool { return d.Status == devices.Skipped })
	if t.Wish {
		return t.applyWish(ctx, r, made, edits.Hooks, delegates, result)
	}
	if err := t.allow(ctx, rules.Missing(t.Container.Spec, made), result); err != nil {
		return err
	}
	if err := t.Process.Alive(); err != nil {
		return err
	}
	if err := t.runHooks(ctx, edits.Hooks, r.user, result); err != nil {
		return err
	}
	for _, d := range delegates {
		made, err := t.delegateOne(ctx, r, d, result)
		if err != nil {
			return err
		}
		if err := t.allow(ctx, rules.Of(made), result); err != nil {
			return err
		}
	}
	return ended(ctx)
}

func (t *Target) delegateOne(ctx context.Context, r *rootfs, d Delegate, result *Result) ([]*devices.DeviceNode, error) {
	result.Foreign = append(result.Foreign, d.Path)
	made, said, err := t.delegate(ctx, r, d)
	if err != nil {
		return nil, err
	}
	result.Delegated = append(result.Delegated, made...)
	result.Said = append(result.Said, said)
	return made, nil
}

// allow extends the container's device rules.
func (t *Target) allow(ctx context.Context, list []rules.Rule, result *Result) error {
	target := rules.Target{Container: t.Container, Process: t.Process, Namespaced: t.Namespaced}
	outcome, err := target.Allow(ctx, list)
	if outcome.NoCgroup != nil {
		result.NoCgroup = outcome.NoCgroup
	}
	for _, n := range outcome.Notes {
		result.note(n)
	}
	return err
}

func toMake(edits *devices.Edits) []*devices.DeviceNode {
	return slices.DeleteFunc(slices.Clone(edits.DeviceNodes), func(d *devices.DeviceNode) bool { return d.Status != devices.Apply })
}

// ended says why no more may be done.
func ended(ctx context.Context) error {
	switch {
	case ctx.Err() == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.New(fault.Timeout, "gpu-hook", "it did not finish in time").WithHint("see which phase takes long (gpu-hook last --json), or raise timeout under [limits]")
	}
	return fault.New(fault.Ended, "gpu-hook", "it was told to end").WithHint("start the container again")
}

// enter makes mounts and nodes from inside the container's mount namespace and leaves the root open in r.
func (t *Target) enter(ctx context.Context, r *rootfs, sources []*source, nodes []*devices.DeviceNode, result *Result) error {
	seen, err := os.Stat(t.Root)
	if err != nil {
		return fault.New(fault.Bundle, "root filesystem "+t.Root, "%w", err)
	}
	if r.ground.host, err = readMounts(); err != nil {
		return fault.New(fault.Internal, "mounts of the host", "%w", err)
	}
	ns, err := t.Process.Namespace("mnt")
	if err != nil {
		return fault.New(fault.State, "mount namespace of the container", "%w", err)
	}
	defer ns.Close()
	return inNamespaces([]*os.File{ns}, func() error {
		// Modes are exact here; the umask is this thread's own since it left the others' fs_struct.
		unix.Umask(0)
		var err error
		if r.root, err = openRoot(t.Root, seen); err != nil {
			return fault.New(fault.Bundle, "root filesystem "+t.Root, "%w", err).
				WithHint("the runtime must have mounted the root filesystem before it runs this hook")
		}
		if err := r.ground.learn(r.root); err != nil {
			return fault.New(fault.Internal, "mounts of the container", "%w", err)
		}
		// Only now: the way to the root filesystem may be closed to the container's own user.
		if err := become(r.user); err != nil {
			return fault.New(fault.Internal, "user of the container", "%w", err)
		}
		if err := t.attachAll(ctx, r, sources, result); err != nil {
			return err
		}
		return t.makeNodes(r, nodes, result)
	})
}

// attachAll attaches the mounts. It must run in the container's mount namespace.
func (t *Target) attachAll(ctx context.Context, r *rootfs, sources []*source, result *Result) error {
	for _, s := range sources {
		if err := ended(ctx); err != nil {
			return err
		}
		var err error
		if s.tree, err = r.waiting.take(s.stored); err != nil {
			return fault.New(fault.Internal, "mount on "+s.ContainerPath, "%w", err)
		}
		mark := len(r.made)
		if err := r.attach(s); err != nil {
			if err := r.leaveOut(mark, &s.Status, err, t.without(s.Mount, err), result); err != nil {
				return err
			}
			_ = s.tree.Close()
		}
	}
	return nil
}

// makeNodes makes the nodes, or binds them from the host. It must run in the container's mount namespace.
func (t *Target) makeNodes(r *rootfs, nodes []*devices.DeviceNode, result *Result) error {
	for _, d := range nodes {
		if err := r.takeNode(d); err != nil {
			return fault.New(fault.Internal, "device node "+d.Path, "%w", err)
		}
		mark := len(r.made)
		if err := r.makeNode(d); err != nil {
			if err := r.leaveOut(mark, &d.Status, err, t.Optional.Note(d, err), result); err != nil {
				return err
			}
		}
		r.closeNode(d)
	}
	return nil
}

// openRoot opens the root filesystem in the container's mount namespace: the same directory that was seen from outside
// and, there, the root of a mount, as a runtime leaves it.
func openRoot(path string, seen os.FileInfo) (*os.File, error) {
	root, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	st, err := linux.Statx(root, unix.STATX_BASIC_STATS)
	if err == nil {
		err = checkRoot(root, seen, &st)
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

func checkRoot(root *os.File, seen os.FileInfo, st *unix.Statx_t) error {
	info, err := root.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, seen) {
		return errors.New("in the container's mount namespace another directory stands there")
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return errors.New("it is not mounted in the container's mount namespace")
	}
	return nil
}

// clones makes the mounts whose status is Apply, before anything is changed in the container.
func (t *Target) clones(r *rootfs, mounts []*devices.Mount, result *Result) ([]*source, error) {
	var sources []*source
	for _, m := range mounts {
		if m.Status != devices.Apply {
			continue
		}
		s, err := t.makeMount(m, r.user)
		if err != nil {
			m.Status = devices.Failed
			if err := r.leaveOut(len(r.made), &m.Status, err, t.Optional.Note(m, err), result); err != nil {
				return sources, err
			}
			continue
		}
		s.stored = r.waiting.put(s.tree)
		sources = append(sources, s)
	}
	return sources, nil
}

func closeSources(sources []*source) {
	for _, s := range sources {
		_ = s.tree.Close()
	}
}
