package inject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/rules"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// applyWish is the rest of [Target.apply] for a wish: programs first, then the rules of all nodes.
func (t *Target) applyWish(ctx context.Context, r *rootfs, nodes []*devices.DeviceNode, hooks []*devices.Hook, delegates []Delegate, result *Result) error {
	if err := t.runHooks(ctx, hooks, r.user, result); err != nil {
		return err
	}
	open := rules.Missing(t.Container.Spec, nodes)
	for _, d := range delegates {
		made, err := t.delegateOne(ctx, r, d, result)
		if err != nil {
			return err
		}
		open = append(open, rules.Of(made)...)
	}
	if err := errors.Join(ended(ctx), t.Process.Alive()); err != nil {
		return err
	}
	return t.allow(ctx, open, result)
}

// forgo has the container do without the edits of a wish, which were undone. What a hook did stays, and so does its status.
func forgo(edits *devices.Edits) {
	for e := range edits.All() {
		if status := e.State(); *status == devices.Apply || *status == devices.Applied && e.Undone() {
			*status = devices.Skipped
		}
	}
}

// unmake takes back all that is in r's journal: it detaches the mounts, from inside the container's mount namespace, and
// then brings back and removes the rest. Every part is tried.
func (t *Target) unmake(r *rootfs) error {
	return errors.Join(t.detach(&r.journal), r.undo())
}

// detach detaches the mounts of the journal, with what has been mounted on or below them since, some of ours perhaps. Every
// one is tried.
func (t *Target) detach(j *journal) error {
	if len(j.attached) == 0 {
		return nil
	}
	ns, err := t.Process.Namespace("mnt")
	if err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	defer ns.Close()
	// Of the host: what the container's mount namespace has on /proc does not matter then.
	handles, err := os.Open("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	defer handles.Close()
	return inNamespaces([]*os.File{ns}, func() error {
		if err := linux.Fchdir(handles); err != nil {
			return err
		}
		var errs []error
		for _, stored := range j.attached {
			mount, err := j.store.take(stored)
			if err == nil {
				err = detachOne(mount)
				_ = mount.Close()
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// detachOne detaches the very mount that the handle holds. It never goes by a path, which may lead elsewhere by now
// (CVE-2025-0750). The working directory is that of our handles. A mount that somebody has put on top of ours goes first,
// since the kernel takes the topmost.
func detachOne(mount *os.File) error {
	id, err := mountID(mount)
	if err != nil {
		return err
	}
	// While the handle is open the id is no other mount's.
	for there, err := mounted(id); ; there, err = mounted(id) {
		if err != nil || !there {
			return err
		}
		if err := linux.Unmount(strconv.Itoa(int(mount.Fd())), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("detach the mount of %s: %w", mount.Name(), err)
		}
	}
}

// mounted reports whether the mount of this id is attached in the calling thread's mount namespace.
func mounted(id int) (bool, error) {
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return false, err
	}
	defer file.Close()
	found, err := mountinfo.GetMountsFromReader(file, func(i *mountinfo.Info) (skip, stop bool) { return i.ID != id, i.ID == id })
	return len(found) > 0, err
}
