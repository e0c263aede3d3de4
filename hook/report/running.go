package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// Bounds of what is read in another user's directory: names, records, what these say of requests and devices together,
// and errors about them.
const (
	maxForeignNames   = 4096
	maxForeignRecords = 256
	maxForeignHeld    = 4 * limits.Devices
	maxForeignErrors  = 5
)

// Running returns the records in runDir, which must be private to this user, of containers that got devices and run
// now, the newest first. An error says what could not be read; what could is returned all the same.
func Running(runDir string) ([]*Report, []error) {
	dir, list, err := openRecords(runDir)
	if err != nil {
		return nil, []error{err}
	}
	defer dir.Close()
	return running(list, func(s stored) (*Report, error) { return readRecord(dir, s) })
}

// RunningOf is [Running] for the records of the user with this uid, for root to read. That user controls everything in
// unsafeDir, the directory of the records. A record counts only if the user owns it and if its process is in a user
// namespace of the user's. Its texts are the user's: only [Shown] makes them fit to be printed.
func RunningOf(unsafeDir *os.File, uid int) (unsafeReports []*Report, errs []error) {
	names, err := unsafeDir.Readdirnames(maxForeignNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, []error{ForeignError(uid, err)}
	}
	f := foreign{dir: unsafeDir, uid: uid, records: maxForeignRecords, held: maxForeignHeld}
	reports, found := running(records(unsafeDir, names), f.read)
	for _, err := range found[:min(maxForeignErrors, len(found))] {
		errs = append(errs, ForeignError(uid, err))
	}
	if more := len(found) - len(errs); more > 0 {
		errs = append(errs, ForeignError(uid, fmt.Errorf("%d more cannot be read", more)))
	}
	return reports, errs
}

// ForeignError is an error about another user's records.
func ForeignError(uid int, err error) error {
	return fault.New(fault.Record, "records of uid "+strconv.Itoa(uid), "%w", err).
		WithHint("the user can see them: gpu-hook ps")
}

// running returns those of the records that are of containers that got devices and run now.
func running(list []stored, read func(stored) (*Report, error)) (reports []*Report, errs []error) {
	for _, s := range list {
		if s.class != classGot {
			continue
		}
		lasts, err := s.process.LastsThisBoot()
		var r *Report
		if lasts && err == nil {
			r, err = read(s)
		}
		if r != nil && err == nil {
			lasts, err = r.Container.Process.Lasts()
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("container %s: %w", s.id, err))
		case lasts:
			r.Container.ID = s.id
			reports = append(reports, r)
		}
	}
	return reports, errs
}

// foreign reads the records in another user's directory until it has read as much as that user may make root read.
type foreign struct {
	dir     *os.File
	uid     int
	records int // that may still be read
	held    int // what these may still say of requests and devices
}

// read reads a record. Of it remains only what [HolderOf] shows.
func (f *foreign) read(s stored) (unsafeReport *Report, err error) {
	if f.records--; f.records < 0 {
		return nil, fmt.Errorf("only the newest %d are read", maxForeignRecords)
	}
	data, owner, err := readBounded(f.dir, s.file)
	if err != nil {
		return nil, err
	}
	if owner != f.uid {
		return nil, fmt.Errorf("the record is uid %d's", owner)
	}
	whole, err := decodeRecord(data)
	if err != nil {
		return nil, err
	}
	isTheirs, err := whole.Container.Process.InNamespaceOf(f.uid)
	if err != nil {
		return nil, err
	}
	if !isTheirs {
		return nil, fmt.Errorf("process %d is not one of the user's containers", whole.Container.Process.PID)
	}
	if f.held -= whole.holds(); f.held < 0 {
		return nil, fmt.Errorf("the user's records name more than %d requests and devices", maxForeignHeld)
	}
	whole.Container.UID = f.uid
	return &Report{
		Time: whole.Time, Container: whole.Container, Requests: whole.Requests, Grants: whole.Grants,
	}, nil
}

// holds returns how many requests, grants and names of devices [HolderOf] goes through.
func (r *Report) holds() int {
	n := len(r.Requests) + len(r.Grants)
	for _, q := range r.Requests {
		n += len(q.Devices) + len(q.Capabilities)
	}
	for _, g := range r.Grants {
		n += len(g.CDIDevices)
		if g.Delegate != nil && g.Request >= 0 && g.Request < len(r.Requests) {
			n += len(r.Requests[g.Request].Devices)
		}
	}
	return n
}
