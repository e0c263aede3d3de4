package trust

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// PrivateDir makes the directory if it is not there, with mode, and checks it as [CheckPrivate] does: what is made in it
// later is safe from others.
func PrivateDir(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	return CheckPrivate(path)
}

// CheckPrivate checks by handle that path is a directory of this process's own user, which nobody else may write. Where
// other users' files cannot be told from the host's root's, in a user namespace, this is the one check that does.
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
		return fmt.Errorf("%s: %w: the directory is writable by group or others (mode %04o)", path, ErrUntrusted, st.Mode&0o7777)
	}
	return nil
}
