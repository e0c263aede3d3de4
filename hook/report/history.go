package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// History is all records that there are. Its JSON form is a contract with scripts; lists are never null.
type History struct {
	Records []*Report `json:"records"` // the newest first
	Errors  []Message `json:"errors"`  // records that cannot be read, and why
}

// All reads all records in runDir, which must be private to this user.
func All(runDir string) (*History, error) {
	dir, list, err := openRecords(runDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	h := &History{Records: []*Report{}, Errors: []Message{}}
	for _, s := range list {
		r, err := readRecord(dir, s)
		if err != nil {
			h.Errors = append(h.Errors, MessageOf(err))
			continue
		}
		h.Records = append(h.Records, r)
	}
	return h, nil
}

// Text writes a line for each record.
func (h *History) Text(w io.Writer) error {
	t := &textWriter{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	if len(h.Records) == 0 {
		t.line("there are no records: no container asked for a device")
	} else {
		t.line("TIME\tENGINE\tNAME\tID\tRESULT\tGOT\tREQUEST")
	}
	for _, r := range h.Records {
		c := r.Container
		t.line("%s\t%s\t%s\t%s\t%s\t%s\t%s", r.Time.Format(time.RFC3339), orDash(c.Engine),
			orDash(Shown(fullName(c.Namespace, c.Pod, c.Name))), shortID(c.ID), r.Result, r.got(), r.request())
	}
	t.messages("error", h.Errors)
	return t.Flush()
}

// request returns the first request, in short, and how many more there are.
func (r *Report) request() string {
	if len(r.Requests) == 0 {
		return "-"
	}
	first := r.Requests[0]
	if len(r.Grants) > 0 && r.Grants[0].Request < len(r.Requests) {
		first = r.Requests[r.Grants[0].Request]
	}
	value := []rune(first.Value)
	if len(value) > minValue {
		value = append(value[:minValue:minValue], '…')
	}
	text := first.Source + " " + strconv.Quote(string(value))
	if more := len(r.Requests) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// got returns which devices the container got or, if it got none because of an error, the error's code.
func (r *Report) got() string {
	if len(r.Errors) > 0 {
		return string(r.Errors[0].Code)
	}
	h := HolderOf(r, nil)
	return orDash(strings.Join(h.Devices, " "))
}
