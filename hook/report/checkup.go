package report

import (
	"io"
	"text/tabwriter"
)

// How a check came out.
const (
	CheckOK   = "ok"
	CheckWarn = "warn" // it works, but look at it
	CheckFail = "fail" // it does not work
)

// Checkup is what a look over the installation found. Its JSON form is a contract with scripts; lists are never null.
type Checkup struct {
	Checks []Check `json:"checks"`
}

// Check is one thing that was looked at.
type Check struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Add adds a check.
func (c *Checkup) Add(name, status, message, hint string) {
	c.Checks = append(c.Checks, Check{name, status, Plain(message), Plain(hint)})
}

// Failed reports whether something does not work.
func (c *Checkup) Failed() bool {
	for _, check := range c.Checks {
		if check.Status == CheckFail {
			return true
		}
	}
	return false
}

// Text writes the checks for people.
func (c *Checkup) Text(w io.Writer) error {
	t := &textWriter{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	for _, check := range c.Checks {
		t.line("%s\t%s\t%s", check.Status, check.Name, check.Message)
		if check.Hint != "" {
			t.line("\t\t  hint: %s", check.Hint)
		}
	}
	return t.Flush()
}
