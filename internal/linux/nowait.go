package linux

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// NoWait returns a reader of the file that does not wait for data: where there is none yet, as in /proc/kmsg, which is
// a regular file by its type, reading is an error. The file must have been opened with O_NONBLOCK. A file server that
// does not answer is waited for all the same.
func NoWait(file *os.File) io.Reader {
	conn, err := file.SyscallConn()
	return noWait{file.Name(), conn, err}
}

type noWait struct {
	name string
	conn syscall.RawConn
	err  error
}

// Read implements [io.Reader].
func (r noWait) Read(p []byte) (n int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	controlErr := r.conn.Control(func(fd uintptr) {
		err = Retry(func() (err error) {
			n, err = unix.Read(int(fd), p)
			return err
		})
	})
	switch {
	case controlErr != nil:
		return 0, controlErr
	case err != nil:
		return 0, &os.PathError{Op: "read", Path: r.name, Err: err}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}
