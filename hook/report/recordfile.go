package report

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/state"
)

// class is what became of the start that a record is about.
type class string

const (
	classGot     class = "got"     // the container got devices
	classNothing class = "nothing" // it started without
	classRefused class = "refused" // it did not start
)

// classes returns all classes.
func classes() []class { return []class{classGot, classNothing, classRefused} }

// class returns that of the report's start.
func (r *Report) class() class {
	isPresent := func(q plan.Request) bool { return q.Status == plan.Present }
	switch {
	case r.Failed():
		return classRefused
	case len(r.Grants) > 0, slices.ContainsFunc(r.Requests, isPresent):
		return classGot
	}
	return classNothing
}

// The name of a record's file is ID@CLASS-NAME-PID-START.json. It tells all that is asked of every record at every
// start, so that no file has to be read then: NAME is a hash of the container's name, PID and START are of its process.
// Earlier versions named the file ID.json.
const (
	recordSuffix = ".json"
	idEnd        = "@" // never in an id
	fieldEnd     = "-"
	noName       = "0" // in place of a name's hash
)

// stored is a record's file.
type stored struct {
	file     string // its name
	id       string // of the container
	class    class
	name     string         // a hash of the container's name, or noName
	process  state.Lifetime // without its boot
	modified time.Time
}

// fileName returns the name of the report's file in the directory of the records.
func (r *Report) fileName() string {
	name := noName
	if c := r.Container; c.Name != "" {
		sum := fnv.New32a()
		_, _ = sum.Write([]byte(strings.Join([]string{c.Namespace, c.Pod, c.Name}, "/")))
		name = strconv.FormatUint(uint64(sum.Sum32()), 16)
	}
	p := r.Container.Process
	return fmt.Sprintf("%s%s%s-%s-%d-%d%s", r.Container.ID, idEnd, r.class(), name, p.PID, p.Start, recordSuffix)
}

// storedAs returns what the name of a record's file tells, and whether it is that of one.
func storedAs(file string) (s stored, isRecord bool) {
	base, isRecord := strings.CutSuffix(file, recordSuffix)
	if !isRecord {
		return stored{}, false
	}
	id, about, isNew := strings.Cut(base, idEnd)
	s = stored{file: file, id: id, class: classGot, name: noName}
	if !validID(id) {
		return stored{}, false
	}
	if !isNew {
		return s, true
	}
	fields := strings.Split(about, fieldEnd)
	if len(fields) != 4 || !slices.Contains(classes(), class(fields[0])) {
		return stored{}, false
	}
	pid, err := strconv.Atoi(fields[2])
	start, startErr := strconv.ParseUint(fields[3], 10, 64)
	s.class, s.name, s.process = class(fields[0]), fields[1], state.Lifetime{PID: pid, Start: start}
	return s, errors.Join(err, startErr) == nil
}

// isRecordOf reports whether the file is a record of the container with this id.
func isRecordOf(file, id string) bool {
	rest, begins := strings.CutPrefix(file, id)
	return begins && strings.HasSuffix(rest, recordSuffix) && (rest == recordSuffix || strings.HasPrefix(rest, idEnd))
}

// classIn returns the class that the name of a record's file tells, and whether it is that of one.
func classIn(file string) (class, bool) {
	base, isRecord := strings.CutSuffix(file, recordSuffix)
	if !isRecord || base == "" || base[0] == '.' {
		return "", false
	}
	_, about, isNew := strings.Cut(base, idEnd)
	if !isNew {
		return classGot, true
	}
	found, _, _ := strings.Cut(about, fieldEnd)
	return class(found), slices.Contains(classes(), class(found))
}

// recordsIn returns the directory of the records.
func recordsIn(runDir string) string { return filepath.Join(runDir, "records") }

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

// records returns the records among the files of their directory, the newest first and one for each container. One that
// is gone is left out.
func records(dir *os.File, names []string) []stored {
	var out []stored
	for _, name := range names {
		s, isRecord := storedAs(name)
		if !isRecord {
			continue
		}
		if at, err := modified(dir, name); err == nil {
			s.modified = at
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b stored) int { return b.modified.Compare(a.modified) })
	seen := map[string]bool{}
	return slices.DeleteFunc(out, func(s stored) bool {
		isOlder := seen[s.id]
		seen[s.id] = true
		return isOlder
	})
}

func modified(dir *os.File, name string) (time.Time, error) {
	st, err := linux.Fstatat(dir, name)
	return time.Unix(st.Mtim.Unix()), err
}
