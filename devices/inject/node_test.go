package inject

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/test/require"
)

// null is the node 1:3 as a Spec describes it, for everybody to read and write.
func null(path string, owner uint32) *devices.DeviceNode {
	mode := os.FileMode(0o666)
	return &devices.DeviceNode{
		Path: path, HostPath: path, Type: "c", Major: 1, Minor: 3, FileMode: &mode, UID: &owner, GID: &owner,
		Status: devices.Apply,
	}
}

// makeAt makes something of this type, mode and, for a device, number at path, whatever the umask.
func makeAt(path string, mode uint32, major, minor uint32) error {
	return errors.Join(unix.Mknod(path, mode, int(unix.Mkdev(major, minor))), unix.Chmod(path, mode&0o7777))
}

// What is said of a node that must not be used.
const (
	nodev   = "its filesystem is mounted nodev, a node on it would be useless"
	another = "another device, "
	noNode  = "something that is not a node of type "
	stands  = " stands in its place"
)

func TestUsable(t *testing.T) {
	for attributes, want := range map[uint64]string{0: "", unix.MOUNT_ATTR_NODEV: nodev} {
		s, err := siteOf(memory(t, attributes))
		wantFailure(t, errors.Join(err, s.usable()), want)
	}
}

// On a filesystem that is mounted nodev nobody could open the node: it is refused, and nothing is made.
func TestNodeIsMadeWhereItCanBeOpened(t *testing.T) {
	for _, test := range []struct {
		name       string
		attributes uint64
		want       string
	}{
		{"with devices", 0, ""},
		{"nodev", unix.MOUNT_ATTR_NODEV, "device node /null: " + nodev},
	} {
		t.Run(test.name, func(t *testing.T) {
			alone(t)
			root := memory(t, test.attributes)
			r := rootOf(t, root)
			d := null("/null", 0)
			wantFailure(t, r.makeNode(d), test.want)
			var st unix.Stat_t
			err := unix.Fstatat(int(root.Fd()), "null", &st, unix.AT_SYMLINK_NOFOLLOW)
			if made := err == nil; made != (test.want == "") || made != (d.Status == devices.Applied) {
				t.Errorf("%v, and the node is %s", err, d.Status)
			}
			if err := r.undo(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The host's node is bound only if it is the planned device, on a filesystem where devices can be opened.
func TestCloneNode(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name  string
		flags uintptr
		minor uint32
		want  string
	}{
		{"with devices", 0, 3, ""},
		{"nodev", unix.MS_NODEV, 3, nodev},
		{"another device", 0, 5, "another device, 1:5, stands in its place"},
	} {
		t.Run(test.name, func(t *testing.T) {
			alone(t)
			err := errors.Join(
				unix.Mount("tmpfs", dir, "tmpfs", test.flags, ""),
				makeAt(dir+"/null", unix.S_IFCHR|0o600, 1, test.minor),
			)
			if err != nil {
				t.Fatal(err)
			}
			tree, err := cloneNode(null(dir+"/null", 0))
			wantFailure(t, err, test.want)
			if err == nil {
				tree.Close()
			}
		})
	}
}

// An inode must be the planned device. Its mode matters only for a node that gpu-hook made itself.
func TestVerifyNode(t *testing.T) {
	require.Root(t)
	for _, test := range []struct {
		name         string
		mode         uint32
		major, minor uint32
		theirs, ours string
	}{
		{"the device", unix.S_IFCHR | 0o666, 1, 3, "", ""},
		{"of another mode", unix.S_IFCHR | 0o600, 1, 3, "", "it came to have mode 0600, not 0666"},
		{"of a wider mode", unix.S_IFCHR | 0o667, 1, 3, "", "it came to have mode 0667, not 0666"},
		{"setuid", unix.S_IFCHR | 0o4666, 1, 3, "", "it came to have mode 4666, not 0666"},
		{"another minor", unix.S_IFCHR | 0o666, 1, 5, another + "1:5," + stands, another + "1:5," + stands},
		{"another major", unix.S_IFCHR | 0o666, 5, 3, another + "5:3," + stands, another + "5:3," + stands},
		{"a block device", unix.S_IFBLK | 0o666, 1, 3, noNode + `"c"` + stands, noNode + `"c"` + stands},
		{"a FIFO", unix.S_IFIFO | 0o666, 0, 0, noNode + `"c"` + stands, noNode + `"c"` + stands},
		{"a file", unix.S_IFREG | 0o666, 0, 0, noNode + `"c"` + stands, noNode + `"c"` + stands},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "null")
			if err := makeAt(path, test.mode, test.major, test.minor); err != nil {
				t.Fatal(err)
			}
			wantFailure(t, verifyNode(handle(t, path), null("/null", 0), false), test.theirs)
			wantFailure(t, verifyNode(handle(t, path), null("/null", 0), true), test.ours)
		})
	}
}

// The container can replace a node before it is opened: the replacement is refused and keeps its owner.
func TestNodeThatIsSwapped(t *testing.T) {
	require.Root(t)
	for _, test := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"not at all", func(path string) error { return makeAt(path, unix.S_IFCHR|0o666, 1, 3) }, ""},
		{"for another device", func(path string) error {
			return makeAt(path, unix.S_IFCHR|0o666, 1, 5)
		}, another + "1:5," + stands},
		{"for the device with another mode", func(path string) error {
			return makeAt(path, unix.S_IFCHR|0o600, 1, 3)
		}, "it came to have mode 0600, not 0666"},
		{"for a file", func(path string) error {
			return makeAt(path, unix.S_IFREG|0o666, 0, 0)
		}, noNode + `"c"` + stands},
		{"for a link to the device", func(path string) error {
			return errors.Join(makeAt(path+"2", unix.S_IFCHR|0o666, 1, 3), os.Symlink("null2", path))
		}, noNode + `"c"` + stands},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "null")
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			wantFailure(t, finishNode(handle(t, dir), "null", null("/null", 0)), test.want)
			wantFailure(t, finishNode(handle(t, dir), "null", null("/null", 1234)), test.want)
			st, err := linux.Fstat(handle(t, path))
			if owned := st.Uid == 1234 && st.Gid == 1234; err != nil || owned != (test.want == "") {
				t.Errorf("it is %d:%d's, %v", st.Uid, st.Gid, err)
			}
		})
	}
}

// After the host's node was bound, the name is opened again and must show that node.
func TestBoundNodeThatWentAstray(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ name, want string }{
		{"target", ""},
		{"other", noNode + `"c"` + stands},
		{"gone", "open " + dir + "/gone: no such file or directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			alone(t)
			err := errors.Join(
				unix.Mount("tmpfs", dir, "tmpfs", 0, ""),
				makeAt(dir+"/host", unix.S_IFCHR|0o666, 1, 3),
				makeAt(dir+"/target", unix.S_IFREG|0o600, 0, 0),
				makeAt(dir+"/other", unix.S_IFREG|0o600, 0, 0),
			)
			if err != nil {
				t.Fatal(err)
			}
			d := null(dir+"/host", 0)
			source, err := cloneNode(d)
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			at := handle(t, dir)
			err = rootOf(t, at).bindNode(source, targetAt(t, dir+"/target"), at, test.name, d)
			wantFailure(t, err, test.want)
			if astray := errors.As(err, &astrayError{}); astray != (err != nil) {
				t.Errorf("it went astray: %v", astray)
			}
		})
	}
}

// What is in the node's place already must be the device itself, not a link to it.
func TestNodeThatIsThere(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"the device", func(path string) error { return makeAt(path, unix.S_IFCHR|0o600, 1, 3) }, ""},
		{"another device", func(path string) error {
			return makeAt(path, unix.S_IFCHR|0o600, 1, 5)
		}, another + "1:5," + stands},
		{"a link to the device", func(path string) error {
			return errors.Join(makeAt(path+"2", unix.S_IFCHR|0o600, 1, 3), os.Symlink("null2", path))
		}, noNode + `"c"` + stands},
		{"a link that leads nowhere", func(path string) error {
			return os.Symlink("nowhere", path)
		}, noNode + `"c"` + stands},
		{"a file", func(path string) error { return makeAt(path, unix.S_IFREG|0o600, 0, 0) }, noNode + `"c"` + stands},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }, noNode + `"c"` + stands},
	} {
		t.Run(test.name, func(t *testing.T) {
			alone(t)
			dir := t.TempDir()
			if err := test.make(filepath.Join(dir, "null")); err != nil {
				t.Fatal(err)
			}
			d := null("/null", 0)
			want := devices.Present
			if test.want != "" {
				want, test.want = devices.Failed, "device node /null: "+test.want
			}
			wantFailure(t, rootIn(t, dir).makeNode(d), test.want)
			if d.Status != want {
				t.Errorf("the node is %s", d.Status)
			}
		})
	}
}
