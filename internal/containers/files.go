package containers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Bounds of what is read: the bytes of a file and of a configuration, the entries of a directory; and of the files,
// containers and names of one container of one owner, however many storages these are in. A user's files must cost root
// no more than this.
const (
	maxFile         = 16 << 20
	maxConf         = 64 << 10 // the TOML library recurses
	maxOthersConfig = 2 << 20  // a config.json of another user; engines write some 20 KiB
	maxEntries      = 4096
	maxBytes        = 2 * maxFile
	maxContainers   = 16384
	maxNames        = 16
)

// budget is what may still be read of the files of one owner.
type budget struct {
	bytes      int
	containers int
}

// newBudget returns that of an owner of whom nothing was read yet.
func newBudget() *budget { return &budget{maxBytes, maxContainers} }

// errNotRegular says that there is no file to read.
var errNotRegular = errors.New("it is not a regular file")

// readFile returns the content of the regular file at path, which must not be larger than most bytes.
func readFile(path string, most int64) ([]byte, error) {
	// O_NONBLOCK: a FIFO in its place must not block.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s: it is larger than %d KiB", path, most>>10)
	}
	return data, nil
}

// names returns the names in a directory, at most maxEntries of them, or none if there is no such directory.
func names(dir string) ([]string, error) {
	handle, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	list, err := handle.Readdirnames(maxEntries)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return list, err
}

// missing reports whether the error says that there is no such file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// exists reports whether there is a file at path, of whatever kind.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
