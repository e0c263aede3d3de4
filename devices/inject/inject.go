// Package inject applies a plan: it makes device nodes and mounts in a container that is being created, extends its
// device rules, and runs the hooks of CDI Specs and the vendor's own hook. Only this package changes containers.
//
// The container is at the createRuntime stage: its namespaces, mounts and device rules exist, and pivot_root(2) is
// still to come. Whoever made the image or shares a volume controls what is below the root filesystem, and can change
// it at any moment. So nothing there is accessed by path, but by handle, and what was made is verified afterwards.
package inject

import (
	"context"
	"errors"
	"fmt"
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
	RunDir    string // the delegate's private bundle is made in it
	Owner     trust.Owner
	// Namespaced: this process is in a user namespace other than the host's, and cannot change device rules.
	Namespaced bool
	Optional   devices.Optional // edits that are left out if they cannot be made
	// Wish: the container must be able to start without the edits. On error everything is undone.
	Wish bool
	// NothingInRoot: nothing may be made in the root filesystem itself, because it becomes an image.
	NothingInRoot bool

	asked *rules.Question // about the container's scope
}

// Result is the outcome beyond the statuses of the edits.
type Result struct {
	// NoCgroup is set if device rules were needed but the container has no cgroup of its own for them.
	NoCgroup error
	// Skipped has a warning for each edit that was left out because it could not be made.
	Skipped []*fault.Error
	// Notes are warnings about device rules that are set but may not last or may not suffice.
	Notes []*fault.Error
	// Delegated are the nodes that delegates made in the container's /dev. Their device rules are set.
	Delegated []*devices.DeviceNode
	// Said is the output of each delegate, on one line.
	Said []string
	// Foreign are the programs that were run. What they did in the container cannot be undone.
	Foreign []string
	// Left is set if a wish failed and could not be undone completely. The container must not start then.
	Left error
}

// note adds a note unless there is one that reads the same.
func (r *Result) note(f *fault.Error) {
	if !slices.ContainsFunc(r.Notes, func(n *fault.Error) bool { return n.Error() == f.Error() }) {
		r.Notes = append(r.Notes, f)
	}
}

// Apply makes the edits whose status is Apply and sets their status. The order is: mounts, nodes, network devices,
// device rules, hooks, delegates.
//
// An optional edit that fails is Skipped: what was made for it is removed, a hook excepted, and Apply goes on.
//
// On error, network devices are moved back to the host and what Apply made in the root filesystem is removed. Mounts,
// device rules and files on the container's own tmpfs stay: they end with the container, whose start must now fail.
//
// With a Wish, device rules come after hooks and delegates, because they cannot be undone: nothing that can fail
// follows them. On error the mounts are detached too and the edits are Skipped, except for one that was itself refused.
// The container can then start as if nothing had happened, except for what the programs in result.Foreign did. If
// result.Left is set, it must not start.
//
// A panic is an error, and what was done before it is undone. A wish that ends in one must not start the container.
//
// Apply may be called again for the same container with other edits.
func (t *Target) Apply(ctx context.Context, edits *devices.Edits, delegates []Delegate) (Result, error) {
	var result Result
	err := t.carryOut(ctx, edits, delegates, &result)
	if err != nil && t.Wish {
		forgo(edits)
		result.Delegated = nil // their device rules were to come
	}
	return result, err
}

// carryOut is [Target.Apply], except for the statuses after a failed wish.
func (t *Target) carryOut(ctx context.Context, edits *devices.Edits, delegates []Delegate, result *Result) error {
	if err := t.spareRoot(edits, delegates, result); err != nil {
		return err
	}
	linux.ReserveThreads(threadsFor(edits))
	user, err := t.Process.RootUser()
	if err != nil {
		return fault.New(fault.State, "user namespace of the container", "%w", err).
			WithHint("map the container's root user to one of the host (--uidmap 0:…)")
	}
	r := newRootfs(user, t.NothingInRoot, t.Wish)
	defer r.closeWaiting()
	if len(delegates) > 0 || len(rules.Missing(t.Container.Spec, edits.DeviceNodes)) > 0 {
		t.asked = t.rules().Ask(ctx)
		defer t.asked.Close()
	}
	defer r.unlock()
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
	err = fault.Guard(func() error { return t.apply(ctx, r, sources, edits, delegates, result) })
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
	r.waiting.close() // it is empty, and programs that are run need its descriptors: see maxHeld
	if err := t.moveNetDevices(r, edits.NetDevices); err != nil {
		return err
	}
	made := slices.DeleteFunc(slices.Clone(edits.DeviceNodes), func(d *devices.DeviceNode) bool {
		return d.Status == devices.Skipped
	})
	if t.Wish {
		return t.applyWish(ctx, r, made, edits.Hooks, delegates, result)
	}
	if err := t.allowNodes(ctx, made, result); err != nil {
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

// delegateOne runs a delegate, adds to result what it did, and returns the nodes that it made.
func (t *Target) delegateOne(
	ctx context.Context, r *rootfs, d Delegate, result *Result,
) ([]*devices.DeviceNode, error) {
	result.Foreign = append(result.Foreign, d.Path)
	made, said, err := t.delegate(ctx, r, d)
	if err != nil {
		return nil, err
	}
	result.Delegated = append(result.Delegated, made...)
	result.Said = append(result.Said, said)
	return made, nil
}

// rules is the container as package rules knows it.
func (t *Target) rules() *rules.Target {
	return &rules.Target{Container: t.Container, Process: t.Process, Namespaced: t.Namespaced, Asked: t.asked}
}

// allowNodes extends the container's device rules for the nodes. If that fails, as where a cgroup above the container
// denies one of them, it leaves out each optional node whose rule alone makes it fail. Such a node stays, and cannot be
// opened.
func (t *Target) allowNodes(ctx context.Context, nodes []*devices.DeviceNode, result *Result) error {
	err := t.allow(ctx, rules.Missing(t.Container.Spec, nodes), result)
	if err == nil {
		return nil
	}
	var required, optional []*devices.DeviceNode
	for _, d := range nodes {
		if t.Optional.Of(d) == "" {
			required = append(required, d)
		} else {
			optional = append(optional, d)
		}
	}
	if len(optional) == 0 || ctx.Err() != nil {
		return err
	}
	if err := t.allow(ctx, rules.Missing(t.Container.Spec, required), result); err != nil {
		return err
	}
	for _, d := range optional {
		if err := t.allow(ctx, rules.Missing(t.Container.Spec, []*devices.DeviceNode{d}), result); err != nil {
			d.Status = devices.Skipped
			result.Skipped = append(result.Skipped, t.Optional.Note(d, fmt.Errorf("%s: %w", d.Label(), err)))
		}
	}
	return nil
}

// allow extends the container's device rules.
func (t *Target) allow(ctx context.Context, list []rules.Rule, result *Result) error {
	outcome, err := t.rules().Allow(ctx, list)
	if outcome.NoCgroup != nil {
		result.NoCgroup = outcome.NoCgroup
	}
	for _, n := range outcome.Notes {
		result.note(n)
	}
	return err
}

// toMake are the nodes whose status is Apply.
func toMake(edits *devices.Edits) []*devices.DeviceNode {
	return slices.DeleteFunc(slices.Clone(edits.DeviceNodes), func(d *devices.DeviceNode) bool {
		return d.Status != devices.Apply
	})
}

// ended returns an error if the deadline has passed or gpu-hook was told to end.
func ended(ctx context.Context) error {
	switch {
	case ctx.Err() == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.New(fault.Timeout, "gpu-hook", "it did not finish in time").
			WithHint("see which phase takes long (gpu-hook last --json), or raise timeout under [limits]")
	}
	return fault.New(fault.Ended, "gpu-hook", "it was told to end").WithHint("start the container again")
}

// enter attaches the mounts and makes the nodes from inside the container's mount namespace. The root stays open in r.
func (t *Target) enter(
	ctx context.Context, r *rootfs, sources []*source, nodes []*devices.DeviceNode, result *Result,
) error {
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
		// The modes of what we make are exact. This changes no other thread's umask: see inNamespaces.
		unix.Umask(0)
		var err error
		if r.root, err = openRoot(t.Root, seen); err != nil {
			return fault.New(fault.Bundle, "root filesystem "+t.Root, "%w", err).
				WithHint("the runtime must have mounted the root filesystem before it runs this hook")
		}
		if err := r.lock(ctx); err != nil {
			return err
		}
		if err := r.ground.learn(r.root); err != nil {
			return fault.New(fault.Internal, "mounts of the container", "%w", err)
		}
		// After openRoot, because the container's user may have no access to the parents of the root filesystem.
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

// openRoot opens the root filesystem from inside the container's mount namespace. It must be the directory that path
// named outside (seen) and the root of a mount, as runtimes leave it.
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

// clones makes the mounts whose status is Apply, without attaching them: errors show before the container is changed.
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

// closeSources closes the mounts. Those that are attached stay mounted.
func closeSources(sources []*source) {
	for _, s := range sources {
		_ = s.tree.Close()
	}
}
