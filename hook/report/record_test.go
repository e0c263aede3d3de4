package report

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/atomicfile"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// record is the report on a container that got a device.
func record(id string) *Report {
	r := Make(NewRun(""), plan.Plan{Grants: []plan.Grant{{}}}, nil)
	r.Container.ID = id
	return r
}

// kept leaves the record of a container that got a device in dir, as old as age.
func kept(t *testing.T, dir, id string, keep int, age time.Duration) {
	t.Helper()
	keepRecord(t, dir, record(id), keep, age)
}

// keepRecord leaves the record in dir, as old as age.
func keepRecord(t *testing.T, dir string, r *Report, keep int, age time.Duration) {
	t.Helper()
	before := len(r.Warnings)
	if r.Keep(dir, keep); len(r.Warnings) > before {
		t.Fatal(r.Warnings)
	}
	at := time.Now().Add(-age)
	err := os.Chtimes(filepath.Join(dir, "records", r.fileName()), at, at)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been evicted
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "records"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// The newest records stay, and the files of runs that were killed while they wrote go after an hour.
func TestPrune(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	for i, id := range []string{"d", "a", "c", "b"} {
		kept(t, dir, id, 10, time.Duration(10-i)*time.Minute)
	}
	file := func(name string, age time.Duration) {
		path, at := filepath.Join(dir, "records", name), time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	file(atomicfile.TempPrefix+"old", 61*time.Minute)
	file(atomicfile.TempPrefix+"new", 59*time.Minute)
	file("another's", 100*time.Hour)
	kept(t, dir, "e", 3, 0)
	want := []string{
		"another's", "b@got-0-0-0.json", "c@got-0-0-0.json", "e@got-0-0-0.json", atomicfile.TempPrefix + "new",
	}
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// The record of the container takes the place of its older one.
	kept(t, dir, "b", 3, 0)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Records are for root, or the user whose containers they are, alone.
func TestRecordsArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	kept(t, dir, "a", 5, 0)
	for path, want := range map[string]fs.FileMode{
		dir: 0o755, dir + "/records": 0o700, dir + "/records/a@got-0-0-0.json": 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", path, info.Mode().Perm(), err, want)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Last(dir, ""); !fault.Is(err, fault.Record) {
		t.Errorf("a directory that others may write is read: %v", err)
	}
	r := Make(NewRun(""), plan.Plan{}, nil)
	r.Container.ID = "b"
	if r.Keep(dir, 5); len(r.Warnings) != 1 || r.Warnings[0].Code != fault.RecordNote ||
		r.Warnings[0].Hint != "make "+dir+"/records a directory that root alone may write" {
		t.Errorf("a record is written to a directory that others may write: %v", r.Warnings)
	}
	others := t.TempDir()
	if err := os.Chmod(others, 0o777); err != nil {
		t.Fatal(err)
	}
	r.Keep(others, 5)
	if entries, err := os.ReadDir(others); err != nil || len(entries) > 0 {
		t.Errorf("something is made in a directory that others may write: %v, %v", entries, err)
	}
}

func TestLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	for id, want := range map[string]string{"": "there are no records", "a": `there is no record of a container "a"`} {
		if _, err := Last(dir, id); !fault.Is(err, fault.Record) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("without records, %q: %v", id, err)
		}
	}
	kept(t, dir, "abc", 9, 3*time.Minute)
	kept(t, dir, "abd", 9, 2*time.Minute)
	kept(t, dir, "ab", 9, time.Minute)
	kept(t, dir, "x", 9, 4*time.Minute)
	for id, want := range map[string]string{"": "ab", "ab": "ab", "abc": "abc", "x": "x", "abd": "abd"} {
		if r, err := Last(dir, id); err != nil || r.Container.ID != want {
			t.Errorf("%q: %v, want %s", id, err, want)
		}
	}
	for id, want := range map[string]string{
		"a": `3 containers' ids begin with "a"`, "y": `there is no record of a container "y"`,
		"abcd": `there is no record of a container "abcd"`, "../x": `there is no record of a container "../x"`,
	} {
		_, err := Last(dir, id)
		if !fault.Is(err, fault.Record) || !strings.HasSuffix(err.Error(), want) || fault.From(err).Hint() == "" {
			t.Errorf("%q: %v, want %s", id, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "records", "x@got-0-0-0.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Last(dir, "x")
	if !fault.Is(err, fault.Record) || !strings.Contains(err.Error(), "record of x: ") {
		t.Errorf("a record that is no JSON: %v", err)
	}
	if hint := fault.From(err).Hint(); hint != "remove the file" {
		t.Errorf("hint %q", hint)
	}
}

// A container that requests very much must not be able to keep its record from being written.
func TestLongRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	p := example()
	for i := range 30 {
		devices := slices.Repeat([]string{"0"}, 30)
		p.Requests = append(p.Requests, plan.Request{Source: "flag", Value: fmt.Sprint(i), Devices: devices})
		p.Grants = append(p.Grants, plan.Grant{Driver: "d"})
		p.CDIDevices = append(p.CDIDevices, "a.com/b=c")
		p.Warnings = append(p.Warnings, fault.New(fault.Late, "", "w%d", i))
	}
	p.Attempts = slices.Repeat([]plan.Attempt{{Reason: strings.Repeat("a", 1<<10)}}, 300)
	r := Make(NewRun(""), p, nil)
	r.Container.ID = "a"
	warnings := len(r.Warnings)
	if r.Keep(dir, 5); len(r.Warnings) != warnings {
		t.Fatal(r.Warnings[warnings:])
	}
	got, err := Last(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	last := got.Warnings[len(got.Warnings)-1]
	lengths := func(r *Report) []int {
		return []int{
			len(r.Requests), len(r.Requests[19].Devices), len(r.Attempts), len(r.Grants), len(r.CDIDevices),
			len(r.Edits.DeviceNodes), len(r.Warnings),
		}
	}
	if diff := cmp.Diff([]int{20, 20, 0, 20, 20, 0, 21}, lengths(got)); diff != "" || last.Code != fault.RecordNote {
		t.Error(last, diff)
	}
	if diff := cmp.Diff([]int{32, 30, 300, 32, 32, 1, 31}, lengths(r)); diff != "" {
		t.Error("the report was cut:", diff)
	}
	// Of what is too long even so the beginning is written.
	r.Edits, r.Requests[0].Reason = devices.NewEdits(), strings.Repeat("<", 256<<10)
	if r.Keep(dir, 5); len(r.Warnings) != warnings {
		t.Fatal(r.Warnings[warnings:])
	}
	if got, err = Last(dir, "a"); err != nil {
		t.Fatal(err)
	}
	last = got.Warnings[len(got.Warnings)-1]
	if len(got.Requests) != 4 || len(got.Requests[0].Reason) > 2<<10 || last.Code != fault.RecordNote {
		t.Errorf("%d requests, %v", len(got.Requests), last)
	}
}

func TestRunDir(t *testing.T) {
	const nobody = 4242424
	for _, test := range []struct {
		self trust.Self
		want string
	}{
		{trust.Self{}, "/run/gpu-hook"},
		{trust.Self{Rootless: true, UID: nobody}, "/tmp/gpu-hook-4242424"},
	} {
		if got := RunDir(test.self); got != test.want {
			t.Errorf("%+v: %s", test.self, got)
		}
	}
}

// There need not be a system log, and nothing is written to it of a run that has nothing to say.
func TestTellNobody(t *testing.T) {
	r := Make(NewRun(""), plan.Plan{Warnings: []*fault.Error{fault.New(fault.Late, "", "b")}}, nil)
	r.tell(filepath.Join(t.TempDir(), "nowhere"))
	socket := filepath.Join(t.TempDir(), "log")
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	Make(NewRun(""), plan.Plan{}, nil).tell(socket)
	if err := log.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil { // what was sent is there
		t.Fatal(err)
	}
	if n, err := log.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes %v", n, err)
	}
}

// In the place of the directory of records a link, or one that others may write, gets no record.
func TestRecordsDirectoryIsOurs(t *testing.T) {
	for name, put := range map[string]func(dir, elsewhere string) error{
		"a link": func(dir, elsewhere string) error { return os.Symlink(elsewhere, dir) },
		"one that others may write": func(dir, _ string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777))
		},
	} {
		top := t.TempDir()
		run, elsewhere := filepath.Join(top, "run"), filepath.Join(top, "elsewhere")
		dir := filepath.Join(run, "records")
		if err := errors.Join(os.Mkdir(run, 0o755), os.Mkdir(elsewhere, 0o755), put(dir, elsewhere)); err != nil {
			t.Fatal(err)
		}
		r := Make(NewRun(""), plan.Plan{}, nil)
		r.Container.ID = "test"
		r.Keep(run, 5)
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 0 || len(r.Warnings) != 1 {
			t.Errorf("%s: %v, %v, warnings %v", name, entries, err, r.Warnings)
		}
	}
}
