package inject

import (
	"errors"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// propagation tells mounts of the container through which a new mount would come to the host too.
type propagation struct {
	host   map[string]bool // peer groups of the host's mount namespace, "shared:N"
	shared map[int]string  // mount ids of the container's namespace to their peer group
}

// readPropagation reads /proc/thread-self/mountinfo of the caller's mount namespace.
func readPropagation() (map[int]string, error) {
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	shared := map[int]string{}
	_, err = mountinfo.GetMountsFromReader(file, func(m *mountinfo.Info) (skip, stop bool) {
		for _, field := range strings.Fields(m.Optional) {
			if strings.HasPrefix(field, "shared:") {
				shared[m.ID] = field
			}
		}
		return true, false
	})
	return shared, err
}

// hostPropagation is to be called in the host's mount namespace.
func hostPropagation() (*propagation, error) {
	shared, err := readPropagation()
	if err != nil {
		return nil, err
	}
	p := &propagation{host: map[string]bool{}}
	for _, group := range shared {
		p.host[group] = true
	}
	return p, nil
}

// check refuses a target on a mount that the container shares with the host.
func (p *propagation) check(target *os.File) error {
	var st unix.Statx_t
	if err := unix.Statx(int(target.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return os.NewSyscallError("statx", err)
	}
	if group, ok := p.shared[int(st.Mnt_id)]; ok && p.host[group] { //nolint:gosec // mount ids are ints
		return errors.New("its filesystem is shared with the host, where the mount would appear too (propagation shared)")
	}
	return nil
}
