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

// applyWish is the second half of [Target.apply] for a wish: first hooks and delegates, then the device rules of all
// nodes.
func (t *Target) applyWish(
	ctx context.Context, r *rootfs, nodes []*devices.DeviceNode,
	hooks []*devices.Hook, delegates []Delegate, result *Result,
) error {
	if err := t.runHooks(ctx, hooks, r.user, result); err != nil {
		return err
	}
	missing := rules.Missing(t.Container.Spec, nodes)
	for _, d := range delegates {
		made, err := t.delegateOne(ctx, r, d, result)
		if err != nil {
			return err
		}
		missing = append(missing, rules.Of(made)...)
	}
	if err := errors.Join(ended(ctx), t.Process.Alive()); err != nil {
		return err
	}
	return t.allow(ctx, missing, result)
}

// forgo sets the edits of a wish that was undone to Skipped. Hooks that ran stay Applied, since they cannot be undone.
func forgo(edits *devices.Edits) {
	for e := range edits.All() {
		if status := e.State(); *status == devices.Apply || *status == devices.Applied && e.Undone() {
			*status = devices.Skipped
		}
	}
}

// unmake undoes all that is in r's journal, the mounts first. After an error it goes on with the rest.
func (t *Target) unmake(r *rootfs) error {
	return errors.Join(t.detach(&r.journal), r.undo())
}

// detach detaches the mounts of the journal, from inside the container's mount namespace, with all mounts on and below
// them. After an error it goes on with the others.
func (t *Target) detach(j *journal) error {
	if len(j.attached) == 0 {
		return nil
	}
	ns, err := t.Process.Namespace("mnt")
	if err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	defer ns.Close()
	// Opened outside, because the container's mount namespace may have anything on /proc.
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

// detachOne detaches the mount of the handle. It does not use the path on which it was mounted, which may lead to
// another mount by now (CVE-2025-0750), but the handle's link in /proc/self/fd, which must be the working directory.
// The kernel detaches the topmost mount there, so those that somebody has put on top of ours go first.
func detachOne(mount *os.File) error {
	id, err := mountID(mount)
	if err != nil {
		return err
	}
	// While the handle is open, no other mount gets this id.
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
	found, err := mountinfo.GetMountsFromReader(file, func(i *mountinfo.Info) (skip, stop bool) {
		return i.ID != id, i.ID == id
	})
	return len(found) > 0, err
}
