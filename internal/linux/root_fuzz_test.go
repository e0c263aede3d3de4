package linux

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// found is what a path leads to.
type found struct {
	dev, ino uint64
	err      error
}

// jail answers where paths lead to a process whose root directory is dir.
type jail struct {
	paths   chan string
	answers chan found
}

// newJail starts the thread that has that root directory. It ends with the test.
func newJail(t testing.TB, dir string) *jail {
	t.Helper()
	j := &jail{make(chan string), make(chan found)}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // and is never unlocked: the thread ends with the goroutine
		err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chroot(dir), unix.Chdir("/"))
		entered <- err
		for path := range j.paths {
			j.answers <- lookUp(path)
		}
	}()
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(j.paths) })
	return j
}

func lookUp(path string) found {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return found{err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return found{st.Dev, st.Ino, err}
}

// ask returns where the path leads.
func (j *jail) ask(path string) found {
	j.paths <- path
	return <-j.answers
}

// foundBy is what a handle is, or why there is none.
func foundBy(t *testing.T, handle *os.File, err error) found {
	t.Helper()
	if err != nil {
		return found{err: err}
	}
	defer handle.Close()
	st, err := Fstat(handle)
	if err != nil {
		t.Fatal(err)
	}
	return found{st.Dev, st.Ino, nil}
}

// FuzzOpenInRoot: whatever links there are, a path leads where it would lead if the root were the root directory, or
// nowhere. Both resolvers agree.
func FuzzOpenInRoot(f *testing.F) {
	require.Root(f)
	for _, seed := range [][3]string{
		{"/usr/lib", "../../../x", "/a/file"},
		{"b", "a", "b/../../a/."},
		{"/", "..", "l/m/l/m"},
		{"m", "l", "l"},
		{"dir/../up", "/l/", "/l/m//x"},
		{"/outside/secret", "../../outside/secret", "m"},
		{".", "file/", "dir/l/m"},
		{"dir", "l/..", "/../m/./../dir/deep/../../file"},
		{"", "nowhere", "/m"},
		{"/l/x", "/proc/self/root", "m/."},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	dir := f.TempDir()
	top := filepath.Join(dir, "root")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(top, "dir", "deep"), 0o755), os.MkdirAll(filepath.Join(dir, "outside"), 0o755),
		os.WriteFile(filepath.Join(top, "file"), nil, 0o600), os.WriteFile(filepath.Join(top, "dir/file"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "outside/secret"), nil, 0o600),
	); err != nil {
		f.Fatal(err)
	}
	root, err := os.Open(top)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = root.Close() })
	j := newJail(f, top)
	outside := lookUp(filepath.Join(dir, "outside"))
	f.Add("\x01\x04\x01\x05", "\x00\x02\x00\x03", "\x06\x00\x04\x00\x05\x00\x07")
	f.Fuzz(func(t *testing.T, l, m, path string) {
		l, m, path = spelt(l), spelt(m), spelt(path)
		for name, target := range map[string]string{"l": l, "m": m, "dir/l": m, "dir/deep/m": l} {
			link := filepath.Join(top, name)
			_ = os.Remove(link)
			_ = os.Symlink(target, link) // a target that cannot be one is no link
		}
		want := j.ask(path)
		handle, err := OpenInRoot(root, path)
		compare(t, "openat2", want, foundBy(t, handle, err), outside)
		handle, err = pathrs.OpenatInRoot(root, path)
		compare(t, "pathrs", want, foundBy(t, handle, err), outside)
	})
}

// spelt is a path in which the first bytes that there are stand for elements of paths, so that few changes make another
// path that leads somewhere.
func spelt(text string) string {
	elements := []string{"/", "../", "dir/", "deep/", "l", "m", "file", "..", ".", "x", "outside/", "secret", "//", "./"}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; int(c) < len(elements) {
			b.WriteString(elements[c])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func compare(t *testing.T, resolver string, want, got, outside found) {
	t.Helper()
	switch {
	case got.err == nil && (got.dev != want.dev || got.ino != want.ino || want.err != nil):
		t.Errorf("%s: it leads to %+v, from inside to %+v", resolver, got, want)
	case got.err != nil && want.err == nil:
		t.Errorf("%s: %v, and from inside it leads to %+v", resolver, got.err, want)
	case got.err != nil && !errors.Is(got.err, want.err):
		t.Errorf("%s: %v, from inside %v", resolver, got.err, want.err)
	case got.err == nil && got.ino == outside.ino && got.dev == outside.dev:
		t.Errorf("%s: it leads out of the root", resolver)
	}
}
