package trust

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestMapped(t *testing.T) {
	const whole = "         0          0 4294967295\n"
	for _, test := range []struct {
		name, text   string
		uid, outside int
		whole        bool
	}{
		{"the host's own", whole, 0, 0, true},
		{"the host's own, an ordinary user", whole, 1000, 1000, true},
		{"rootless", "0 1000 1\n1 100000 65536\n", 0, 1000, false},
		{"rootless, not its root", "0 1000 1\n1 100000 65536\n", 5, 100004, false},
		{"a mapping to itself that is not whole", "0 0 1\n", 0, 0, false},
		{"not mapped", "0 1000 1\n", 7, 7, false},
		{"nonsense", "a b c\n", 0, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if outside, whole := mapped(test.text, test.uid); outside != test.outside || whole != test.whole {
				t.Errorf("%d, %v", outside, whole)
			}
		})
	}
}

func TestPrivateDir(t *testing.T) {
	dir := t.TempDir()
	if err := PrivateDir(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Error(err)
	}
	for name, make := range map[string]func(path string) error{
		"others may write": func(path string) error { return errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o777)) }, //nolint:gosec // that is the point
		"a link":           func(path string) error { return os.Symlink(dir, path) },
		"a file":           func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if err := PrivateDir(path, 0o755); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	require.Root(t)
	path := filepath.Join(dir, "another's")
	if err := errors.Join(os.Mkdir(path, 0o755), os.Chown(path, 1234, 1234)); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	if err := PrivateDir(path, 0o755); !errors.Is(err, ErrUntrusted) {
		t.Errorf("another's: %v", err)
	}
}
