package report

import (
	"strings"
	"unicode/utf8"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// maxColumns is the width that an error's first line has where a shorter value of its request makes that possible.
const maxColumns = 120

// Bounds of what is shown of a long text: the characters of a request's value, and those of a container's id.
const (
	minValue = 32
	shownID  = 12
)

// Lines are the report's errors as they go to standard error: what is wrong, what to do about it and, if the run left a
// record, where to read more.
func (r *Report) Lines() []string {
	var out []string
	for _, m := range r.Errors {
		m.Message = r.narrow(m)
		out = append(out, m.lines()...)
	}
	if r.kept && len(out) > 0 {
		out = append(out, "gpu-hook: more: gpu-hook last "+shortID(r.Container.ID))
	}
	return out
}

// shortID returns the beginning of a container's id that engines show of a long one.
func shortID(id string) string {
	if len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" {
		return id[:shownID]
	}
	return id
}

// Lines is an error as it goes to standard error: one line with its code, and another with what to do.
func Lines(err error) []string { return message(fault.From(err)).lines() }

func (m Message) lines() []string {
	out := []string{m.head() + m.Message}
	if m.Hint != "" {
		out = append(out, "gpu-hook: fix: "+m.Hint)
	}
	return out
}

// head is what stands before the message.
func (m Message) head() string { return "gpu-hook: " + string(m.Code) + ": " }

// narrow shortens a message to one line's columns where it names requests whose values can be cut: those that the line
// has too much, and none to less than minValue characters. The cause stays whole, even if the line is wider for it.
func (r *Report) narrow(m Message) string {
	text := m.Message
	for _, q := range r.Requests {
		excess := utf8.RuneCountInString(m.head()+text) - maxColumns
		times := strings.Count(text, q.String())
		if excess <= 0 || times == 0 {
			continue
		}
		keep := utf8.RuneCountInString(q.Value) - (excess+times-1)/times
		text = strings.ReplaceAll(text, q.String(), q.Short(max(keep, minValue)))
	}
	return text
}
