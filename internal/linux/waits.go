package linux

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Waits returns the paths of the files for which threads of this process wait in the kernel, sorted: those of a file
// server that does not answer, for example. What cannot be found out is left out. It waits for no file server itself.
func Waits() []string {
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil
	}
	defer memory.Close()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	var out []string
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join("/proc/self/task", entry.Name(), "syscall"))
		if err != nil {
			continue
		}
		if path := waitsFor(string(text), memory); path != "" {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// waitsFor returns the path of the file that a thread waits for, or "". text is its /proc/PID/task/TID/syscall: the
// number of the system call and its arguments in hexadecimal, or a word if the thread is not in one.
func waitsFor(text string, memory *os.File) string {
	fields := strings.Fields(text)
	const fewest = 3 // the number and two arguments
	if len(fields) < fewest {
		return ""
	}
	number, err := strconv.Atoi(fields[0])
	if err != nil {
		return ""
	}
	var args [fewest - 1]uint64
	for i := range args {
		if args[i], err = strconv.ParseUint(strings.TrimPrefix(fields[i+1], "0x"), 16, 64); err != nil {
			return ""
		}
	}
	switch number {
	case unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_READLINKAT, unix.SYS_FACCESSAT,
		unix.SYS_FACCESSAT2, unix.SYS_OPEN_TREE:
		if path, ok := textAt(memory, args[1]); ok {
			return joined(args[0], path)
		}
	case unix.SYS_STATFS, unix.SYS_EXECVE:
		path, _ := textAt(memory, args[0])
		return path
	case unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_GETDENTS64, unix.SYS_FSTAT, unix.SYS_FSTATFS:
		path := pathOf(args[0])
		if !strings.HasPrefix(path, "/") { // a pipe or socket, such as standard input
			return ""
		}
		return path
	}
	return ""
}

// joined returns a path that a system call looks up from a directory. An empty one is the directory itself.
func joined(dir uint64, path string) string {
	cwd := int32(dir) == unix.AT_FDCWD //nolint:gosec // descriptors are ints of 32 bits
	switch {
	case path == "" && !cwd:
		return pathOf(dir)
	case path == "" || filepath.IsAbs(path) || cwd:
		return path
	}
	return filepath.Join(pathOf(dir), path)
}

// pathOf returns what the kernel calls the file of a descriptor, or "".
func pathOf(fd uint64) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", int32(fd))) //nolint:gosec // descriptors are ints of 32 bits
	if err != nil {
		return ""
	}
	return path
}

// textAt returns the text that ends with a zero byte at an address of this process.
func textAt(memory *os.File, address uint64) (string, bool) {
	text := make([]byte, unix.PathMax)
	// What follows a text may not be mapped.
	n, _ := memory.ReadAt(text, int64(address)) //nolint:gosec // an address of a process is positive
	end := bytes.IndexByte(text[:n], 0)
	if end < 0 {
		return "", false
	}
	return string(text[:end]), true
}
