package state

import (
	"bytes"
	"encoding/hex"
	"path"
	"strings"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// ReadSpec reads the runtime-spec object, of 16 MiB at most, of a container that is not created yet. Of its state only
// the id is known, and only if the cgroup's path ends with the id as podman writes it.
func ReadSpec(raw []byte) (*Container, error) {
	spec, err := decodeConfig(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, fault.New(fault.Bundle, "spec on standard input", "%w", err).
			WithHint("gpu-hook precreate is run by podman; to try a bundle by hand use: gpu-hook explain --bundle DIR")
	}
	c := &Container{Spec: spec}
	if spec.Linux != nil {
		c.State.ID = idOf(spec.Linux.CgroupsPath)
	}
	return c, nil
}

// idOf returns the id at the end of a cgroup's path as podman writes it, or "": PARENT/libpod-ID, or SLICE:libpod:ID
// for systemd.
func idOf(cgroupsPath string) string {
	name := path.Base(cgroupsPath)
	if parts := strings.Split(cgroupsPath, ":"); len(parts) == 3 {
		name = parts[2]
	}
	id := strings.TrimPrefix(strings.TrimPrefix(name, "libpod-"), "payload-")
	const long = 32
	if sum, err := hex.DecodeString(id); err != nil || len(sum) != long {
		return ""
	}
	return id
}
