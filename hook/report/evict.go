package report

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/internal/atomicfile"
)

const (
	// abandonedAfter is the age at which nobody is writing a record any more: a process was killed and left it.
	abandonedAfter = time.Hour
	// ofOneName is how many records of one class a name has before they are evicted first. A container that is started
	// again and again, each time with a new id, takes no more room than that from the others.
	ofOneName = 3
	// withRunning bounds the records of one class, those of running containers included, as a multiple of what is kept.
	withRunning = 4
	// atOnce says how many records are evicted at once, as a part of what is kept: looking for them takes time, and not
	// every start is to spend it.
	atOnce = 8
)

// prune removes older records of the container with this id than the one in the file written, the records that are too
// many, and the files of runs that were killed while they wrote. It opens no record. What stays of each class are the
// records of running containers and the newest of others: keep where containers got devices, half as many where they
// did not, and a few that are to be evicted at once.
func prune(dir string, keep int, id, written string) error {
	handle, names, err := files(dir)
	if err != nil {
		return err
	}
	defer handle.Close()
	var errs []error
	counts, isFirst := map[class]int{}, true
	for _, name := range names {
		found, isRecord := classIn(name)
		switch {
		case name != written && isRecordOf(name, id):
			isFirst = false
			errs = append(errs, remove(filepath.Join(dir, name)))
		case isRecord:
			counts[found]++
		case abandoned(handle, name):
			errs = append(errs, remove(filepath.Join(dir, name)))
		}
	}
	own, _ := classIn(written)
	most := mostOf(own, keep)
	if excess := counts[own] - most; isFirst && excess > 0 && excess%max(1, most/atOnce) == 0 {
		errs = append(errs, evict(handle, names, own, most))
	}
	return errors.Join(errs...)
}

// mostOf returns how many records of a class stay, those of running containers apart.
func mostOf(c class, keep int) int {
	if c == classGot {
		return keep
	}
	return (keep + 1) / 2
}

// evict removes the records of a class that are too many.
func evict(dir *os.File, names []string, c class, most int) error {
	others := func(name string) bool {
		found, isRecord := classIn(name)
		return !isRecord || found != c
	}
	list := records(dir, slices.DeleteFunc(slices.Clone(names), others))
	isRunning := func(s stored) bool {
		lasts, err := s.process.LastsThisBoot()
		return lasts || err != nil
	}
	var errs []error
	for _, s := range victims(list, most, isRunning) {
		errs = append(errs, remove(filepath.Join(dir.Name(), s.file)))
	}
	return errors.Join(errs...)
}

// victims returns which records of one class, the newest first, are removed so that most of those of ended containers
// stay: first those of names that have more than ofOneName, then the oldest. Those of running containers stay too, as
// long as all together are not more than withRunning times most.
func victims(list []stored, most int, isRunning func(stored) bool) []stored {
	newer := map[string]int{}
	var running, repeated, single []stored
	for _, s := range slices.Backward(list) {
		newer[s.name]++
	}
	for _, s := range slices.Backward(list) { // the oldest first
		newer[s.name]--
		switch {
		case isRunning(s):
			running = append(running, s)
		case s.name != noName && newer[s.name] >= ofOneName:
			repeated = append(repeated, s)
		default:
			single = append(single, s)
		}
	}
	ended := append(repeated, single...)
	out := ended[:max(0, len(ended)-most)]
	if excess := len(list) - len(out) - withRunning*most; excess > 0 {
		out = append(out, running[:min(excess, len(running))]...)
	}
	return out
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
