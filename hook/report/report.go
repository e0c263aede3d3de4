// Package report is what is said of one container: the object that explain and last print, its form for people, the
// record that a run leaves and its lines in the system log. It decides nothing about devices.
package report

import (
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Report is what is said of one container: what it asked for, what was decided and why, and what became of it. Its JSON
// form is a contract with scripts; lists are never null.
type Report struct {
	Container  ContainerInfo  `json:"container"`
	Requests   []*Request     `json:"requests"`
	Attempts   []Attempt      `json:"attempts"`
	Grants     []Grant        `json:"grants"`
	CDIDevices []string       `json:"cdiDevices"`
	Edits      *devices.Edits `json:"edits"`
	Warnings   []Message      `json:"warnings"`
	Errors     []Message      `json:"errors"`
	Result     string         `json:"result"`
	Time       time.Time      `json:"time"`
	Phases     []Phase        `json:"phases"`

	lastPhase time.Time
}

// Request is what one source asks of one vendor.
type Request struct {
	Source       string   `json:"source"`
	Value        string   `json:"value"`
	Vendor       string   `json:"vendor"`
	Driver       string   `json:"driver"`
	Devices      []string `json:"devices"`
	Capabilities []string `json:"capabilities"`
	Status       string   `json:"status"`
	Reason       string   `json:"reason"`
}

// What has become of a request.
const (
	Granted    = "granted"
	Overridden = "overridden"
	Refused    = "refused"
	Empty      = "empty"    // an explicit nothing
	Unserved   = "unserved" // no driver could serve it
	Present    = "present"  // the engine serves it itself
)

// ContainerInfo names the container.
type ContainerInfo struct {
	ID         string `json:"id"`
	Bundle     string `json:"bundle"`
	Engine     string `json:"engine"`
	Privileged bool   `json:"privileged"`
	Stage      string `json:"stage"`
}

// Attempts' statuses.
const (
	Chosen  = "chosen"
	Failed  = "failed"
	Skipped = "skipped"
)

// Attempt is one driver tried for one request; Request is its index.
type Attempt struct {
	Request int    `json:"request"`
	Vendor  string `json:"vendor"`
	Driver  string `json:"driver"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Hint    string `json:"hint"`
}

// Grant is a request with the driver that serves it.
type Grant struct {
	Request    int           `json:"request"`
	Vendor     string        `json:"vendor"`
	Driver     string        `json:"driver"`
	CDIDevices []string      `json:"cdiDevices"`
	Delegate   *DelegateInfo `json:"delegate"`
}

// DelegateInfo is the vendor's own hook as it is run. Env are the variables that the request came to, which the hook
// finds in the config.json made for it.
type DelegateInfo struct {
	Path   string   `json:"path"`
	Args   []string `json:"args"`
	Env    []string `json:"env"`
	Output string   `json:"output"` // the end of what it wrote, on one line
}

// Message is a warning or an error.
type Message struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
}

// Phase is a stretch of the run with the time that it took.
type Phase struct {
	Name         string `json:"name"`
	Microseconds int64  `json:"microseconds"`
}

// Results.
const (
	ResultApplied = "applied" // done
	ResultPlanned = "planned" // it could be done
	ResultNothing = "nothing" // nothing to do
	ResultRefused = "refused" // found out beforehand; nothing was touched
	ResultFailed  = "failed"  // while it was being done
)

// New returns the report of a run that has just begun; its lists are empty and not nil.
func New(stage string) *Report {
	now := time.Now()
	return &Report{
		Container: ContainerInfo{Stage: stage},
		Requests:  []*Request{}, Attempts: []Attempt{}, Grants: []Grant{}, CDIDevices: []string{}, Edits: devices.NewEdits(),
		Warnings: []Message{}, Errors: []Message{}, Result: ResultNothing, Time: now.UTC(), Phases: []Phase{}, lastPhase: now,
	}
}

// Describe says whose report it is.
func (r *Report) Describe(c *state.Container) {
	r.Container.ID, r.Container.Bundle = c.State.ID, c.State.Bundle
	r.Container.Engine, r.Container.Privileged = c.Engine(), c.Privileged()
}

// Phase ends a stretch of the run.
func (r *Report) Phase(name string) {
	now := time.Now()
	r.Phases = append(r.Phases, Phase{name, now.Sub(r.lastPhase).Microseconds()})
	r.lastPhase = now
}

// Warn adds a warning.
func (r *Report) Warn(f *fault.Error) { r.Warnings = append(r.Warnings, message(f)) }

// Fail ends the run with err.
func (r *Report) Fail(result string, err error) {
	r.Result = result
	r.Errors = append(r.Errors, message(fault.From(err)))
}

// Failed says whether the run ended with an error.
func (r *Report) Failed() bool { return len(r.Errors) > 0 }

func message(f *fault.Error) Message {
	return Message{Code: f.Code, Message: Plain(f.Error()), Hint: Plain(f.Hint)}
}

// Lines are the report's errors as they go to standard error.
func (r *Report) Lines() []string {
	var out []string
	for _, m := range r.Errors {
		out = append(out, m.lines()...)
	}
	return out
}

// Lines is an error as it goes to standard error: one line with its code, and its hint another.
func Lines(err error) []string { return message(fault.From(err)).lines() }

func (m Message) lines() []string {
	out := []string{"gpu-hook: " + string(m.Code) + ": " + m.Message}
	if m.Hint != "" {
		out = append(out, "gpu-hook: hint: "+m.Hint)
	}
	return out
}
