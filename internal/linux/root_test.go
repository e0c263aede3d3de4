package linux

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newRoot opens a root directory with the files usr/lib/file and x and some links; beside it lies outside/y.
func newRoot(t *testing.T) *os.File {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"root/a/b/c", "root/usr/lib", "outside/y"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"root/x", "root/usr/lib/file", "outside/secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"lib": "usr/lib", "absolute": "/usr/lib", "up": "../outside/secret", "dangling": "nowhere", "loop": "loop",
		"host": filepath.Join(dir, "outside/secret"),
	} {
		if err := os.Symlink(target, filepath.Join(dir, "root", name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// same reports whether the handle is the file at path.
func same(t *testing.T, handle *os.File, path string) bool {
	t.Helper()
	want, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := handle.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(got, want)
}

// Links are followed as if the root were "/", and nothing leads out of it.
func TestOpenInRoot(t *testing.T) {
	for _, test := range []struct {
		path, finds string // below the root, or "" for an error
		err         error
	}{
		{"/usr/lib/file", "usr/lib/file", nil},
		{"usr/lib/file", "usr/lib/file", nil},
		{"/lib/file", "usr/lib/file", nil},
		{"/absolute/file", "usr/lib/file", nil},
		{"/../../x", "x", nil},
		{"/lib/../../../../x", "x", nil},
		{"/", "", nil},
		{"/up", "", unix.ENOENT},
		{"/host", "", unix.ENOENT},
		{"/../outside/secret", "", unix.ENOENT},
		{"/dangling", "", unix.ENOENT},
		{"/loop", "", unix.ELOOP},
		{"/x/", "", unix.ENOTDIR},
		{"", "", unix.ENOENT},
	} {
		t.Run(test.path, func(t *testing.T) {
			root := newRoot(t)
			handle, err := OpenInRoot(root, test.path)
			if test.err != nil {
				if !errors.Is(err, test.err) || handle != nil {
					t.Errorf("%v, %v; want %v", handle, err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer handle.Close()
			if !same(t, handle, filepath.Join(root.Name(), test.finds)) {
				t.Error("another file")
			}
			flags, err := unix.FcntlInt(handle.Fd(), unix.F_GETFL, 0)
			if err != nil || flags&unix.O_PATH == 0 {
				t.Errorf("flags %#x, %v", flags, err)
			}
			flags, err = unix.FcntlInt(handle.Fd(), unix.F_GETFD, 0)
			if err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("a program would inherit it: %#x, %v", flags, err)
			}
		})
	}
}

// A magic link leads to a file that no path in the root has.
func TestOpenInRootRefusesMagicLinks(t *testing.T) {
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	for _, path := range []string{"/self/root", "/self/exe", "/self/cwd", "/self/ns/mnt"} {
		if handle, err := OpenInRoot(proc, path); !errors.Is(err, unix.ELOOP) {
			t.Errorf("%s: %v, %v", path, handle, err)
		}
	}
}

// The kernel is asked again while it cannot vouch for an answer; pathrs-lite is asked only where openat2(2) may be
// missing.
func TestResolver(t *testing.T) {
	for _, test := range []struct {
		name     string
		answers  []error
		waits    waits
		want     error
		calls    int
		fallback bool
	}{
		{"at once", nil, 0, nil, 1, false},
		{"interrupted", []error{unix.EINTR, unix.EINTR}, 0, nil, 3, false},
		{"raced", []error{unix.EAGAIN, unix.EXDEV, unix.EINTR, unix.EAGAIN}, 3, nil, 5, false},
		{"raced until the time is over", []error{unix.EAGAIN, unix.EXDEV, unix.EAGAIN}, 2, unix.EAGAIN, 3, false},
		{"old kernel", []error{unix.ENOSYS}, 0, nil, 1, true},
		{"seccomp", []error{unix.EPERM}, 0, nil, 1, true},
		{"closed to us", []error{unix.EACCES}, 5, unix.EACCES, 1, false},
		{"loop", []error{unix.ELOOP}, 5, unix.ELOOP, 1, false},
		{"missing", []error{unix.ENOENT}, 5, unix.ENOENT, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, calls, fallback := newRoot(t), 0, false
			r := resolver{
				openat2: func(dir int, path string, how *unix.OpenHow) (int, error) {
					calls++
					if calls <= len(test.answers) {
						return -1, test.answers[calls-1]
					}
					return unix.Openat2(dir, path, how)
				},
				fallback: func(root *os.File, unsafePath string) (*os.File, error) {
					fallback = true
					return os.Open(filepath.Join(root.Name(), unsafePath))
				},
				waiter: &test.waits,
			}
			handle, err := r.open(root, "/usr/lib/file")
			if !errors.Is(err, test.want) || calls != test.calls || fallback != test.fallback {
				t.Fatalf("%v after %d calls, fallback %v", err, calls, fallback)
			}
			if err != nil {
				if want := "open " + root.Name() + "/usr/lib/file: " + test.want.Error(); handle != nil || err.Error() != want {
					t.Errorf("%v, %v, want %s", handle, err, want)
				}
				return
			}
			defer handle.Close()
			if !same(t, handle, filepath.Join(root.Name(), "usr/lib/file")) {
				t.Error("another file")
			}
		})
	}
}

// While directories are renamed without a pause, the kernel cannot vouch for many lookups of a path with ".." in it;
// OpenInRoot answers every one.
func TestOpenInRootUnderRename(t *testing.T) {
	const path, enough = "a/b/../../a/b/c/../../../x", 20
	root := newRoot(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		outside := filepath.Join(filepath.Dir(root.Name()), "outside")
		from, to := outside+"/y", outside+"/z"
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(from, to)
				from, to = to, from
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	raced := 0
	for end := time.Now().Add(10 * time.Second); raced < enough && time.Now().Before(end); {
		once, err := resolver{openat2: unix.Openat2}.try(root, path)
		if errors.Is(err, unix.EAGAIN) {
			raced++
		} else if err == nil {
			_ = once.Close()
		}
		handle, err := OpenInRoot(root, path)
		if err != nil {
			t.Fatal(err)
		}
		_ = handle.Close()
	}
	if raced < enough {
		t.Skipf("only %d lookups met a rename", raced)
	}
}
