package hook

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Example is a container that is not there: what explain is asked about without a bundle.
type Example struct {
	GPUs        *string // value of gpu-hook/gpus, as --gpus
	Env         []string
	Annotations map[string]string
	Mounts      []string // SRC:DST
	Privileged  bool
}

// Explain reports the plan for a container that is not there. It has no root filesystem.
func (e Example) Explain(o Options) (*report.Report, error) {
	process := &specs.Process{Env: e.Env, Capabilities: &specs.LinuxCapabilities{}}
	if e.Privileged {
		process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"}
	}
	spec := &specs.Spec{Version: specs.Version, Process: process, Annotations: maps.Clone(e.Annotations)}
	for _, m := range e.Mounts {
		source, destination, found := strings.Cut(m, ":")
		if !found || source == "" || destination == "" {
			return nil, fault.New(fault.Request, "mount "+m, "it is not of the form SRC:DST")
		}
		spec.Mounts = append(spec.Mounts, specs.Mount{Source: source, Destination: destination})
	}
	return explain(o, &state.Container{Spec: spec}, e.GPUs, false), nil
}

// ExplainBundle reports the plan for the bundle: what createRuntime would do, without a process to check or change.
func ExplainBundle(o Options, bundle string) *report.Report {
	var s state.State
	s.Bundle = bundle
	return explainState(o, s)
}

// ExplainState reports the plan for the container whose state is read from r.
func ExplainState(o Options, r io.Reader) *report.Report {
	s, err := state.Read(r)
	if err != nil {
		return newStart(StageCreateRuntime).refuse(err).Report
	}
	return explainState(o, s)
}

func explainState(o Options, s state.State) *report.Report {
	container, err := state.Load(s)
	if err != nil {
		start := newStart(StageCreateRuntime)
		start.run.Container.Bundle = s.Bundle
		return start.refuse(err).Report
	}
	return explain(o, container, nil, true)
}

func explain(o Options, container *state.Container, flag *string, hasRoot bool) *report.Report {
	// Of a rootless podman's bundle nothing else tells: the hook will know it by the runtime's parent.
	container.Identify(cmp.Or(o.Engine, container.Claimed()), nil)
	s := newStart(StageCreateRuntime)
	s.container = container
	s.run.Describe(container)
	check := s.checkRoot
	if !hasRoot {
		check = func() error { return nil }
	}
	s.makePlan(o, flag, check)
	return s.finish().Report
}

// ParseAnnotation reads K=V.
func ParseAnnotation(pair string) (key, value string, err error) {
	key, value, found := strings.Cut(pair, "=")
	if !found || key == "" {
		return "", "", fmt.Errorf("%q is not of the form KEY=VALUE", pair)
	}
	return key, value, nil
}

// Last reads the newest record, or the one of the container whose id is, or alone begins with, id. A configuration that
// cannot be read is a warning: the records of the runs that it made fail are worth reading.
func Last(o Options, id string) (*report.Report, error) {
	c, configErr := o.Load()
	r, err := report.Last(c.RunDir(), id)
	if f := fault.From(configErr); err == nil && f != nil {
		r.Warn(fault.New(fault.ConfigNote, "configuration of now", "%w", f).WithHint("%s", f.Hint()))
	}
	return r, err
}
