package report

import (
	"strconv"
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
	head := "gpu-hook: " + string(m.Code) + ": "
	out := []string{head + narrow(m.Message, maxColumns-len(head))}
	if m.Hint != "" {
		out = append(out, "gpu-hook: fix: "+m.Hint)
	}
	return out
}

// narrow shortens the message to the columns if it begins with a request whose value can be cut. The cause, which
// follows the value, stays whole, even if the message is wider for it.
func narrow(message string, columns int) string {
	excess := utf8.RuneCountInString(message) - columns
	source, rest, found := strings.Cut(message, " ")
	if excess <= 0 || !found {
		return message
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil || !strings.HasPrefix(quoted, `"`) || !strings.HasPrefix(rest[len(quoted):], ": ") {
		return message
	}
	value, err := strconv.Unquote(quoted)
	if err != nil {
		return message
	}
	runes := []rune(value)
	keep := max(len(runes)-excess-1, minValue) // one for the ellipsis
	if keep >= len(runes)-1 {
		return message
	}
	return source + " " + strconv.Quote(string(runes[:keep])+"…") + rest[len(quoted):]
}
