package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Bounds of what is read in another user's directory: names, records, and errors about them.
const (
	maxForeignNames   = 4096
	maxForeignRecords = 256
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
	budget := maxForeignRecords
	reports, found := running(records(unsafeDir, names), func(s stored) (*Report, error) {
		if budget--; budget < 0 {
			return nil, fmt.Errorf("only the newest %d are read", maxForeignRecords)
		}
		return readForeign(unsafeDir, s, uid)
	})
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

// readForeign reads a record of another user.
func readForeign(dir *os.File, s stored, uid int) (*Report, error) {
	data, owner, err := readBounded(dir, s.file)
	if err != nil {
		return nil, err
	}
	if owner != uid {
		return nil, fmt.Errorf("the record is uid %d's", owner)
	}
	r, err := decodeRecord(data)
	if err != nil {
		return nil, err
	}
	isTheirs, err := r.Container.Process.InNamespaceOf(uid)
	if err == nil && !isTheirs {
		err = fmt.Errorf("process %d is not one of the user's containers", r.Container.Process.PID)
	}
	r.Container.UID = uid
	return r, err
}
