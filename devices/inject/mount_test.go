package inject

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpu-hook/gpu-hook/devices"
)

// After a mount, its path must show what was mounted.
func TestMountThatLandedElsewhere(t *testing.T) {
	const moved = "the path was moved while it was mounted on"
	root := t.TempDir()
	err := errors.Join(
		os.Mkdir(root+"/other", 0o700), os.Mkdir(root+"/target", 0o700), os.WriteFile(root+"/file", nil, 0o600),
		os.Symlink("target", root+"/link"), os.Symlink(root, root+"/out"),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, path, want string }{
		{"there", "/target", ""},
		{"by a link within", "/link", ""},
		{"elsewhere", "/other", moved},
		{"on a file", "/file", moved},
		{"on the root", "/", moved},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &source{Mount: &devices.Mount{ContainerPath: test.path}, tree: handle(t, filepath.Join(root, "target"))}
			wantFailure(t, rootIn(t, root).verifyMount(s), test.want)
		})
	}
	for _, path := range []string{"/gone", "/out/target"} {
		s := &source{Mount: &devices.Mount{ContainerPath: path}, tree: handle(t, filepath.Join(root, "target"))}
		if err := rootIn(t, root).verifyMount(s); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
