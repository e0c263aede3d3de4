package report

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/plan"
)

// Text writes the report as text for people. Everything in it that a container controls is quoted or was checked.
func (r *Report) Text(w io.Writer) error {
	t := &textWriter{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.container(r)
	t.requests(r)
	t.grants(r)
	t.edits(r)
	t.messages("warning", r.Warnings)
	t.messages("error", r.Errors)
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

func (t *textWriter) container(r *Report) {
	name := r.Container.ID
	if name == "" {
		name = r.Container.Bundle
	}
	if name == "" {
		name = "(an example)"
	}
	engine := ""
	if r.Container.Engine != "" {
		engine = " (" + r.Container.Engine + ")"
	}
	t.line("container %s%s: %s", name, engine, r.Result)
	var total int64
	for _, p := range r.Phases {
		total += p.Microseconds
	}
	t.line("%s %s, %.1f ms", r.Container.Stage, r.Time.Format(time.RFC3339), float64(total)/1000)
}

func (t *textWriter) requests(r *Report) {
	if len(r.Requests) == 0 {
		t.line("\nasked for: nothing")
		return
	}
	t.line("\nasked for:")
	for i, q := range r.Requests {
		reason := ""
		// The reasons of an unserved request are written with its drivers, below.
		if q.Reason != "" && q.Status != plan.Unserved {
			reason = ": " + q.Reason
		}
		t.line("  %s\t%s\t%s\t%s%s", word(q.Source), strconv.Quote(q.Value), q.Vendor, q.Status, reason)
		for _, a := range r.Attempts {
			if a.Request == i {
				t.line("    driver %s\t%s\t\t%s", a.Driver, a.Status, a.Reason)
			}
		}
	}
}

func (t *textWriter) grants(r *Report) {
	if len(r.Grants) == 0 {
		return
	}
	t.line("\ngiven:")
	for _, g := range r.Grants {
		if g.Delegate != nil {
			t.line("  by %s\t%s %s", g.Driver, g.Delegate.Path, words(g.Delegate.Env))
			continue
		}
		t.line("  by %s\t%s", g.Driver, words(g.CDIDevices))
	}
}

func (t *textWriter) edits(r *Report) {
	for e := range r.Edits.All() {
		label, detail := e.Row()
		t.line("  %s\t%s\t%s", label, detail, *e.State())
	}
}

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
