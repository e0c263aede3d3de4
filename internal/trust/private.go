package trust

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// PrivateDir makes the directory, with this mode, unless it exists, and then calls [CheckPrivate]: other users cannot
// change or replace what is made in it later.
func PrivateDir(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	return CheckPrivate(path)
}

// CheckPrivate returns an error unless path is a directory, not a symbolic link, that is owned by this process's user
// and writable by nobody else. It works in a user namespace too, where [Owner] cannot distinguish files of the host's
// root from those of other users.
func CheckPrivate(path string) error {
	dir, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	st, err := linux.Fstat(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case int(st.Uid) != os.Getuid():
		return fmt.Errorf("%s: %w: the directory is owned by uid %d", path, ErrUntrusted, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s: %w: the directory is writable by group or others (mode %04o)",
			path, ErrUntrusted, st.Mode&0o7777)
	}
	return nil
}
