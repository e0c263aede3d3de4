package report

import (
	"io"
	"text/tabwriter"
)

// Results of a check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn" // it works, but needs attention
	CheckFail = "fail" // it does not work
)

// Checkup is the result of checking the installation. Its JSON form is a contract with scripts; lists are never null.
type Checkup struct {
	Checks []Check `json:"checks"`
}

// Check is the result of one check.
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

// Failed reports whether a check failed.
func (c *Checkup) Failed() bool {
	for _, check := range c.Checks {
		if check.Status == CheckFail {
			return true
		}
	}
	return false
}

// Text writes the checks as text for people.
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
