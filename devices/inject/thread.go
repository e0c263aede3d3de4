package inject

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
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
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return os.NewSyscallError("unshare", err)
			}
			for _, ns := range namespaces {
				if err := unix.Setns(int(ns.Fd()), 0); err != nil {
					return &os.PathError{Op: "setns", Path: ns.Name(), Err: err}
				}
			}
			return fn()
		}()
	}()
	return <-done
}
