package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/atomicfile"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// abandonedAfter is the age at which nobody is writing a record any more: a process was killed and left it.
const abandonedAfter = time.Hour

// validID reports whether runtimes allow id as a container id. Such an id can be a file name.
func validID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-"
	return id != "" && id[0] != '.' && len(id) <= 200 && strings.Trim(id, allowed) == ""
}

// RunDir returns the default directory of records and private bundles: /run/gpu-hook, or for a user's rootless engine
// one in the user's runtime directory, or else one of the user's own below /tmp. A hook in the engine's user namespace
// and the user outside of it get the same directory.
func RunDir(self trust.Self) string {
	if !self.Rootless {
		return "/run/gpu-hook"
	}
	user := fmt.Sprintf("/run/user/%d", self.UID)
	if info, err := os.Stat(user); err == nil && info.IsDir() {
		return user + "/gpu-hook"
	}
	return fmt.Sprintf("/tmp/gpu-hook-%d", self.UID)
}

// Keep writes the report as the record of its container, replacing an older one, and removes all but the keep newest
// records in runDir. A record that cannot be written is a warning: it must not fail a start.
func (r *Report) Keep(runDir string, keep int) {
	dir := recordsIn(runDir)
	if err := r.write(runDir, dir, keep); err != nil {
		r.Warn(fault.New(fault.RecordNote, "record of "+r.Container.ID, "%w", err).
			WithHint("make %s a directory that root alone may write", dir))
		return
	}
	r.kept = true
}

// recordsIn returns the directory of the records.
func recordsIn(runDir string) string { return filepath.Join(runDir, "records") }

// write writes the record to dir, which is below runDir, and prunes dir.
func (r *Report) write(runDir, dir string, keep int) error {
	if !validID(r.Container.ID) {
		return fmt.Errorf("%q is not a container id", r.Container.ID)
	}
	if err := errors.Join(trust.PrivateDir(runDir, 0o755), trust.PrivateDir(dir, 0o700)); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(data) > limits.Record {
		if data, err = json.Marshal(r.short()); err != nil {
			return err
		}
	}
	if len(data) > limits.Record {
		return fmt.Errorf("it is longer than %d bytes", limits.Record)
	}
	if err := atomicfile.Write(filepath.Join(dir, r.Container.ID+".json"), data, 0o600); err != nil {
		return err
	}
	return prune(dir, keep)
}

// short returns a copy of the report without edits and attempts, and with only the beginning of its longer lists. A
// container that requests very much must not be able to keep its record from being written.
func (r *Report) short() *Report {
	const most = 20
	s := *r
	s.Edits, s.Attempts = devices.NewEdits(), []plan.Attempt{}
	s.Requests = nil
	for _, q := range r.Requests[:min(most, len(r.Requests))] {
		q.Devices = slices.Clone(q.Devices[:min(most, len(q.Devices))])
		s.Requests = append(s.Requests, q)
	}
	s.Grants = r.Grants[:min(most, len(r.Grants))]
	s.CDIDevices = r.CDIDevices[:min(most, len(r.CDIDevices))]
	s.Warnings = append(slices.Clone(r.Warnings[:min(most, len(r.Warnings))]),
		Message{
			Code:    fault.RecordNote,
			Message: "the edits and a part of the rest are left out: they would make the record too long",
		})
	return &s
}

// stored is a record's file.
type stored struct {
	id       string // of the container
	modified time.Time
}

// files opens the directory of the records and lists it. The caller closes it.
func files(dir string) (handle *os.File, names []string, err error) {
	if handle, err = os.Open(dir); err != nil {
		return nil, nil, err
	}
	if names, err = handle.Readdirnames(-1); err != nil {
		_ = handle.Close()
		return nil, nil, err
	}
	return handle, names, nil
}

// records returns the records among the files of their directory, the newest first. One that is gone is left out.
func records(dir *os.File, names []string) []stored {
	var out []stored
	for _, name := range names {
		id, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		if at, err := modified(dir, name); err == nil {
			out = append(out, stored{id, at})
		}
	}
	slices.SortFunc(out, func(a, b stored) int { return b.modified.Compare(a.modified) })
	return out
}

func modified(dir *os.File, name string) (time.Time, error) {
	st, err := linux.Fstatat(dir, name)
	return time.Unix(st.Mtim.Unix()), err
}

// prune removes all but the keep newest records, and the files of runs that were killed while they wrote. It reads the
// age of the records, one system call for each, only if there are too many.
func prune(dir string, keep int) error {
	handle, names, err := files(dir)
	if err != nil {
		return err
	}
	defer handle.Close()
	var errs []error
	for _, name := range names {
		if abandoned(handle, name) {
			errs = append(errs, remove(filepath.Join(dir, name)))
		}
	}
	if len(names) <= keep {
		return errors.Join(errs...)
	}
	list := records(handle, names)
	for _, old := range list[min(keep, len(list)):] {
		errs = append(errs, remove(filepath.Join(dir, old.id+".json")))
	}
	return errors.Join(errs...)
}

// abandoned reports whether the file is one that a killed run has left unfinished.
func abandoned(dir *os.File, name string) bool {
	if !strings.HasPrefix(name, atomicfile.TempPrefix) {
		return false
	}
	at, err := modified(dir, name)
	return err == nil && time.Since(at) > abandonedAfter
}

// remove removes a file, which another run may have removed already.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Last reads a record in runDir, which must be private to this user. If id is "", it is the newest one, and otherwise
// that of the container with this id or, if there is only one, with an id that begins so.
func Last(runDir, id string) (*Report, error) {
	dir := recordsIn(runDir)
	for _, d := range []string{runDir, dir} {
		if err := trust.CheckPrivate(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.Record, d, "%w", err).WithHint(
				"run it as root, or as the user whose containers they are; a directory that is another's must go")
		}
	}
	handle, names, err := files(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Record, dir, "%w", err).WithHint("run it as root")
	}
	defer handle.Close()
	found, err := findRecord(records(handle, names), dir, id)
	if err != nil {
		return nil, err
	}
	return readRecord(dir, found)
}

// findRecord returns the id of the record that [Last] reads. list is the directory's records, the newest first.
func findRecord(list []stored, dir, id string) (string, error) {
	matching := slices.DeleteFunc(list, func(s stored) bool { return !strings.HasPrefix(s.id, id) })
	isExact := func(s stored) bool { return s.id == id }
	switch {
	case len(matching) == 0 && id == "":
		return "", fault.New(fault.Record, dir, "there are no records").WithHint("gpu-hook leaves a record " +
			"only where a container asked for a device; try: gpu-hook explain --bundle DIR")
	case len(matching) == 0:
		return "", fault.New(fault.Record, dir, "there is no record of a container %q", id).WithHint("gpu-hook leaves " +
			"a record only where a container asked for a device; its id is the engine's, in full or its beginning")
	case slices.ContainsFunc(matching, isExact):
		return id, nil
	case id != "" && len(matching) > 1:
		return "", fault.New(fault.Record, dir, "%d containers' ids begin with %q", len(matching), id).
			WithHint("write more of the id")
	}
	return matching[0].id, nil
}

// readRecord reads the record of the container with this id.
func readRecord(dir, id string) (*Report, error) {
	data, err := os.ReadFile(filepath.Join(dir, id+".json"))
	if err != nil {
		return nil, fault.New(fault.Record, dir, "%w", err).WithHint("run it as root")
	}
	report := Make(NewRun(""), plan.Plan{}, nil)
	if err := json.Unmarshal(data, report); err != nil {
		return nil, fault.New(fault.Record, dir, "record of %s: %w", id, err).WithHint("remove the file")
	}
	return report, nil
}
