package inject

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func init() {
	// As in cmd/gpu-hook: no thread that has namespaces of its own may be the main one.
	runtime.LockOSThread()
}

// alone gives the test a thread with a mount namespace and a umask of its own. It is never unlocked: the thread ends
// with the test, and with it what was mounted there.
func alone(t *testing.T) {
	t.Helper()
	require.Root(t)
	runtime.LockOSThread()
	err := errors.Join(
		unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS),
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
	)
	if err != nil {
		t.Fatal(err)
	}
	unix.Umask(0)
}

// memory returns a tmpfs that is mounted nowhere, with the attributes.
func memory(t *testing.T, attributes uint64) *os.File {
	t.Helper()
	require.Root(t)
	tree, err := newTmpfs(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	if err := linux.MountSetattr(tree, 0, unix.MountAttr{Attr_set: attributes}); err != nil {
		t.Fatal(err)
	}
	return tree
}

// handle is an O_PATH handle to the file itself, a link included.
func handle(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// wantFailure checks that err is an error of this text or, without one, none.
func wantFailure(t *testing.T, err error, text string) {
	t.Helper()
	if (err == nil) != (text == "") || err != nil && err.Error() != text {
		t.Errorf("got %v\nwant %s", err, text)
	}
}

// onMemory returns a directory that is a tmpfs in the test's own mount namespace; see alone.
func onMemory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
