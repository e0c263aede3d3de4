package early

import (
	"syscall"
	"unsafe"
)

// commandLine returns the arguments of the process without its own name, or nil if there are too many. Package os has
// them, but is initialised later.
func commandLine() []string {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = syscall.Close(fd) }()
	const most = 2048
	data := make([]byte, most)
	n, err := read(fd, data)
	if err != nil || n == 0 || n == len(data) {
		return nil
	}
	var args []string
	start := 0
	for i, c := range data[:n] {
		if c == 0 {
			args, start = append(args, string(data[start:i])), i+1
		}
	}
	if len(args) == 0 {
		return nil
	}
	return args[1:]
}

// uidMap returns the beginning of the uid map of the process's user namespace, or nothing.
func uidMap() []byte {
	fd, err := syscall.Open("/proc/self/uid_map", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = syscall.Close(fd) }()
	const most = 128
	data := make([]byte, most)
	n, err := read(fd, data)
	if err != nil {
		return nil
	}
	return data[:n]
}

// isInitial reports whether a uid map is that of the host's own user namespace: it maps all ids to themselves.
func isInitial(uidMap []byte) bool {
	words, inWord := make([]string, 0, 4), false
	for _, c := range uidMap {
		isSpace := c == ' ' || c == '\n'
		switch {
		case isSpace:
			inWord = false
		case inWord:
			words[len(words)-1] += string(c)
		default:
			words, inWord = append(words, string(c)), true
		}
	}
	return len(words) == 3 && words[0] == "0" && words[1] == "0" && words[2] == "4294967295"
}

// readInput reads standard input to its end, or at most that many bytes, or as much as comes without a pause of
// patience. The kernel provides memory only for what is read.
func readInput(most int) (data []byte, ended bool) {
	data = make([]byte, most)
	n := 0
	for n < len(data) && readable(syscall.Stdin) {
		m, err := read(syscall.Stdin, data[n:])
		if err != nil {
			break
		}
		if m == 0 {
			return data[:n], true
		}
		n += m
	}
	return data[:n], false
}

// patience is how long nothing may come of standard input, in milliseconds. Main waits longer, but not forever.
const patience = 100

// readable reports whether reading the file does not wait: there is something to read, or nothing will come. It waits
// for that for a time.
func readable(fd int) bool {
	const in, million = 1, 1_000_000
	poll := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: in} //nolint:gosec // descriptors are ints of 32 bits
	for {
		timeout := syscall.NsecToTimespec(patience * million)
		n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, //nolint:gosec // as above
			uintptr(unsafe.Pointer(&timeout)), 0, 0, 0) //nolint:gosec // system calls take pointers
		if errno != syscall.EINTR {
			return errno == 0 && n == 1
		}
	}
}

// readFile reads a regular file of at most that many bytes. A file that does not end where its size says is an error:
// its file system does not know the size, or it is just being written.
func readFile(path string, most int64) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = syscall.Close(fd) }()
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG || st.Size > most {
		return nil, syscall.EINVAL
	}
	data := make([]byte, st.Size+1)
	n := 0
	for n < len(data) {
		m, err := read(fd, data[n:])
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	if int64(n) != st.Size {
		return nil, syscall.EINVAL
	}
	return data[:n], nil
}

// open opens a file for reading if the kernel finds it in its cache, as it does one that was just written, and one that
// an earlier start has looked for: a path on a file server that is gone must hold nobody here. Main waits for it, but
// not forever.
func open(path string) (int, error) {
	name, err := syscall.BytePtrFromString(path)
	if err != nil {
		return 0, err
	}
	const (
		number        = 437 // of openat2, on every architecture
		resolveCached = 0x20
		atCWD         = -100
	)
	how := struct{ flags, mode, resolve uint64 }{
		// O_NONBLOCK: a FIFO in its place must not block the container's start.
		syscall.O_RDONLY | syscall.O_NONBLOCK | syscall.O_CLOEXEC, 0, resolveCached,
	}
	for {
		cwd := atCWD
		fd, _, errno := syscall.Syscall6(number, uintptr(cwd),
			uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&how)), //nolint:gosec // system calls take pointers
			unsafe.Sizeof(how), 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// read is read(2), again where a signal has interrupted it.
func read(fd int, data []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, data)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// write writes everything. Whatever is in the way, main is told it again.
func write(fd int, data []byte) bool {
	for len(data) > 0 {
		n, err := syscall.Write(fd, data)
		if err != nil && err != syscall.EINTR {
			return false
		}
		if n > 0 {
			data = data[n:]
		}
	}
	return true
}

// blocks reports whether writing to the file waits until there is room: then a part is written only where an error
// follows, and main, which writes again from the beginning, gets that too.
func blocks(fd int) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	return errno == 0 && flags&syscall.O_NONBLOCK == 0
}
