package inject

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/state"
)

// tmpfs makes a tmpfs for the container. Ids in the options are those of the container's user namespace. Without an
// owner there, it belongs to the container's root user.
func (t *Target) tmpfs(options []string, user state.User) (*os.File, error) {
	if !user.Separate {
		return newTmpfs(options)
	}
	ours := []string{"uid=" + strconv.Itoa(user.UID), "gid=" + strconv.Itoa(user.GID)}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		if name == "uid" || name == "gid" {
			id, err := strconv.Atoi(value)
			if err == nil {
				id, err = t.Process.HostID(name+"_map", id)
			}
			if err != nil {
				return nil, fmt.Errorf("mount option %q: %w", option, err)
			}
			option = name + "=" + strconv.Itoa(id)
		}
		ours = append(ours, option)
	}
	return newTmpfs(ours)
}

// newTmpfs makes a mount of a new tmpfs, without attaching it. The options are those of [devices.MountAttributes]; if
// none of them is a mode, the kernel's default is 1777. It is made in the host's namespaces and belongs to the host's
// user namespace.
func newTmpfs(options []string) (*os.File, error) {
	context, err := linux.Fsopen("tmpfs")
	if err != nil {
		return nil, err
	}
	defer context.Close()
	for _, option := range options {
		if err := configure(context, option); err != nil {
			return nil, fmt.Errorf("mount option %q: %w%s", option, err, complaint(context))
		}
	}
	if err := linux.FsconfigCreate(context); err != nil {
		return nil, fmt.Errorf("make a tmpfs of %s: %w%s", strings.Join(options, ","), err, complaint(context))
	}
	return linux.Fsmount(context)
}

// configure passes one option to the kernel.
func configure(context *os.File, option string) error {
	name, value, hasValue := strings.Cut(option, "=")
	if hasValue {
		return linux.FsconfigString(context, name, value)
	}
	return linux.FsconfigFlag(context, name)
}

// complaint is the kernel's message about the last error, in brackets, or "".
func complaint(context *os.File) string {
	buffer := make([]byte, 256)
	n, err := context.Read(buffer)
	if err != nil || n < 2 {
		return ""
	}
	// "e tmpfs: Bad value for 'size'"
	return " (" + strings.TrimSpace(string(buffer[2:n])) + ")"
}
