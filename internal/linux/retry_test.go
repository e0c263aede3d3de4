package linux

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// waits has time for so many tries.
type waits int

func (w *waits) wait() bool {
	*w--
	return *w >= 0
}

func TestUntilAnswered(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name    string
		answers []error
		waits   waits
		want    error
		calls   int
	}{
		{"at once", []error{nil}, 0, nil, 1},
		{"interrupted, which needs no time", []error{unix.EINTR, unix.EINTR, nil}, 0, nil, 3},
		{"busy and then not", []error{unix.EAGAIN, &os.PathError{Op: "open", Err: unix.EAGAIN}, unix.EINTR, nil}, 2, nil, 4},
		{"busy until the time is over", []error{unix.EAGAIN, unix.EAGAIN, unix.EAGAIN, nil}, 2, unix.EAGAIN, 3},
		{"outside the root for a moment", []error{unix.EXDEV, nil}, 1, nil, 2},
		{"outside the root until the time is over", []error{unix.EXDEV, unix.EXDEV, nil}, 1, unix.EXDEV, 2},
		{"another error", []error{unix.EAGAIN, broken, nil}, 5, broken, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls := 0
			err := untilAnswered(&test.waits, func() error {
				calls++
				return test.answers[calls-1]
			})
			if !errors.Is(err, test.want) || calls != test.calls {
				t.Errorf("%v after %d calls, want %v after %d", err, calls, test.want, test.calls)
			}
		})
	}
}

func TestErrorsNameTheCall(t *testing.T) {
	require.Root(t)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	_, openErr := Openat(dir, "none", unix.O_RDONLY, 0)
	_, treeErr := OpenTree(dir.Name()+"/none", 0)
	_, statErr := Fstatat(dir, "none")
	_, lstatErr := Lstat(dir.Name() + "/none")
	for want, err := range map[string]error{
		"open " + dir.Name() + "/none: no such file or directory":    openErr,
		"remove " + dir.Name() + "/none: no such file or directory":  Unlinkat(dir, "none", 0),
		"fstatat " + dir.Name() + "/none: no such file or directory": statErr,
		"open_tree: no such file or directory":                       treeErr,
		"umount: no such file or directory":                          Unmount(dir.Name()+"/none", 0),
		"no such file or directory":                                  lstatErr,
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
