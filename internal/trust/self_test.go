package trust

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpu-hook/gpu-hook/internal/idmap"
	"github.com/gpu-hook/gpu-hook/test/require"
)

func TestSelf(t *testing.T) {
	const whole = "         0          0 4294967295\n"
	host := func(uid int) Self {
		return Self{Rootless: uid != 0, UID: uid, Owner: Owner{UID: uint32(uid)}}
	}
	namespaced := func(uid int) Self {
		return Self{Rootless: true, Namespaced: true, UID: uid, Owner: Owner{UID: overflow()}}
	}
	for _, test := range []struct {
		name, text string
		uid        int
		want       Self
	}{
		{"the host's own", whole, 0, host(0)},
		{"the host's own, an ordinary user", whole, 1000, host(1000)},
		{"rootless", "0 1000 1\n1 100000 65536\n", 0, namespaced(1000)},
		{"rootless, not its root", "0 1000 1\n1 100000 65536\n", 5, namespaced(100004)},
		{"a mapping to itself that is not whole", "0 0 1\n", 0, namespaced(0)},
		{"not mapped", "0 1000 1\n", 7, namespaced(7)},
		{"not mapped yet", "", 65534, namespaced(65534)},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := idmap.Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := self(m, test.uid); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
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
		"others may write": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o777))
		},
		"a link": func(path string) error { return os.Symlink(dir, path) },
		"a file": func(path string) error { return os.WriteFile(path, nil, 0o600) },
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
	if err := errors.Join(os.Mkdir(path, 0o755), os.Chown(path, 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	if err := PrivateDir(path, 0o755); !errors.Is(err, ErrUntrusted) {
		t.Errorf("another's: %v", err)
	}
}
