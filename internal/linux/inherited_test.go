package linux

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// No program that is run while a handle is open inherits it, however the handle was made.
func TestNothingIsInherited(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	shelf := &Shelf{}
	defer shelf.Close()
	for name, open := range map[string]func() ([]*os.File, error){
		"openat": func() ([]*os.File, error) {
			file, err := Openat(dir, "file", unix.O_CREAT|unix.O_WRONLY, 0o600)
			return []*os.File{file}, err
		},
		"dup": func() ([]*os.File, error) {
			file, err := Dup(dir)
			return []*os.File{file}, err
		},
		"shelf": func() ([]*os.File, error) {
			file, err := Dup(dir)
			if err != nil {
				return nil, err
			}
			ticket, err := shelf.Put(file)
			if err != nil {
				return nil, err
			}
			file, err = shelf.Take(ticket)
			return []*os.File{shelf.in, shelf.out, file}, err
		},
		"open_tree": func() ([]*os.File, error) {
			if os.Getuid() != 0 {
				return nil, nil
			}
			file, err := OpenTree(filepath.Clean(dir.Name()), 0)
			return []*os.File{file}, err
		},
		"fsmount": func() ([]*os.File, error) {
			if os.Getuid() != 0 {
				return nil, nil
			}
			context, err := Fsopen("tmpfs")
			if err != nil {
				return nil, err
			}
			if err := FsconfigCreate(context); err != nil {
				return nil, err
			}
			file, err := Fsmount(context)
			return []*os.File{context, file}, err
		},
	} {
		files, err := open()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, file := range files {
			flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0)
			if err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: handle %d is inherited, %v", name, i, err)
			}
			if name != "shelf" {
				_ = file.Close()
			}
		}
	}
}
