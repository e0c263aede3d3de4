package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// bootIDFile holds the kernel's id of this boot.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// Lifetime identifies a process even after its pid was given to another one and after a reboot. The zero value is that
// of no process.
type Lifetime struct {
	PID int `json:"pid"`
	// Start is when the process started, in clock ticks since the boot, as field 22 of /proc/PID/stat has it.
	Start uint64 `json:"start"`
	// Boot is the kernel's id of the boot.
	Boot string `json:"boot"`
}

// LifetimeOf returns the lifetime of a process that has not ended.
func LifetimeOf(pid int) (Lifetime, error) {
	start, err := startOf(pid)
	if err != nil {
		return Lifetime{}, err
	}
	boot, err := readSmall(bootIDFile)
	if err != nil {
		return Lifetime{}, err
	}
	return Lifetime{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// Lasts reports whether the process has not ended. An error says that there is a process with its pid which this user
// may not look at.
func (l Lifetime) Lasts() (bool, error) {
	boot, err := readSmall(bootIDFile)
	if err != nil {
		return false, err
	}
	if l.Boot != strings.TrimSpace(string(boot)) {
		return false, nil
	}
	return l.LastsThisBoot()
}

// LastsThisBoot is [Lifetime.Lasts] for a lifetime of this boot, whatever its Boot says.
func (l Lifetime) LastsThisBoot() (bool, error) {
	if l.PID <= 0 {
		return false, nil
	}
	// Most processes that are asked about have ended, and this tells it at the lowest cost. It sends no signal.
	signal := linux.Retry(func() error { return unix.Kill(l.PID, 0) })
	if errors.Is(signal, unix.ESRCH) {
		return false, nil
	}
	start, err := startOf(l.PID)
	switch {
	case err == nil:
		return start == l.Start, nil
	case errors.Is(err, errEnded), errors.Is(err, unix.ESRCH):
		return false, nil
	case errors.Is(err, fs.ErrNotExist) && signal == nil:
		return false, nil // it has ended since
	}
	return false, err // /proc is mounted with hidepid, and the process is another user's
}

// errEnded says that a process has ended, even if its parent has not waited for it yet.
var errEnded = errors.New("it has ended")

// startOf returns when a process that has not ended was started, in clock ticks since the boot.
func startOf(pid int) (uint64, error) {
	fields, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	const start = 22 - 3 // statOf leaves out the first two fields
	if len(fields) <= start {
		return 0, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	return strconv.ParseUint(fields[start], 10, 64)
}

// statOf returns the fields of /proc/PID/stat from the third, the process's state, on. The second field, the command's
// name, may hold anything, so that only the last ")" ends it. It is an error if the process has ended.
func statOf(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return statFields(string(data))
}

// statFields is [statOf] for the content of that file.
func statFields(stat string) ([]string, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return nil, errEnded
	}
	return fields, nil
}

// InNamespaceOf reports whether the process is in a user namespace that the user with this uid has made, or in one
// below it. A process of a user's rootless container is. Only root can ask about every process.
func (l Lifetime) InNamespaceOf(uid int) (bool, error) {
	const deepest = 33 // user namespaces are nested at most 32 deep
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", l.PID))
	if err != nil {
		return false, err
	}
	defer func() { _ = namespace.Close() }()
	for range deepest {
		owner, err := unix.IoctlGetUint32(int(namespace.Fd()), unix.NS_GET_OWNER_UID)
		if err != nil {
			return false, os.NewSyscallError("ioctl", err)
		}
		if int(owner) == uid {
			return true, nil
		}
		parent, err := unix.IoctlRetInt(int(namespace.Fd()), unix.NS_GET_PARENT)
		if errors.Is(err, unix.EPERM) { // it is the initial one
			return false, nil
		}
		if err != nil {
			return false, os.NewSyscallError("ioctl", err)
		}
		_ = namespace.Close()
		namespace = os.NewFile(uintptr(parent), "user namespace")
	}
	return false, nil
}
