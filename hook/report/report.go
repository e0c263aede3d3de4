// Package report is what is said of one container: the object that explain and last print, its form for people, the
// record that a run leaves and its lines in the system log. It decides nothing about devices.
package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/state"
)

// Report is what is said of one container: what it asked for, what was decided and why, and what became of it. Its JSON
// form is a contract with scripts; lists are never null.
type Report struct {
	Container  ContainerInfo  `json:"container"`
	Requests   []plan.Request `json:"requests"`
	Attempts   []plan.Attempt `json:"attempts"`
	Grants     []plan.Grant   `json:"grants"`
	CDIDevices []string       `json:"cdiDevices"`
	Edits      *devices.Edits `json:"edits"`
	Warnings   []Message      `json:"warnings"`
	Errors     []Message      `json:"errors"`
	Unseen     []string       `json:"unseen"` // what explain could not look at
	Result     string         `json:"result"`
	Time       time.Time      `json:"time"`
	Phases     []Phase        `json:"phases"`

	explained bool // whether it is of a plan that is only explained
	kept      bool // whether the report was written as a record
}

// ContainerInfo names the container.
type ContainerInfo struct {
	ID         string `json:"id"`
	Bundle     string `json:"bundle"`
	Engine     string `json:"engine"`
	Privileged bool   `json:"privileged"`
	Stage      string `json:"stage"`
	Name       string `json:"name"` // the engine's, or the one in the pod
	Pod        string `json:"pod"`  // of Kubernetes
	Namespace  string `json:"namespace"`
	UID        int    `json:"uid"` // whose engine it is
	// Process is the container's process, as long as it lasts the container runs. It is in records alone.
	Process state.Lifetime `json:"process"`
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

// Run is one run for one container: whose it is, when it began and how long its stretches took.
type Run struct {
	Container ContainerInfo

	began     time.Time
	phases    []Phase
	lastPhase time.Time
}

// NewRun returns a run that has just begun.
func NewRun(stage string) Run {
	now := time.Now()
	return Run{Container: ContainerInfo{Stage: stage}, began: now, lastPhase: now, phases: []Phase{}}
}

// Began returns when the run began.
func (r *Run) Began() time.Time { return r.began.UTC() }

// Describe says whose run it is.
func (r *Run) Describe(c *state.Container) {
	r.Container.ID, r.Container.Bundle = c.State.ID, c.State.Bundle
	r.Container.Engine, r.Container.Privileged = c.Engine(), c.Privileged()
}

// SetNames says what the engine calls the container. For podman's that costs more than [Run.Describe].
func (c *ContainerInfo) SetNames(of *state.Container) {
	names := of.Names()
	c.Name, c.Pod, c.Namespace = bounded(names.Name), bounded(names.Pod), bounded(names.Namespace)
}

// bounded returns a name, or the beginning of one that is longer than engines allow.
func bounded(unsafeName string) string {
	const longest = 253 // bytes, under Kubernetes
	return strings.ToValidUTF8(unsafeName[:min(longest, len(unsafeName))], "")
}

// Phase ends a stretch of the run.
func (r *Run) Phase(name string) {
	now := time.Now()
	r.phases = append(r.phases, Phase{name, now.Sub(r.lastPhase).Microseconds()})
	r.lastPhase = now
}

// Make returns the report of a run that has come to this plan and, where it was carried out, to this outcome. It
// changes neither: the report has edits of its own.
func Make(run Run, p plan.Plan, o *plan.Outcome) *Report {
	r := &Report{
		Container: run.Container, Requests: append([]plan.Request{}, p.Requests...),
		Attempts: append([]plan.Attempt{}, p.Attempts...), Grants: append([]plan.Grant{}, p.Grants...),
		CDIDevices: append([]string{}, p.CDIDevices...), Edits: p.Edits().Clone(),
		Warnings: messages(p.Warnings), Errors: messages(p.Errors), Unseen: []string{}, Result: plan.ResultNothing,
		Time: run.Began(), Phases: append([]Phase{}, run.phases...),
	}
	switch {
	case p.Failed():
		r.Result = plan.ResultRefused
	case p.Ready():
		r.Result = plan.ResultPlanned
	}
	if o != nil {
		r.add(o)
	}
	if r.Failed() {
		r.notStarted()
	}
	return r
}

// add puts what became of the plan into its report.
func (r *Report) add(o *plan.Outcome) {
	r.Result, r.Edits = o.Result, o.Edits.Clone()
	delegated := (&devices.Edits{DeviceNodes: o.Delegated}).Clone()
	r.Edits.DeviceNodes = append(r.Edits.DeviceNodes, delegated.DeviceNodes...)
	r.Warnings = some(append(r.Warnings, messages(o.Warnings)...))
	r.Errors = some(append(r.Errors, messages(o.Errors)...))
	for i, f := range o.Forgone {
		r.Requests[i].Status, r.Requests[i].Reason = plan.Unserved, Plain(f.Error())
	}
	if len(o.Forgone) > 0 {
		r.Grants = slices.DeleteFunc(r.Grants, func(g plan.Grant) bool { return o.Forgone[g.Request] != nil })
		r.CDIDevices = plan.Names(r.Grants)
	}
	for i, g := range r.Grants {
		if g.Delegate != nil && o.Output[g.Delegate.Path] != "" {
			said := *g.Delegate
			said.Output = Plain(o.Output[g.Delegate.Path])
			r.Grants[i].Delegate = &said
		}
	}
}

// notStarted brings the statuses in line with a container that does not start.
func (r *Report) notStarted() {
	for i := range r.Requests {
		if q := &r.Requests[i]; q.Status == "" || q.Status == plan.Granted {
			q.Status, q.Reason = plan.Unserved, "the container does not start"
		}
	}
	if r.Result != plan.ResultFailed {
		return
	}
	for e := range r.Edits.All() {
		if *e.State() == devices.Applied && e.Undone() {
			*e.State() = devices.Apply // it was taken back
		}
	}
}

// Explain makes it the report of a plan that nobody carries out. unseen is what could not be looked at.
func (r *Report) Explain(unseen []string) {
	r.explained, r.Unseen = true, append(r.Unseen, unseen...)
}

// Warn adds a warning.
func (r *Report) Warn(f *fault.Error) { r.Warnings = append(r.Warnings, message(f)) }

// Failed reports whether the run ended with an error.
func (r *Report) Failed() bool { return len(r.Errors) > 0 }

// messages returns the messages of the faults. Of many they are the first ones and one that says how many follow.
func messages(list []*fault.Error) []Message {
	out := []Message{}
	for _, f := range list[:min(len(list), limits.Messages)] {
		out = append(out, message(f))
	}
	if len(list) > limits.Messages {
		out = append(out, more(list[limits.Messages].Code(), len(list)-limits.Messages))
	}
	return out
}

// some returns the messages or, of many, the first ones and one that says that more follow. What one container says of
// itself must flood neither the system's log nor the record.
func some(list []Message) []Message {
	if len(list) <= limits.Messages+1 {
		return list
	}
	return append(list[:limits.Messages:limits.Messages], more(list[limits.Messages].Code, len(list)-limits.Messages))
}

// more is the message in the place of n others, the first of which has this code.
func more(code fault.Code, n int) Message {
	return Message{Code: code, Message: fmt.Sprintf("%d more messages are left out", n)}
}

func message(f *fault.Error) Message {
	return Message{Code: f.Code(), Message: Plain(f.Error()), Hint: Plain(f.Hint())}
}
