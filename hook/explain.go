package hook

import (
	"io"
	"maps"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/trust"
)

// Example is a container that is not there: what explain is asked about without a bundle.
type Example struct {
	GPUs        string // value of gpu-hook/gpus, as --gpus
	HasGPUs     bool
	Env         []string
	Annotations map[string]string
	Privileged  bool
}

// Container makes the container of the example. It has no root filesystem.
func (e Example) Container() *state.Container {
	process := &specs.Process{Env: e.Env, Capabilities: &specs.LinuxCapabilities{}}
	if e.Privileged {
		process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"}
	}
	annotations := maps.Clone(e.Annotations)
	return &state.Container{Spec: &specs.Spec{Version: specs.Version, Process: process, Annotations: annotations}}
}

// ExplainExample reports the plan for a container that is not there.
func ExplainExample(o Options, e Example) *Report {
	var flag *string
	if e.HasGPUs {
		flag = &e.GPUs
	}
	return explain(o, e.Container(), flag, false)
}

// ExplainBundle reports the plan for the bundle: what createRuntime would do, without a process to check or change.
func ExplainBundle(o Options, bundle string) *Report {
	var s state.State
	s.Bundle = bundle
	return explainState(o, s)
}

// ExplainState reports the plan for the container whose state is read from r.
func ExplainState(o Options, r io.Reader) *Report {
	s, err := state.Read(r)
	if err != nil {
		report := newReport(StageCreateRuntime)
		report.fail(resultRefused, err)
		return report
	}
	return explainState(o, s)
}

func explainState(o Options, s state.State) *Report {
	container, err := state.Load(s)
	if err != nil {
		report := newReport(StageCreateRuntime)
		report.Container.Bundle = s.Bundle
		report.fail(resultRefused, err)
		return report
	}
	return explain(o, container, nil, true)
}

func explain(o Options, container *state.Container, flag *string, hasRoot bool) *Report {
	report := newReport(StageCreateRuntime)
	report.describe(container)
	config, err := o.load()
	won := winners(config, container, flag, report)
	if err != nil {
		report.fail(resultRefused, err)
	}
	if len(won) == 0 || report.Failed() {
		settle(report)
		return report
	}
	p := &planner{config: config, container: container, owner: trust.Root(), report: report}
	if hasRoot {
		p.root, err = container.Root()
	}
	if err == nil {
		err = p.plan(won)
	}
	report.phase("plan")
	switch {
	case err != nil:
		report.fail(resultRefused, err)
	case len(report.Grants) > 0:
		report.Result = resultPlanned
	}
	settle(report)
	return report
}

// ParseAnnotation reads K=V.
func ParseAnnotation(pair string) (key, value string, err error) {
	key, value, found := strings.Cut(pair, "=")
	if !found || key == "" {
		return "", "", fault.New(fault.Request, "annotation "+pair, "it is not of the form KEY=VALUE")
	}
	return key, value, nil
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
