package linux

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Shelf keeps files open that have no descriptor in this process: they are in the queue of a socket, sent (SCM_RIGHTS,
// see unix(7)) but not received yet. They are taken off in the order in which they were put there. The zero value is an
// empty shelf.
type Shelf struct {
	in, out *os.File
	names   []string // of all files that were ever put there
	taken   int      // how many of these are gone
}

// Put moves the file to the shelf and closes its descriptor. It returns the file's ticket, which is never 0. On error
// the file is left open.
func (s *Shelf) Put(file *os.File) (ticket int, err error) {
	if s.in == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	rights := unix.UnixRights(int(file.Fd()))
	if err := call("sendmsg", func() error {
		return unix.Sendmsg(int(s.in.Fd()), []byte{0}, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}); err != nil {
		return 0, err
	}
	s.names = append(s.names, file.Name())
	return len(s.names), file.Close()
}

// Take takes the file with this ticket off the shelf. Files that were put there before it are closed.
func (s *Shelf) Take(ticket int) (*os.File, error) {
	if ticket <= s.taken || ticket > len(s.names) {
		return nil, fmt.Errorf("file %d of %d is not on the shelf, %d are taken", ticket, len(s.names), s.taken)
	}
	for {
		file, err := s.next()
		if err != nil || s.taken == ticket {
			return file, err
		}
		_ = file.Close()
	}
}

// Close closes all files on the shelf, which is empty then.
func (s *Shelf) Close() {
	if s.in != nil {
		_ = s.in.Close()
		_ = s.out.Close()
	}
	*s = Shelf{}
}

// open makes the socket.
func (s *Shelf) open() error {
	var pair [2]int
	err := call("socketpair", func() (err error) {
		// Each message has one file. A stream could join messages.
		pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	s.in, s.out = os.NewFile(uintptr(pair[0]), "shelf"), os.NewFile(uintptr(pair[1]), "shelf")
	return nil
}

// next takes the oldest file off the shelf.
func (s *Shelf) next() (*os.File, error) {
	const bytesOfFd = 4
	data, control := make([]byte, 1), make([]byte, unix.CmsgSpace(bytesOfFd))
	n := 0
	err := call("recvmsg", func() (err error) {
		_, n, _, _, err = unix.Recvmsg(int(s.out.Fd()), data, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, err
	}
	name := s.names[s.taken]
	s.taken++
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	if len(messages) != 1 {
		return nil, errors.New("recvmsg: the file did not come with its message")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("recvmsg: the file did not come with its message"), err)
	}
	return os.NewFile(uintptr(fds[0]), name), nil
}
