package hook

import (
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Report is what is said of one container: what it asked for, what was decided and why, and what became of it. Its JSON
// form is a contract with scripts; lists are never null.
type Report struct {
	Container  ContainerInfo   `json:"container"`
	Requests   []*Request      `json:"requests"`
	Attempts   []Attempt       `json:"attempts"`
	Grants     []Grant         `json:"grants"`
	CDIDevices []string        `json:"cdiDevices"`
	Edits      *devices.Edits  `json:"edits"`
	Warnings   []Message       `json:"warnings"`
	Errors     []Message       `json:"errors"`
	Result     string          `json:"result"`
	Time       time.Time       `json:"time"`
	Phases     []Phase         `json:"phases"`
	lastPhase  time.Time       `json:"-"`
	delegates  []plannedHandle `json:"-"`
}

// ContainerInfo names the container.
type ContainerInfo struct {
	ID         string `json:"id"`
	Bundle     string `json:"bundle"`
	Engine     string `json:"engine"`
	Privileged bool   `json:"privileged"`
	Stage      string `json:"stage"`
}

// Attempt is one driver tried for one request; Request is its index.
type Attempt struct {
	Request int    `json:"request"`
	Vendor  string `json:"vendor"`
	Driver  string `json:"driver"`
	Status  string `json:"status"` // chosen, failed or skipped
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
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
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
	resultApplied = "applied" // done
	resultPlanned = "planned" // it could be done
	resultNothing = "nothing" // nothing to do
	resultRefused = "refused" // found out beforehand; nothing was touched
	resultFailed  = "failed"  // while it was being done
)

func newReport(stage string) *Report {
	now := time.Now()
	return &Report{
		Container: ContainerInfo{Stage: stage},
		Requests:  []*Request{}, Attempts: []Attempt{}, Grants: []Grant{}, CDIDevices: []string{}, Edits: devices.NewEdits(),
		Warnings: []Message{}, Errors: []Message{}, Result: resultNothing, Time: now.UTC(), Phases: []Phase{}, lastPhase: now,
	}
}

func (r *Report) describe(c *state.Container) {
	r.Container.ID, r.Container.Bundle = c.State.ID, c.State.Bundle
	r.Container.Engine, r.Container.Privileged = c.Engine(), c.Privileged()
}

// phase ends a stretch of the run.
func (r *Report) phase(name string) {
	now := time.Now()
	r.Phases = append(r.Phases, Phase{name, now.Sub(r.lastPhase).Microseconds()})
	r.lastPhase = now
}

func (r *Report) warn(f *fault.Error) { r.Warnings = append(r.Warnings, message(f)) }

// fail ends the run with err.
func (r *Report) fail(result string, err error) {
	r.Result = result
	r.Errors = append(r.Errors, message(fault.From(err)))
}

// Failed says whether the run ended with an error.
func (r *Report) Failed() bool { return len(r.Errors) > 0 }

func message(f *fault.Error) Message {
	return Message{Code: f.Code, Message: plain(f.Error()), Hint: plain(f.Hint)}
}
