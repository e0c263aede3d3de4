package inject

import (
	"os"
	"runtime"

	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/state"
)

// inNamespaces runs fn on a thread of its own that has joined the namespaces, in order. The thread is never given back
// to the Go runtime: it ends with fn, so no other goroutine can come to run in a container. The caller's main goroutine
// must be locked to the main thread (see cmd/gpu-hook), or the thread lost here could be that one, and /proc/self would
// mean the container's namespaces from then on.
func inNamespaces(namespaces []*os.File, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			// A thread that shares its working directory with others cannot change its mount namespace; setns(2).
			if err := linux.UnshareFS(); err != nil {
				return err
			}
			for _, ns := range namespaces {
				if err := linux.Setns(ns); err != nil {
					return err
				}
			}
			return fn()
		}()
	}()
	return <-done
}

// become makes the calling thread touch files as the container's root user, and no longer as the host's, so that what it
// makes belongs to the container. The capabilities that the kernel takes from such a thread are raised again: the root
// filesystem may be of either user.
func become(user state.User) error {
	if !user.Separate {
		return nil
	}
	if err := linux.SetFSUser(user.UID, user.GID); err != nil {
		return err
	}
	return linux.RaiseCapabilities()
}
