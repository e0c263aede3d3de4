package linux

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

// A thread that looks as a user has that user's rights and no others, and the rest of the process keeps its own.
func TestLookAs(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	err := errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o711))
	for name, mode := range map[string]os.FileMode{"root's": 0o600, "the group's": 0o640, "all's": 0o644, "hers": 0o600} {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.WriteFile(path, nil, 0o600), os.Chmod(path, mode))
	}
	if err = errors.Join(err, os.Chown(filepath.Join(dir, "hers"), 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	results := make(chan map[string]error)
	go func() {
		runtime.LockOSThread()
		got := map[string]error{"itself": LookAs(1234, 1234)}
		for _, name := range []string{"root's", "the group's", "all's", "hers"} {
			_, got[name] = os.ReadFile(filepath.Join(dir, name))
		}
		results <- got
	}()
	got := <-results
	for name, want := range map[string]error{
		"itself": nil, "root's": fs.ErrPermission, "the group's": fs.ErrPermission, "all's": nil, "hers": nil,
	} {
		if !errors.Is(got[name], want) {
			t.Errorf("%s: %v", name, got[name])
		}
	}
	if _, err := os.ReadFile(filepath.Join(dir, "hers")); err != nil {
		t.Error(err)
	}
}
