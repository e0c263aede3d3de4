package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Last reads a record in runDir, which must be private to this user. If id is "", it is the newest one, and otherwise
// that of the container with this id or, if there is only one, with an id that begins so.
func Last(runDir, id string) (*Report, error) {
	dir, list, err := openRecords(runDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	found, err := findRecord(list, recordsIn(runDir), id)
	if err != nil {
		return nil, err
	}
	return readRecord(dir, found)
}

// Named reads the newest record in runDir of a container with this name: podman's, or that of the container in its pod,
// POD/CONTAINER or NAMESPACE/POD/CONTAINER. The error is that of [Last] for an unknown id if there is none.
func Named(runDir, name string) (*Report, error) {
	dir, list, err := openRecords(runDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for _, s := range list {
		if s.name == noName {
			continue
		}
		if r, err := readRecord(dir, s); err == nil && r.Container.isCalled(name) {
			return r, nil
		}
	}
	_, err = findRecord(nil, recordsIn(runDir), name)
	return nil, err
}

// isCalled reports whether this is a name of the container.
func (c ContainerInfo) isCalled(name string) bool {
	inPod := c.Pod + "/" + c.Name
	return name != "" && (name == c.Name || c.Pod != "" && (name == inPod || name == c.Namespace+"/"+inPod))
}

// openRecords opens and lists the directory of the records in runDir, which must be private to this user. There need
// not be one. The caller closes it.
func openRecords(runDir string) (*os.File, []stored, error) {
	dir := recordsIn(runDir)
	for _, d := range []string{runDir, dir} {
		if err := trust.CheckPrivate(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fault.New(fault.Record, d, "%w", err).WithHint(
				"run it as root, or as the user whose containers they are; a directory that is another's must go")
		}
	}
	handle, names, err := files(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fault.New(fault.Record, dir, "%w", err).WithHint("run it as root")
	}
	return handle, records(handle, names), nil
}

// findRecord returns the record that [Last] reads. list is the directory's records, the newest first.
func findRecord(list []stored, dir, id string) (stored, error) {
	matching := slices.DeleteFunc(slices.Clone(list), func(s stored) bool { return !strings.HasPrefix(s.id, id) })
	exact := slices.IndexFunc(matching, func(s stored) bool { return s.id == id })
	switch {
	case len(matching) == 0 && id == "":
		return stored{}, fault.New(fault.Record, dir, "there are no records").WithHint("gpu-hook leaves a record " +
			"only where a container asked for a device; try: gpu-hook explain --bundle DIR")
	case len(matching) == 0:
		return stored{}, fault.New(fault.Record, dir, "there is no record of a container %q", id).WithHint("gpu-hook " +
			"leaves a record only where a container asked for a device; its id is the engine's, in full or its beginning")
	case exact >= 0:
		return matching[exact], nil
	case id != "" && len(matching) > 1:
		return stored{}, fault.New(fault.Record, dir, "%d containers' ids begin with %q", len(matching), id).
			WithHint("write more of the id")
	}
	return matching[0], nil
}

// readRecord reads a record in the directory of records.
func readRecord(dir *os.File, s stored) (*Report, error) {
	data, _, err := readBounded(dir, s.file)
	if err != nil {
		return nil, fault.New(fault.Record, dir.Name(), "%w", err).WithHint("run it as root")
	}
	report, err := decodeRecord(data)
	if err != nil {
		return nil, fault.New(fault.Record, dir.Name(), "record of %s: %w", s.id, err).WithHint("remove the file")
	}
	return report, nil
}

// decodeRecord returns the report in a record.
func decodeRecord(data []byte) (*Report, error) {
	report := Make(NewRun(""), plan.Plan{}, nil)
	return report, json.Unmarshal(data, report)
}

// readBounded reads the regular file in dir that has this name, and returns its owner's uid. It follows no link and
// waits for nobody.
func readBounded(dir *os.File, name string) (data []byte, owner int, err error) {
	file, err := linux.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	st, err := linux.Fstat(file)
	if err != nil {
		return nil, 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, 0, fmt.Errorf("%s is not a regular file", file.Name())
	}
	data, err = io.ReadAll(io.LimitReader(file, limits.Record+1))
	if err == nil && len(data) > limits.Record {
		err = fmt.Errorf("%s is longer than %d bytes", file.Name(), limits.Record)
	}
	return data, int(st.Uid), err
}
