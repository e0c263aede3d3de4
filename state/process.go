package state

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/idmap"
	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// hintEnded is the hint of every error about a process that is gone.
const hintEnded = "the container ended while it was being created"

// Process is the container's init process. Its pidfd is held, so that another process with the same pid is noticed.
type Process struct {
	PID   int
	pidfd *os.File
}

// OpenProcess opens the process that the state names. It refuses a process that cannot be this container's:
//   - one in gpu-hook's own mount namespace;
//   - if checkParent is true, one whose parent is neither the runtime, which is gpu-hook's own parent, nor, for a
//     process in a user namespace of its own, the runtime's parent, the monitor. VM runtimes need checkParent false.
//
// Namespaces are compared by inode, never by name.
func (c *Container) OpenProcess(checkParent bool) (*Process, error) {
	pid := c.State.Pid
	what := "process " + strconv.Itoa(pid) + " of the state"
	if pid <= 1 {
		return nil, fault.New(fault.State, what, "it cannot be a container's process").
			WithHint("a runtime states the pid of the container that it creates")
	}
	if s := c.State.Status; s != specs.StateCreating && s != specs.StateCreated {
		return nil, fault.New(fault.State, what, "the container's status is %q, not creating or created", s).
			WithHint("register gpu-hook for the stage createRuntime and no other")
	}
	pidfd, err := openPidfd(pid)
	if err != nil {
		return nil, fault.New(fault.State, what, "it is gone: %w", err).WithHint(hintEnded)
	}
	p := &Process{PID: pid, pidfd: pidfd}
	if err := p.check(checkParent); err != nil {
		_ = p.Close()
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, err
		}
		return nil, fault.New(fault.State, what, "%w", err).WithHint(hintEnded)
	}
	return p, nil
}

func openPidfd(pid int) (*os.File, error) {
	fd := -1
	err := linux.Retry(func() (err error) {
		fd, err = unix.PidfdOpen(pid, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// Close closes the handle of the process, and does nothing to the process itself.
func (p *Process) Close() error { return p.pidfd.Close() }

// Alive returns an error if the process has ended, even if nobody has waited for it yet, or if that cannot be found
// out.
func (p *Process) Alive() error {
	fds := []unix.PollFd{{Fd: int32(p.pidfd.Fd()), Events: unix.POLLIN}} //nolint:gosec // file descriptors are ints
	n := 0
	err := linux.Retry(func() (err error) {
		n, err = unix.Poll(fds, 0)
		return err
	})
	what := "process " + strconv.Itoa(p.PID)
	switch {
	case err != nil:
		return fault.New(fault.State, what, "poll: %w", err).WithHint("start the container again")
	case n > 0:
		return fault.New(fault.State, what, "it has ended: %w", unix.ESRCH).WithHint(hintEnded)
	}
	return nil
}

// Namespace opens the process's namespace by its name in /proc/PID/ns.
func (p *Process) Namespace(name string) (*os.File, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", p.PID, name))
	if err != nil {
		return nil, err
	}
	// The file was opened by pid. If the process is still alive now, the pid was its own all the time.
	if err := p.Alive(); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// User is the container's root user, with the ids that it has in gpu-hook's user namespace.
type User struct {
	// Separate says that the container has a user namespace of its own. If not, UID and GID are 0.
	Separate bool
	UID, GID int
}

// RootUser returns the container's root user. It is an error if the container's user namespace has no root, or if that
// root has no id in gpu-hook's user namespace.
func (p *Process) RootUser() (User, error) {
	same, err := p.shares("user")
	if err != nil || same {
		return User{}, err
	}
	uid, err := p.HostID("uid_map", 0)
	if err != nil {
		return User{}, err
	}
	gid, err := p.HostID("gid_map", 0)
	if err != nil {
		return User{}, err
	}
	return User{true, uid, gid}, p.Alive()
}

// HostID returns what an id of the container is in gpu-hook's user namespace. file is uid_map or gid_map. An id without
// a counterpart there is an error.
func (p *Process) HostID(file string, id int) (int, error) {
	ids, err := idmap.Read(fmt.Sprintf("/proc/%d/%s", p.PID, file))
	if err != nil {
		return 0, err
	}
	outside, ok := ids.Outside(id)
	switch {
	case ok:
		return outside, nil
	case id != 0:
		return 0, fmt.Errorf("its user namespace has no id %d (%s)", id, file)
	}
	return 0, fmt.Errorf("its user namespace has no root (%s)", file)
}

// check refuses what [Container.OpenProcess] says, for a process that is open already.
func (p *Process) check(checkParent bool) error {
	what := "process " + strconv.Itoa(p.PID) + " of the state"
	if checkParent {
		parent, err := parentOf(p.PID)
		if err != nil {
			return err
		}
		if parent != os.Getppid() && !p.adopted(parent) {
			return fault.New(fault.State, what,
				"it is a child of process %d, not of the runtime that runs this hook (%d)", parent, os.Getppid()).
				WithHint("for a runtime that starts containers through another process (Kata), " +
					"set check-parent = false under [process]")
		}
	}
	same, err := p.shares("mnt")
	if err != nil {
		return err
	}
	if same {
		return errMountNamespace(what)
	}
	return p.Alive()
}

// adopted reports whether the process, which has this parent, may have lost the one that the runtime gave it. crun
// starts the process of a container with a user namespace through another process. When that one ends, the engine's
// monitor, the parent of the runtime, becomes the parent.
func (p *Process) adopted(parent int) bool {
	same, err := p.shares("user")
	if err != nil || same {
		return false
	}
	monitor, err := parentOf(os.Getppid())
	return err == nil && parent == monitor && parent > 1
}

// shares reports whether the process is in the same namespace of this kind as gpu-hook.
func (p *Process) shares(name string) (bool, error) {
	own, err := os.Stat("/proc/self/ns/" + name)
	if err != nil {
		return false, err
	}
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/%s", p.PID, name))
	if err != nil {
		return false, err
	}
	return os.SameFile(own, its), nil
}

// parentOf returns the parent of a process that has not ended.
func parentOf(pid int) (int, error) {
	fields, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(fields[1])
}
