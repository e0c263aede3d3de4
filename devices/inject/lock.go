package inject

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// lockPause is the time between two attempts to lock a root filesystem.
const lockPause = 10 * time.Millisecond

// lock waits until no other start works on the root filesystem, and keeps others waiting until r.unlock. Containers can
// share one (podman run --rootfs). A file that one start makes another may mount on; if the first then failed and took
// the file back, the kernel would detach the other's mount, and that container would start without it.
//
// On a filesystem that knows no such locks there is none. A process in the container can hold the lock too, and so can
// every user of the host who may open the directory. They keep containers of this same root filesystem from starting,
// but no others. Engines keep the root filesystems that they make closed to users.
func (r *rootfs) lock(ctx context.Context) error {
	dir, err := openat(r.root, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	for {
		err := linux.Flock(dir, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			r.locked = dir
			return nil
		}
		select {
		case <-ctx.Done():
			_ = dir.Close()
			if errors.Is(ctx.Err(), context.Canceled) {
				return ended(ctx)
			}
			return fault.New(fault.Timeout, "root filesystem "+r.root.Name(),
				"another container that uses it is being started").
				WithHint("start them one after the other, or give each a root filesystem of its own")
		case <-time.After(lockPause):
		}
	}
}

// unlock ends what lock began, if it did.
func (r *rootfs) unlock() {
	if r.locked != nil {
		_ = r.locked.Close()
	}
}
