package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/plan"
)

// Text writes the report as text for people: what becomes of the container, what it asks for, what is wrong and how to
// mend it, what was tried, what it gets. Everything in it that a container controls is quoted or was checked.
func (r *Report) Text(w io.Writer) error {
	t := &textWriter{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.verdict(r)
	t.requests(r)
	t.causes(r)
	t.attempts(r)
	if !r.explained || !r.Failed() {
		t.grants(r)
	}
	t.messages("warning", r.Warnings)
	t.unseen(r)
	return t.Flush()
}

// textWriter writes lines with aligned columns.
type textWriter struct{ *tabwriter.Writer }

// line writes a line. What a terminal would not show as it is comes escaped, whoever wrote it.
func (t *textWriter) line(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = visible(s)
		}
	}
	_, _ = fmt.Fprintf(t, format+"\n", args...)
}

// labelled writes rows of cells, the first of them behind the label and the others below it. No rows are nothing.
func (t *textWriter) labelled(label string, rows [][]string) {
	if len(rows) > 0 {
		t.line("")
	}
	for _, cells := range rows {
		for i := range cells {
			cells[i] = visible(cells[i])
		}
		_, _ = fmt.Fprintf(t, "%-8s%s\n", label, strings.Join(cells, "\t"))
		label = ""
	}
}

// verdict writes whose report it is and what becomes of the container.
func (t *textWriter) verdict(r *Report) {
	t.line("%s: %s", r.Container.title(), r.verdict())
	if r.explained {
		return
	}
	var total int64
	for _, p := range r.Phases {
		total += p.Microseconds
	}
	t.line("%s %s, %.1f ms: %s", r.Container.Stage, r.Time.Format(time.RFC3339), float64(total)/1000, r.Result)
}

// verdict says what becomes, or has become, of the container.
func (r *Report) verdict() string {
	switch {
	case r.explained && r.Failed():
		return "would not start"
	case r.explained && r.Result == plan.ResultNothing && len(r.Requests) > 0:
		return "would start without devices"
	case r.explained:
		return "would start"
	}
	switch r.Result {
	case plan.ResultRefused, plan.ResultFailed:
		return "did not start"
	case plan.ResultNothing:
		return "got no devices"
	}
	return "got its devices"
}

// title is the container's name, engine, short id and, unless that is root, user, as far as they are known.
func (c ContainerInfo) title() string {
	name, about := fullName(c.Namespace, c.Pod, c.Name), []string{}
	if c.Engine != "" {
		about = append(about, c.Engine)
	}
	id := shortID(c.ID)
	switch {
	case name != "" && id != "":
		name, about = word(name), append(about, id)
	case name != "":
		name = word(name)
	case id != "":
		name = id
	case c.Bundle != "":
		name = c.Bundle
	default:
		name = "an example"
	}
	if c.UID != 0 {
		about = append(about, fmt.Sprintf("uid %d", c.UID))
	}
	if len(about) == 0 {
		return name
	}
	return name + " (" + strings.Join(about, ", ") + ")"
}

func (t *textWriter) requests(r *Report) {
	rows := make([][]string, 0, len(r.Requests))
	for _, q := range r.Requests {
		reason := ""
		// The reasons of an unserved request are the cause and what was tried, below.
		if q.Reason != "" && q.Status != plan.Unserved {
			reason = ": " + q.Reason
		}
		rows = append(rows, []string{word(q.Source), strconv.Quote(q.Value), q.Vendor, q.Status + reason})
	}
	if len(rows) == 0 {
		rows = [][]string{{"nothing"}}
	}
	t.labelled("asks:", rows)
}

// causes writes the errors, each with what to do about it.
func (t *textWriter) causes(r *Report) {
	for _, m := range r.Errors {
		t.line("")
		t.line("%-8s%s: %s", "cause:", m.Code, m.Message)
		if m.Hint != "" {
			t.line("%-8s%s", "fix:", m.Hint)
		}
	}
}

// attempts writes how the drivers took the requests; of several requests, which one.
func (t *textWriter) attempts(r *Report) {
	several := slices.ContainsFunc(r.Attempts, func(a plan.Attempt) bool { return a.Request != r.Attempts[0].Request })
	rows := make([][]string, 0, len(r.Attempts))
	for _, a := range r.Attempts {
		cells := []string{a.Driver, a.Status}
		if several && a.Request < len(r.Requests) {
			cells = append(cells, "for "+word(r.Requests[a.Request].Source))
		}
		if a.Reason != "" {
			cells = append(cells, a.Reason)
		}
		rows = append(rows, cells)
	}
	t.labelled("tried:", rows)
}

// grants writes what the container gets: the devices of each driver, and every edit.
func (t *textWriter) grants(r *Report) {
	var rows [][]string
	for _, g := range r.Grants {
		what := words(g.CDIDevices)
		if g.Delegate != nil {
			what = g.Delegate.Path + " " + words(g.Delegate.Env)
		}
		rows = append(rows, []string{"by " + g.Driver, what})
	}
	for e := range r.Edits.All() {
		label, detail := e.Row()
		rows = append(rows, []string{label, detail, string(*e.State())})
	}
	t.labelled("gives:", rows)
}

// unseen writes what explain could not look at.
func (t *textWriter) unseen(r *Report) {
	for _, what := range r.Unseen {
		t.line("\nnot seen: %s", what)
	}
}

func (t *textWriter) messages(kind string, messages []Message) {
	for _, m := range messages {
		t.line("\n%s %s: %s", kind, m.Code, m.Message)
		if m.Hint != "" {
			t.line("  fix: %s", m.Hint)
		}
	}
}
