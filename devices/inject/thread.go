package inject

import (
	"fmt"
	"os"
	"runtime"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/stack"
	"github.com/gpu-hook/gpu-hook/state"
)

// inNamespaces runs fn on a new thread that has joined the namespaces, in order. When fn returns, the thread ends: the
// Go runtime never runs another goroutine on it, in the container. The thread shares no working directory, root
// directory and umask with others. A panic of fn is an error.
//
// The main goroutine must be locked to the main thread (see cmd/gpu-hook). Otherwise fn could run on the main thread,
// and /proc/self would show the container's namespaces from then on.
func inNamespaces(namespaces []*os.File, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		stack.Grow()
		done <- fault.Guard(func() error {
			if err := join(namespaces); err != nil {
				return fmt.Errorf("join the container's namespaces: %w", err)
			}
			return fn()
		})
	}()
	return <-done
}

// join moves the calling thread into the namespaces, in order.
func join(namespaces []*os.File) error {
	// Otherwise it could not change its mount namespace: see setns(2).
	if err := linux.UnshareFS(); err != nil {
		return err
	}
	for _, ns := range namespaces {
		if err := linux.Setns(ns); err != nil {
			return err
		}
	}
	return nil
}

// threadsFor returns how many threads it may take to carry the edits out and to undo that: one for each call of
// [inNamespaces], which does not come back, and those that the Go runtime uses meanwhile.
func threadsFor(edits *devices.Edits) int {
	const (
		always       = 6 // the mount namespace, twice for a wish, and those of the Go runtime
		forNetDevice = 4
		most         = 64
	)
	n := always
	for _, d := range edits.NetDevices {
		if d.Status == devices.Apply {
			n += forNetDevice
		}
	}
	for _, h := range edits.Hooks {
		if h.Status == devices.Apply {
			n++
		}
	}
	return min(n, most)
}

// become makes the calling thread access files as the container's root user, so that what it makes belongs to that
// user. The thread keeps its capabilities, because the root filesystem may belong to the host's root user.
func become(user state.User) error {
	if !user.Separate {
		return nil
	}
	if err := linux.SetFSUser(user.UID, user.GID); err != nil {
		return err
	}
	return linux.RaiseCapabilities()
}
