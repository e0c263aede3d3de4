package inject

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/internal/linux"
)

// The container can replace a file that was just made. The mount goes on the file that was made, wherever that is, and
// is an error unless the path leads to it.
func TestCreatedFileThatIsSwapped(t *testing.T) {
	const gone, moved = "no such file or directory", "the path was moved while it was mounted on"
	for _, test := range []struct {
		name string
		swap func(path string) error
		want string
	}{
		{"not at all", func(string) error { return nil }, ""},
		{"another file", func(path string) error {
			return errors.Join(os.WriteFile(path+"2", nil, 0o600), os.Rename(path+"2", path))
		}, gone},
		{"another file, and it is kept", func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.WriteFile(path, nil, 0o600))
		}, moved},
		{"a directory", func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}, gone},
		{"a link to another file", func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path+"2", nil, 0o600), os.Symlink("file2", path))
		}, gone},
		{"a link out", func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path))
		}, gone},
		{"a link to it", func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink("file2", path))
		}, ""},
		{"nothing", func(path string) error { return os.Rename(path, path+"2") }, gone},
	} {
		t.Run(test.name, func(t *testing.T) {
			alone(t)
			root := onMemory(t)
			if err := os.WriteFile(root+"/host", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			tree, err := clone(root+"/host", false)
			if err != nil {
				t.Fatal(err)
			}
			defer tree.Close()
			r, s := rootIn(t, root), sourceOf(t, tree, "/dir/file")
			target, err := r.mountPoint(s)
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			if err := test.swap(root + "/dir/file"); err != nil {
				t.Fatal(err)
			}
			if err = linux.MoveMount(tree, target.File); err == nil {
				err = r.verifyMount(s)
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A directory is found once for all that is made in it, until something is undone or a directory is mounted. If it was
// moved since, what is made in it is there and not on its path, where a mount is therefore an error.
func TestDirectory(t *testing.T) {
	alone(t)
	root := onMemory(t)
	r := rootIn(t, root)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// found reports whether the path leads to the directory at that path by now.
	found := func(path string) bool {
		t.Helper()
		p, err := r.directory(path)
		must(err)
		now, err := identify(handle(t, root+path))
		must(err)
		return p.id == now
	}
	mount := func(kind, on string) error {
		t.Helper()
		must(os.MkdirAll(root+"/host/directory", 0o700))
		must(os.WriteFile(root+"/host/file", nil, 0o600))
		tree, err := clone(root+"/host/"+kind, false)
		must(err)
		return r.move(sourceOf(t, tree, on))
	}
	if !found("/a/b") || !found("/a/b/") {
		t.Error("it is not found")
	}
	must(mount("file", "/a/b/1"))
	must(os.Rename(root+"/a/b", root+"/a/moved"))
	must(os.Mkdir(root+"/a/b", 0o700))
	if found("/a/b") {
		t.Error("it was looked up again")
	}
	wantFailure(t, mount("file", "/a/b/2"), "open "+root+"/a/b/2: no such file or directory")
	if _, err := os.Stat(root + "/a/moved/2"); err != nil {
		t.Error(err)
	}
	must(mount("directory", "/a/c"))
	if !found("/a/b") {
		t.Error("it was not looked up after a mount")
	}
	mark := len(r.made)
	must(mount("file", "/a/d/1"))
	must(unix.Unmount(root+"/a/d/1", 0))
	must(r.undoSince(mark))
	if !found("/a/d") {
		t.Error("it was not looked up after it was removed")
	}
}

// The container can replace a directory before it is opened: a link is not followed, wherever it leads.
func TestMadeDirectoryThatIsSwapped(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.Mkdir(dir+"/made", 0o700), os.Symlink("made", dir+"/link"), os.Symlink("/", dir+"/out"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"made": nil, "link": unix.ENOTDIR, "out": unix.ENOTDIR} {
		got, err := openMade(handle(t, dir), name)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			got.Close()
		}
	}
}

// A file that somebody else has made meanwhile is used and stays when everything is undone. A link is not followed to
// make one.
func TestFileThatIsThere(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.WriteFile(dir+"/file", []byte("theirs"), 0o600), os.Symlink("nowhere", dir+"/link"))
	if err != nil {
		t.Fatal(err)
	}
	r := rootIn(t, dir)
	got, err := r.createFile("/file")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if same, err := sameFile(got.File, handle(t, dir+"/file")); err != nil || !same {
		t.Errorf("another file: %v", err)
	}
	_, err = r.createFile("/link")
	wantFailure(t, err, `"/link" is a link that leads nowhere in the container`)
	if _, err := r.openDir("/link/x"); err == nil {
		t.Error("a directory was made behind a link")
	}
	if err := r.undo(); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(dir + "/file"); err != nil || string(data) != "theirs" {
		t.Errorf("%q, %v", data, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

// The roots of two new filesystems have the same inode number, and are not the same.
func TestSameFile(t *testing.T) {
	one, other := memory(t, 0), memory(t, 0)
	a, errA := linux.Fstat(one)
	b, errB := linux.Fstat(other)
	if err := errors.Join(errA, errB); err != nil || a.Ino != b.Ino {
		t.Fatalf("inodes %d and %d, %v", a.Ino, b.Ino, err)
	}
	for _, test := range []struct {
		file *os.File
		want bool
	}{{one, true}, {other, false}} {
		if same, err := sameFile(one, test.file); err != nil || same != test.want {
			t.Errorf("%v, %v", same, err)
		}
	}
}
