package inject

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Something is made on the root filesystem and on filesystems of the container's own, and a mount goes where the host
// does not see it.
func TestGround(t *testing.T) {
	alone(t)
	dir := onMemory(t)
	tmpfs := func(name string) error { return unix.Mount("tmpfs", path.Join(dir, name), "tmpfs", 0, "") }
	bind := func(from, to string) error {
		return unix.Mount(path.Join(dir, from), path.Join(dir, to), "", unix.MS_BIND, "")
	}
	var errs []error
	for _, name := range []string{"volume", "shared"} {
		errs = append(errs, os.MkdirAll(path.Join(dir, name), 0o700), tmpfs(name))
	}
	errs = append(errs, unix.Mount("", dir+"/shared", "", unix.MS_SHARED, ""))
	g := ground{}
	var err error
	g.host, err = readMounts()
	errs = append(errs, err)
	for _, name := range []string{"dev", "volume", "shared", "proc", "late"} {
		errs = append(errs, os.MkdirAll(path.Join(dir, "root", name), 0o700))
	}
	errs = append(errs,
		bind("root", "root"), tmpfs("root/dev"), bind("volume", "root/volume"),
		bind("shared", "root/shared"), unix.Mount("proc", dir+"/root/proc", "proc", 0, ""),
	)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	root := handle(t, dir+"/root")
	if err := g.learn(root); err != nil {
		t.Fatal(err)
	}
	if err := tmpfs("root/late"); err != nil {
		t.Fatal(err)
	}
	disk := siteAt(t, dir+"/root/dev")
	delete(g.its.memory, disk.mount)
	if err := g.checkMake(disk, "/dev"); err == nil {
		t.Error("on a disk that the runtime has mounted: something may be made")
	}
	g.its.memory[disk.mount] = true
	const (
		volume = " would have to be made on a volume or another filesystem of the host"
		shared = " is shared with the host, where the mount would appear too (propagation shared)"
		kernel = " lies on a filesystem of the kernel"
	)
	for _, test := range []struct{ name, make, spared, mount string }{
		{"/", "", errRootSpared.Error(), ""},
		{"/dev", "", "", ""},
		{"/volume", volume, volume, ""},
		{"/shared", volume, volume, shared},
		{"/late", volume, volume, ""},
		{"/proc", kernel, kernel, kernel},
	} {
		// No subtest: it would run on another thread.
		h := siteAt(t, dir+"/root"+test.name)
		sparing := g
		sparing.sparesRoot = true
		for what, got := range map[string]struct {
			err  error
			want string
		}{
			"make":          {g.checkMake(h, test.name), test.make},
			"make, sparing": {sparing.checkMake(h, test.name), test.spared},
			"mount":         {g.checkMount(h, test.name), test.mount},
		} {
			if (got.err == nil) != (got.want == "") || got.err != nil && !strings.Contains(got.err.Error(), got.want) {
				t.Errorf("%s on %s: %v, want %q", what, test.name, got.err, got.want)
			}
		}
	}
	late := dir + "/root/late"
	if err := errors.Join(g.adopt(handle(t, late)), g.checkMake(siteAt(t, late), "/late")); err != nil {
		t.Errorf("after it was adopted: %v", err)
	}
}

func targetAt(t *testing.T, path string) target {
	t.Helper()
	on, err := targetOf(handle(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return on
}

func siteAt(t *testing.T, path string) site {
	t.Helper()
	s, err := siteOf(handle(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Of the kernel's filesystems only the driver's part of /proc is mounted on, and a mount of another part on its path is
// not taken for it.
func TestKernelFilesystems(t *testing.T) {
	alone(t)
	dir := onMemory(t)
	err := errors.Join(os.MkdirAll(dir+"/driver/nvidia", 0o700),
		unix.Mount("/proc/sys", dir+"/driver/nvidia", "", unix.MS_BIND, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"/proc/self", "/proc/sys/kernel", "/sys", dir + "/driver/nvidia/kernel"} {
		if err := siteAt(t, at).checkKernel("/proc/driver/nvidia/params"); err == nil {
			t.Errorf("%s may be mounted on", at)
		}
	}
	if err := siteAt(t, dir).checkKernel("/x"); err != nil {
		t.Error(err)
	}
	if err := (site{kernel: true, driver: true}).checkKernel("/x"); err != nil {
		t.Error(err)
	}
}

func TestInDriver(t *testing.T) {
	for _, test := range []struct {
		root, mountpoint, at string
		want                 bool
	}{
		{"/", "/proc", "/proc/driver/nvidia", true},
		{"/", "/proc", "/proc/driver/nvidia/params", true},
		{"/", "/r/proc", "/r/proc/driver/nvidia/gpus/0", true},
		{"/", "/", "/driver/nvidia", true},
		{"/driver/nvidia", "/r/proc/driver/nvidia", "/r/proc/driver/nvidia/params", true},
		{"/driver/nvidia/params", "/r/f", "/r/f", true},
		{"/sys", "/r/proc/driver/nvidia", "/r/proc/driver/nvidia/params", false},
		{"/", "/proc", "/proc/driver/nvidia2", false},
		{"/", "/proc", "/proc/driver", false},
		{"/", "/r/proc", "/proc/driver/nvidia", false},
	} {
		if got := inDriver(test.root, test.mountpoint, test.at); got != test.want {
			t.Errorf("%s of procfs on %s, %s: %t", test.root, test.mountpoint, test.at, got)
		}
	}
}

// Whatever makes or mounts something asks first whether it may, and leaves nothing behind if it may not.
func TestForbiddenGround(t *testing.T) {
	alone(t)
	dir := onMemory(t)
	err := errors.Join(
		makeAt(dir+"/file", unix.S_IFREG|0o600, 0, 0), makeAt(dir+"/host", unix.S_IFCHR|0o600, 1, 3),
		os.Mkdir(dir+"/place", 0o700),
	)
	if err != nil {
		t.Fatal(err)
	}
	r := rootIn(t, dir)
	id := r.ground.root
	// The mount is neither the root's nor of a filesystem of the container's own, and it is shared with the host.
	r.ground.root, r.ground.its.filesystems = -1, nil
	r.ground.its.peers, r.ground.host.peers = map[int]string{id: "shared:1"}, map[int]string{1: "shared:1"}
	const volume, shared = "on a volume", "is shared with the host"
	for name, test := range map[string]struct {
		do   func() error
		want string
	}{
		"a directory": {func() error { _, err := r.openDir("/a/b"); return err }, volume},
		"a file":      {func() error { _, err := r.createFile("/a"); return err }, volume},
		"a node":      {func() error { return r.makeNode(null("/a", 0)) }, volume},
		"a bound node": {func() error {
			d := null(dir+"/host", 0)
			source, err := cloneNode(d)
			if err != nil {
				return err
			}
			return r.bindNode(source, targetAt(t, dir+"/file"), handle(t, dir), "file", d)
		}, shared},
		"a mount": {func() error {
			return r.move(sourceOf(t, memory(t, 0), "/place"))
		}, shared},
	} {
		if err := test.do(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 || len(r.made)+len(r.attached) > 0 {
		t.Errorf("%v, %v, %d made", entries, err, len(r.made))
	}
	after, err := readMounts()
	if err != nil || len(after.filesystems) != len(r.ground.host.filesystems) {
		t.Errorf("%d mounts were %d, %v", len(after.filesystems), len(r.ground.host.filesystems), err)
	}
}
