package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// Results of a check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn" // it works, but needs attention
	CheckFail = "fail" // it keeps containers from their devices
)

// Checkup is the result of checking the host and the installation. Its JSON form is a contract with scripts; lists are
// never null.
type Checkup struct {
	Host    string  `json:"host"` // what kind of host it is, in one line
	Checks  []Check `json:"checks"`
	Summary string  `json:"summary"` // one sentence

	// All makes the text list the checks that found nothing wrong.
	All bool `json:"-"`
}

// Check is one thing that was looked at.
type Check struct {
	Name    string   `json:"name"`
	Status  string   `json:"status"`
	Message string   `json:"message"`
	Hint    string   `json:"hint"`    // what to do: Fix, unless words are needed
	Details []string `json:"details"` // what the message was concluded from
	Fix     string   `json:"fix"`     // a command for this host that mends it, or ""
	Not     string   `json:"not"`     // what not to do although it tempts, and why, or ""

	// Cause is what is at the bottom of it. [Checkup.Put] merges checks with one cause, unless it is "".
	Cause string `json:"-"`
}

// Add adds a check.
func (c *Checkup) Add(name, status, message, hint string) {
	c.Put(Check{Name: name, Status: status, Message: message, Hint: hint})
}

// Put adds a check, unless one with its cause is there: that one takes its details then, and its status if it is worse.
func (c *Checkup) Put(check Check) {
	check.Message, check.Fix, check.Not = Plain(check.Message), Plain(check.Fix), Plain(check.Not)
	check.Hint = Plain(cmp.Or(check.Hint, check.Fix))
	for i, d := range check.Details {
		check.Details[i] = Plain(d)
	}
	if check.Details == nil {
		check.Details = []string{}
	}
	i := slices.IndexFunc(c.Checks, func(o Check) bool { return check.Cause != "" && o.Cause == check.Cause })
	if i < 0 {
		c.Checks = append(c.Checks, check)
		return
	}
	first := &c.Checks[i]
	for _, d := range append([]string{check.Message}, check.Details...) {
		if d != first.Message && !slices.Contains(first.Details, d) {
			first.Details = append(first.Details, d)
		}
	}
	if rank(check.Status) < rank(first.Status) {
		first.Status = check.Status
	}
}

func rank(status string) int { return slices.Index([]string{CheckFail, CheckWarn, CheckOK}, status) }

// Finish puts the worst checks first and draws the conclusion.
func (c *Checkup) Finish() {
	slices.SortStableFunc(c.Checks, func(a, b Check) int { return rank(a.Status) - rank(b.Status) })
	fails, warnings := c.count(CheckFail), c.count(CheckWarn)
	switch {
	case fails == 1:
		c.Summary = "One thing keeps containers from their devices: see 1."
	case fails > 1:
		c.Summary = fmt.Sprintf("%d things keep containers from their devices; begin with 1.", fails)
	case warnings == 1:
		c.Summary = "Containers can get their devices; one warning: see 1."
	case warnings > 1:
		c.Summary = fmt.Sprintf("Containers can get their devices; %d warnings.", warnings)
	default:
		c.Summary = "Containers can get their devices."
	}
}

func (c *Checkup) count(status string) (n int) {
	for _, check := range c.Checks {
		if check.Status == status {
			n++
		}
	}
	return n
}

// Failed reports whether something keeps containers from their devices.
func (c *Checkup) Failed() bool { return c.count(CheckFail) > 0 }

// textWidth is where the text breaks lines. Commands are not broken.
const textWidth = 118

// Text writes the checks for people: what is wrong, numbered, and what is fine if [Checkup.All] is set.
func (c *Checkup) Text(w io.Writer) error {
	out := &strings.Builder{}
	if c.Host != "" {
		out.WriteString(c.Host + "\n\n")
	}
	for i, check := range c.Checks {
		if check.Status != CheckOK {
			check.text(out, i+1)
		}
	}
	fine := c.count(CheckOK)
	for _, check := range c.Checks {
		if check.Status == CheckOK && c.All {
			fmt.Fprintf(out, "ok       %s: %s\n", check.Name, check.Message)
		}
	}
	what := "more"
	if fine == len(c.Checks) {
		what = "checks"
	}
	if !c.All && fine > 0 {
		fmt.Fprintf(out, "ok       %d %s (gpu-hook doctor --all)\n", fine, what)
	}
	if c.Summary != "" {
		out.WriteString("\n" + c.Summary + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// text writes a check that found something.
func (c Check) text(out *strings.Builder, number int) {
	label := fmt.Sprintf("%-4s %2d  ", strings.ToUpper(c.Status), number)
	indent := strings.Repeat(" ", len(label))
	out.WriteString(label + broken(c.Message, indent))
	const most = 8
	for _, d := range c.Details[:min(most, len(c.Details))] {
		out.WriteString(indent + broken(d, indent+"  "))
	}
	if more := len(c.Details) - most; more > 0 {
		fmt.Fprintf(out, "%sand %d more such lines (gpu-hook doctor --json)\n", indent, more)
	}
	switch {
	case c.Fix != "":
		out.WriteString(indent + "fix: " + c.Fix + "\n")
		if c.Hint != c.Fix {
			out.WriteString(indent + broken(c.Hint, indent+"  "))
		}
	case c.Hint != "":
		out.WriteString(indent + broken("fix: "+c.Hint, indent+"  "))
	}
	if c.Not != "" {
		out.WriteString(indent + broken("not: "+c.Not, indent+"  "))
	}
}

// broken breaks a text into lines, of which all but the first are indented.
func broken(text, indent string) string {
	var out strings.Builder
	column := len(indent)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > textWidth:
			out.WriteString("\n" + indent)
			column = len(indent)
		default:
			out.WriteString(" ")
			column++
		}
		out.WriteString(word)
		column += len(word)
	}
	return out.String() + "\n"
}

// LastRefused returns the newest record in runDir of a container that was not started, or nil if there is none or
// records cannot be trusted or read.
func LastRefused(runDir string) *Report {
	dir := recordsIn(runDir)
	if errors.Join(trust.CheckPrivate(runDir), trust.CheckPrivate(dir)) != nil {
		return nil
	}
	handle, names, err := files(dir)
	if err != nil {
		return nil
	}
	defer handle.Close()
	for _, s := range records(handle, names) {
		r, err := readRecord(handle, s)
		if err == nil && (r.Result == plan.ResultRefused || r.Result == plan.ResultFailed) {
			return r
		}
	}
	return nil
}

// Ago returns how long before now it was, in words.
func Ago(then, now time.Time) string {
	switch d := now.Sub(then); {
	case d < time.Minute:
		return "less than a minute ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}
