package devices

import (
	"strings"
	"testing"

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
		atime   = unix.MOUNT_ATTR__ATIME
	)
	for _, test := range []struct {
		name, options string
		want          MountAttributes
	}{
		{"none", "", MountAttributes{Propagation: private}},
		{"nvidia-ctk's", "ro nosuid nodev rbind rprivate", MountAttributes{true, ro | nosuid | nodev, 0, private}},
		{"nvidia-ctk's for a socket", "nosuid nodev rbind rprivate noexec", MountAttributes{true, nosuid | nodev | noexec, 0, private}},
		{"older nvidia-ctk's", "ro nosuid nodev bind", MountAttributes{false, ro | nosuid | nodev, 0, private}},
		{"neutral", "bind defaults private rprivate", MountAttributes{Propagation: private}},
		{"slave", "slave", MountAttributes{Propagation: slave}},
		{"rslave", "rbind rslave", MountAttributes{Recursive: true, Propagation: slave}},
		{"the opposites", "rw suid dev exec", MountAttributes{Clear: ro | nosuid | nodev | noexec, Propagation: private}},
		{"the last holds", "ro rw nosuid suid dev nodev exec noexec", MountAttributes{Set: nodev | noexec, Clear: ro | nosuid, Propagation: private}},
		{"flags without an opposite", "nodiratime nosymfollow", MountAttributes{Set: unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_NOSYMFOLLOW, Propagation: private}},
		{"noatime", "noatime", MountAttributes{Set: unix.MOUNT_ATTR_NOATIME, Clear: atime, Propagation: private}},
		{"relatime", "relatime", MountAttributes{Set: unix.MOUNT_ATTR_RELATIME, Clear: atime, Propagation: private}},
		{"the last access time holds", "ro noatime strictatime", MountAttributes{Set: ro | unix.MOUNT_ATTR_STRICTATIME, Clear: atime, Propagation: private}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := (&Mount{Options: strings.Split(test.options, " ")}).Attributes()
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
	for _, option := range []string{"shared", "rshared", "unbindable", "remount", "sync", "mode=755", "idmap", "RO", " ro", "upperdir=/etc"} {
		got, err := (&Mount{Options: []string{"ro", option}}).Attributes()
		if want := `mount option "` + option + `" is not one that gpu-hook can apply`; err == nil || err.Error() != want || got != (MountAttributes{}) {
			t.Errorf("%q: got %+v, %v", option, got, err)
		}
	}
}
