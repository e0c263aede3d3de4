package trust

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// allIDs is how many ids the initial user namespace has.
const allIDs = 1<<32 - 1

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

// Identify reads /proc/self/uid_map. Where that cannot be read it trusts root alone.
func Identify() Self {
	uid := os.Getuid()
	s := Self{Rootless: uid != 0, UID: uid, Owner: Owner{UID: uint32(uid)}} //nolint:gosec // uids have 32 bits
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return s
	}
	outside, whole := mapped(string(data), uid)
	if whole {
		return s
	}
	return Self{Rootless: true, Namespaced: true, UID: outside, Owner: Owner{UID: overflow()}}
}

// mapped returns what a uid map makes of uid, and whether it is that of the initial user namespace.
func mapped(text string, uid int) (outside int, whole bool) {
	var inside, out, count int
	for line := range strings.Lines(text) {
		if n, _ := fmt.Sscan(line, &inside, &out, &count); n != 3 || uid < inside || uid >= inside+count {
			continue
		}
		return out + uid - inside, inside == 0 && out == 0 && count == allIDs
	}
	return uid, false
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
