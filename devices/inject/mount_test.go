package inject

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

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
			wantFailure(t, rootIn(t, root).verifyMount(sourceOf(t, handle(t, root+"/target"), test.path)), test.want)
		})
	}
	for _, path := range []string{"/gone", "/out/target"} {
		err := rootIn(t, root).verifyMount(sourceOf(t, handle(t, root+"/target"), path))
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Another mount of the same file is not the one that was attached.
func TestMountOfTheSameFile(t *testing.T) {
	alone(t)
	root := onMemory(t)
	err := errors.Join(
		os.Mkdir(root+"/host", 0o700), os.Mkdir(root+"/target", 0o700),
		unix.Mount(root+"/host", root+"/target", "", unix.MS_BIND, ""),
	)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := clone(root+"/host", false)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	err = rootIn(t, root).verifyMount(sourceOf(t, tree, "/target"))
	wantFailure(t, err, "the path was moved while it was mounted on")
}

// sourceOf is a mount that is to be attached to the path.
func sourceOf(t *testing.T, tree *os.File, containerPath string) *source {
	t.Helper()
	s := &source{Mount: &devices.Mount{ContainerPath: containerPath}, tree: tree}
	if err := s.identify(); err != nil {
		t.Fatal(err)
	}
	return s
}

// A link that has taken a directory's place since the plan was made is not followed.
func TestCloneFollowsNoLink(t *testing.T) {
	alone(t)
	dir := onMemory(t)
	err := errors.Join(os.Mkdir(dir+"/a", 0o700), os.WriteFile(dir+"/a/f", nil, 0o600), os.Symlink("a", dir+"/link"),
		os.Symlink("f", dir+"/a/l"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/a/f": true, "/a": true, "/link/f": false, "/a/l": false, "/link": false} {
		tree, err := clone(dir+path, false)
		if (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			_ = tree.Close()
		}
	}
}
