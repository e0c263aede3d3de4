package trust

import (
	"os"
	"strconv"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/idmap"
)

// Self is what this process is on the host.
type Self struct {
	// Rootless says that it is not the host's root: another user, or root of a user namespace only.
	Rootless bool
	// Namespaced says that it is in a user namespace that is not the host's own.
	Namespaced bool
	// UID is the user's id on the host.
	UID int
	// Owner is who may own what it trusts: the host's root, which a user namespace shows as the overflow uid, and itself.
	Owner Owner
}

// Identify reads /proc/self/uid_map. Where that cannot be read it trusts root and this process's own user alone.
func Identify() Self {
	uid := os.Getuid()
	m, err := idmap.Read("/proc/self/uid_map")
	if err != nil {
		return hostUser(uid)
	}
	return self(m, uid)
}

// self returns what a process of this uid is, with m as the uid map of its user namespace.
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

// hostUser is a user of the initial user namespace.
func hostUser(uid int) Self {
	return Self{Rootless: uid != 0, UID: uid, Owner: Owner{UID: uint32(uid)}} //nolint:gosec // uids have 32 bits
}

// overflow is the uid that a user namespace shows in the place of those that it has none for.
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
