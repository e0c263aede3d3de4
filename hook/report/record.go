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
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// maxRecord bounds one record, in bytes. A longer one is kept without its edits.
const maxRecord = 256 << 10

// abandonedAfter is the age at which nobody is writing a record any more: a process was killed and left it.
const abandonedAfter = time.Hour

// validID reports whether id is what runtimes allow as a container id, and so can be a file name.
func validID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-"
	return id != "" && id[0] != '.' && len(id) <= 200 && strings.Trim(id, allowed) == ""
}

// RunDir is where records and private bundles go by default: /run/gpu-hook, for a user's rootless engine the user's own
// runtime directory, and without one a folder of the user's own below /tmp. A hook in the engine's user namespace and the
// user outside of it come to the same place.
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

// Keep writes the record, in place of an older one of the same container, and leaves the newest few in runDir. A record
// that cannot be written is a warning and never fails a start.
func (r *Report) Keep(runDir string, few int) {
	dir := recordsIn(runDir)
	if err := r.write(runDir, dir, few); err != nil {
		r.Warn(fault.New(fault.RecordNote, "record of "+r.Container.ID, "%w", err).WithHint("make %s a directory that root alone may write", dir))
	}
}

func recordsIn(runDir string) string { return filepath.Join(runDir, "records") }

func (r *Report) write(runDir, dir string, most int) error {
	if !validID(r.Container.ID) {
		return fmt.Errorf("%q is no container id", r.Container.ID)
	}
	if err := errors.Join(trust.PrivateDir(runDir, 0o755), trust.PrivateDir(dir, 0o700)); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(data) > maxRecord {
		if data, err = json.Marshal(r.short()); err != nil {
			return err
		}
	}
	if len(data) > maxRecord {
		return fmt.Errorf("it is longer than %d bytes", maxRecord)
	}
	if err := atomicfile.Write(filepath.Join(dir, r.Container.ID+".json"), data, 0o600); err != nil {
		return err
	}
	return prune(dir, most)
}

// short is the report without edits and attempts, and with the beginning of its longer lists: nobody may keep a record from
// being written by asking for very much.
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
		Message{Code: fault.RecordNote, Message: "the edits and a part of the rest are left out: they would make the record too long"})
	return &s
}

type stored struct {
	name string
	info fs.FileInfo
}

// records lists the records, the newest first.
func records(dir string) ([]stored, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []stored
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		info, err := e.Info()
		if !ok || err != nil {
			continue
		}
		out = append(out, stored{name, info})
	}
	slices.SortFunc(out, func(a, b stored) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	return out, nil
}

// prune leaves the newest records, and nothing of a run that was killed while it wrote.
func prune(dir string, most int) error {
	list, err := records(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, old := range list[min(most, len(list)):] {
		errs = append(errs, remove(filepath.Join(dir, old.name+".json")))
	}
	entries, err := os.ReadDir(dir)
	errs = append(errs, err)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), atomicfile.TempPrefix) &&
			time.Since(info.ModTime()) > abandonedAfter {
			errs = append(errs, remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Last reads the newest record in runDir, which nobody but this user may have written, or the one of the container whose id is, or alone begins with, id.
func Last(runDir, id string) (*Report, error) {
	dir := recordsIn(runDir)
	for _, d := range []string{runDir, dir} {
		if err := trust.CheckPrivate(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.Record, d, "%w", err).WithHint("run it as root, or as the user whose containers they are; a directory that is another's must go")
		}
	}
	list, err := records(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Record, dir, "%w", err).WithHint("run it as root")
	}
	found := slices.DeleteFunc(list, func(s stored) bool { return !strings.HasPrefix(s.name, id) })
	if i := slices.IndexFunc(found, func(s stored) bool { return s.name == id }); i >= 0 {
		found = found[i : i+1]
	}
	switch {
	case len(found) == 0 && id == "":
		return nil, fault.New(fault.Record, dir, "there are no records").WithHint("gpu-hook leaves a record only where a container asked for a device; try: gpu-hook explain --bundle DIR")
	case len(found) == 0:
		return nil, fault.New(fault.Record, dir, "there is no record of a container %q", id).WithHint("gpu-hook leaves a record only where a container asked for a device; its id is the engine's, in full or its beginning")
	case id != "" && len(found) > 1:
		return nil, fault.New(fault.Record, dir, "%d containers' ids begin with %q", len(found), id).WithHint("write more of the id")
	}
	data, err := os.ReadFile(filepath.Join(dir, found[0].name+".json"))
	if err != nil {
		return nil, fault.New(fault.Record, dir, "%w", err).WithHint("run it as root")
	}
	report := Make(NewRun(""), plan.Plan{}, nil)
	if err := json.Unmarshal(data, report); err != nil {
		return nil, fault.New(fault.Record, dir, "record of %s: %w", found[0].name, err).WithHint("remove the file")
	}
	return report, nil
}
