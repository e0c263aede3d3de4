package devices

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestAttributes(t *testing.T) {
	const (
		private = unix.MS_PRIVATE
		slave   = unix.MS_SLAVE
		ro      = unix.MOUNT_ATTR_RDONLY
		nosuid  = unix.MOUNT_ATTR_NOSUID
		nodev   = unix.MOUNT_ATTR_NODEV
		noexec  = unix.MOUNT_ATTR_NOEXEC
		nodir   = unix.MOUNT_ATTR_NODIRATIME
		nosym   = unix.MOUNT_ATTR_NOSYMFOLLOW
		noatime = unix.MOUNT_ATTR_NOATIME
		strict  = unix.MOUNT_ATTR_STRICTATIME
		atime   = unix.MOUNT_ATTR__ATIME
	)
	top := func(set, clear uint64) MountAttributes {
		return MountAttributes{Top: Attributes{set, clear}, Propagation: private}
	}
	tree := func(set, clear uint64) MountAttributes {
		return MountAttributes{Tree: Attributes{set, clear}, Propagation: private}
	}
	for _, test := range []struct {
		name, options string
		want          MountAttributes
	}{
		{"none", "", MountAttributes{Propagation: private}},
		{
			"nvidia-ctk's", "ro nosuid nodev rbind rprivate",
			MountAttributes{Recursive: true, Top: Attributes{ro | nosuid | nodev, 0}, Propagation: private},
		},
		{
			"nvidia-ctk's for a socket", "nosuid nodev rbind rprivate noexec",
			MountAttributes{Recursive: true, Top: Attributes{nosuid | nodev | noexec, 0}, Propagation: private},
		},
		{"older nvidia-ctk's", "ro nosuid nodev bind", top(ro|nosuid|nodev, 0)},
		{
			"neutral", "bind defaults private rprivate async loud silent nomand noiversion nolazytime",
			MountAttributes{Propagation: private},
		},
		{"slave", "slave", MountAttributes{Propagation: slave}},
		{"rslave", "rbind rslave", MountAttributes{Recursive: true, Propagation: slave}},
		{"unbindable", "unbindable", MountAttributes{Propagation: unix.MS_UNBINDABLE}},
		{"runbindable", "rbind runbindable", MountAttributes{Recursive: true, Propagation: unix.MS_UNBINDABLE}},
		{"the opposites", "rw suid dev exec diratime symfollow", top(0, ro|nosuid|nodev|noexec|nodir|nosym)},
		{"the last holds", "ro rw nosuid suid dev nodev exec noexec", top(nodev|noexec, ro|nosuid)},
		{"two more", "nodiratime nosymfollow", top(nodir|nosym, 0)},
		{"noatime", "noatime", top(noatime, atime)},
		{"relatime", "relatime", top(0, atime)},
		{"atime", "noatime atime", top(0, atime)},
		{"norelatime and nostrictatime", "norelatime strictatime nostrictatime", top(0, atime)},
		{"the last access time holds", "ro noatime strictatime", top(ro|strict, atime)},
		{
			"recursive", "rbind rro rnosuid rnodev rnoexec rnodiratime rnosymfollow",
			MountAttributes{
				Recursive: true, Tree: Attributes{ro | nosuid | nodev | noexec | nodir | nosym, 0}, Propagation: private,
			},
		},
		{"recursive opposites", "rrw rsuid rdev rexec rdiratime rsymfollow", tree(0, ro|nosuid|nodev|noexec|nodir|nosym)},
		{"recursive access times", "rnoatime", tree(noatime, atime)},
		{
			"recursive access times, the last", "rstrictatime rrelatime ratime rnorelatime rnostrictatime rstrictatime",
			tree(strict, atime),
		},
		{"both", "ro rrw", MountAttributes{Top: Attributes{ro, 0}, Tree: Attributes{0, ro}, Propagation: private}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := (&Mount{Options: strings.Split(test.options, " ")}).Attributes()
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v: %s", err, diff)
			}
		})
	}
	options := strings.Fields("size=1m mode=700 ro nr_inodes=5 uid=1 gid=2 noswap sync")
	got, err := (&Mount{Type: "tmpfs", Options: options}).Attributes()
	data := strings.Fields("size=1m mode=700 nr_inodes=5 uid=1 gid=2 noswap sync")
	want := MountAttributes{Top: Attributes{ro, 0}, Propagation: private, Data: data}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("tmpfs: %v: %s", err, diff)
	}
}

func TestRefusedOptions(t *testing.T) {
	const (
		carry   = "would propagate mounts of the container to the host"
		whole   = "applies to a whole filesystem, and cannot be set for a bind mount"
		runtime = "can be applied by the runtime alone"
		unknown = "is not supported"
	)
	for _, test := range []struct{ kind, option, why string }{
		{"", "shared", carry},
		{"", "rshared", carry},
		{"tmpfs", "shared", carry},
		{"", "sync", whole},
		{"bind", "dirsync", whole},
		{"", "lazytime", whole},
		{"", "mand", whole},
		{"", "iversion", whole},
		{"", "remount", runtime},
		{"", "idmap", runtime},
		{"", "ridmap=/a", runtime},
		{"tmpfs", "tmpcopyup", runtime},
		{"", "mode=755", unknown},
		{"", "size=1m", unknown},
		{"", "RO", unknown},
		{"", " ro", unknown},
		{"", "rrro", unknown},
		{"", "rshared2", unknown},
		{"", "upperdir=/etc", unknown},
		{"tmpfs", "size", unknown},
		{"tmpfs", "noswap=1", unknown},
		{"tmpfs", "source=/etc", unknown},
	} {
		got, err := (&Mount{Type: test.kind, Options: []string{"ro", test.option}}).Attributes()
		want := `mount option "` + test.option + `" ` + test.why
		if diff := cmp.Diff(MountAttributes{}, got); err == nil || err.Error() != want || diff != "" {
			t.Errorf("%s %q: %v %s", test.kind, test.option, err, diff)
		}
	}
	// A bind option overrides the type.
	if _, err := (&Mount{Type: "tmpfs", Options: []string{"bind", "size=1m"}}).Attributes(); err == nil {
		t.Error("a bind mount has a size")
	}
}
