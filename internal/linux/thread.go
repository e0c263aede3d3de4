package linux

import (
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// UnshareFS gives the calling thread a working directory, root directory and umask of its own.
func UnshareFS() error { return call("unshare", func() error { return unix.Unshare(unix.CLONE_FS) }) }

// Setns moves the calling thread into the namespace of the handle.
func Setns(namespace *os.File) error {
	if err := Retry(func() error { return unix.Setns(int(namespace.Fd()), 0) }); err != nil {
		return &os.PathError{Op: "setns", Path: namespace.Name(), Err: err}
	}
	return nil
}

// Fchdir changes the working directory of the calling thread, and of all threads that share theirs with it.
func Fchdir(dir *os.File) error {
	return call("fchdir", func() error { return unix.Fchdir(int(dir.Fd())) })
}

// SetFSUser makes the calling thread access files as this user and group. If it changes from user 0 to another one, it
// loses the effective capabilities that concern files: see [RaiseCapabilities].
func SetFSUser(uid, gid int) error {
	if err := call("setfsgid", func() error { return unix.Setfsgid(gid) }); err != nil {
		return err
	}
	return call("setfsuid", func() error { return unix.Setfsuid(uid) })
}

// DropInheritable makes a program that the calling thread starts get only those capabilities that its user gives it:
// none by inheritance, whatever the runtime has left in the thread's inheritable and ambient sets (CVE-2022-29162).
func DropInheritable() error {
	err := call("prctl", func() error {
		return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	})
	if err != nil {
		return err
	}
	return changeCapabilities(func(set *unix.CapUserData) { set.Inheritable = 0 })
}

// LookAs makes the calling thread access files with the rights of this user and group alone: without supplementary
// groups, and without effective capabilities. The thread is then good for nothing else: its goroutine must have locked
// it and must end without unlocking it.
func LookAs(uid, gid int) error {
	if err := call("setgroups", func() error { return unix.Setgroups(nil) }); err != nil {
		return err
	}
	if err := SetFSUser(uid, gid); err != nil {
		return err
	}
	// setfsuid(2) and setfsgid(2) report no error. With -1 they change nothing and return the id that is in force.
	isUID, err := unix.SetfsuidRetUid(-1)
	if err != nil || isUID != uid {
		return os.NewSyscallError("setfsuid", unix.EPERM)
	}
	isGID, err := unix.SetfsgidRetGid(-1)
	if err != nil || isGID != gid {
		return os.NewSyscallError("setfsgid", unix.EPERM)
	}
	return changeCapabilities(func(set *unix.CapUserData) { set.Effective = 0 })
}

// RaiseCapabilities makes all permitted capabilities of the calling thread effective.
func RaiseCapabilities() error {
	return changeCapabilities(func(set *unix.CapUserData) { set.Effective = set.Permitted })
}

// changeCapabilities changes both halves of the calling thread's capability sets.
func changeCapabilities(change func(set *unix.CapUserData)) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := call("capget", func() error { return unix.Capget(&header, &data[0]) }); err != nil {
		return err
	}
	for i := range data {
		change(&data[i])
	}
	return call("capset", func() error { return unix.Capset(&header, &data[0]) })
}

// ReserveThreads returns when the Go runtime has n idle threads. It takes those before it makes new ones. If the kernel
// refuses a thread, because a limit of the cgroup or the user is reached, the Go runtime ends the process, with a trace
// and status 2. After this function that has happened, and not half way through a change. On a host with many CPUs the
// Go runtime may still make more threads, to use them.
func ReserveThreads(n int) {
	var locked, idle sync.WaitGroup
	release := make(chan struct{})
	locked.Add(n)
	for range n {
		idle.Go(func() {
			// A goroutine that is locked to its thread keeps it while it waits, so that each of them has another.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			locked.Done()
			<-release
		})
	}
	locked.Wait()
	close(release)
	idle.Wait()
}
