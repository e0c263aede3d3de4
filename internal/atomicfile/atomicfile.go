// Package atomicfile puts whole files in place in one step: whoever opens one reads the old content or the new, never a
// part. It is for directories in which nobody but root and this process's own user may write; nobody checks that here.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// TempPrefix begins the name that a file has while it is being written. A file with such a name that is old was left by
// a process that was killed.
const TempPrefix = ".new-"

// Write makes path a regular file with this content and exactly this mode, whatever the umask is. A file or symbolic
// link that is there is replaced, never written through. On error what was there stays, and no other file is left.
// After a crash of the machine the file may be empty.
func Write(path string, data []byte, mode os.FileMode) error {
	return write(path, data, mode, func(*os.File) error { return nil })
}

// WriteDurable is like [Write], and what it has written survives a crash of the machine. It takes as long as the disk
// does. If only the directory could not be synced, it returns an error and the new file stays.
func WriteDurable(path string, data []byte, mode os.FileMode) error {
	if err := write(path, data, mode, (*os.File).Sync); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func write(path string, data []byte, mode os.FileMode, sync func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), TempPrefix)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = sync(file)
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// syncDir makes the names in a directory survive a crash, where its filesystem can.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
