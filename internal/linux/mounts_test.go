package linux

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// A filesystem is configured, made and mounted by handles; what is wrong with a parameter says the context.
func TestFilesystem(t *testing.T) {
	require.Root(t)
	if _, err := Fsopen("none"); err == nil || err.Error() != "fsopen: no such device" {
		t.Errorf("a filesystem that is none: %v", err)
	}
	context, err := Fsopen("tmpfs")
	if err != nil {
		t.Fatal(err)
	}
	defer context.Close()
	if err := FsconfigString(context, "size", "big"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a size that is none: %v", err)
	}
	said := make([]byte, 100)
	if n, err := context.Read(said); err != nil || !strings.Contains(string(said[:n]), "size") {
		t.Errorf("the context says %q, %v", said[:n], err)
	}
	if err := FsconfigFlag(context, "none"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a flag that is none: %v", err)
	}
	for _, err := range []error{
		FsconfigString(context, "mode", "0711"), FsconfigFlag(context, "ro"), FsconfigCreate(context),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mount, err := Fsmount(context)
	if err != nil {
		t.Fatal(err)
	}
	defer mount.Close()
	st, err := Fstat(mount)
	if err != nil || st.Mode != unix.S_IFDIR|0o711 {
		t.Errorf("mode %o, %v", st.Mode, err)
	}
	fs, err := Fstatfs(mount)
	if err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("type %#x, %v", fs.Type, err)
	}
}

// A duplicate is the same file, stays open by itself and is not inherited.
func TestDup(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other, err := Dup(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_ = dir.Close()
	if !same(t, other, dir.Name()) {
		t.Error("another file")
	}
	flags, err := unix.FcntlInt(other.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a program would inherit it: %#x, %v", flags, err)
	}
}
