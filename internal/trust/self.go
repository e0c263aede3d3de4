package trust

import (
	"os"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/idmap"
)

// Self is this process's identity on the host.
type Self struct {
	// Rootless says that the process is not the host's root: it is another user, or root of a user namespace only.
	Rootless bool
	// Namespaced says that the process is in a user namespace other than the initial one.
	Namespaced bool
	// UID is the user's id outside of the process's user namespace.
	UID int
	// Owner is who may own files that the process trusts, besides uid 0: the process's own user or, in a user namespace,
	// the overflow uid, as which the host's root is seen there.
	Owner Owner
}

// Identify returns this process's identity according to /proc/self/uid_map. If that file cannot be read, only root and
// this process's own user are trusted.
func Identify() Self {
	uid := os.Getuid()
	m, err := idmap.Read("/proc/self/uid_map")
	if err != nil {
		return hostUser(uid)
	}
	return self(m, uid)
}

// self returns the identity of a process with this uid in a user namespace with the uid map m.
func self(m idmap.Map, uid int) Self {
	if m.Initial() {
		return hostUser(uid)
	}
	outside, ok := m.Outside(uid)
	if !ok {
		outside = uid
	}
	return Self{Rootless: true, Namespaced: true, UID: outside, Owner: Owner{UID: overflow()}}
}

// hostUser returns the identity of a process with this uid in the initial user namespace.
func hostUser(uid int) Self {
	return Self{Rootless: uid != 0, UID: uid, Owner: Owner{UID: uint32(uid)}} //nolint:gosec // uids have 32 bits
}

// overflow returns the uid that the kernel shows in place of one that the user namespace does not map.
func overflow() uint32 {
	const usual = 65534
	data, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil {
		return usual
	}
	uid, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
	if err != nil {
		return usual
	}
	return uint32(uid)
}
