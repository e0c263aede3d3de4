package hook

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/containers"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Example describes a container that does not exist, for explain without a bundle.
type Example struct {
	GPUs        *string // what Docker's --gpus would be, in place of the annotation gpu-hook/gpus; nil for nothing
	Env         []string
	Annotations map[string]string
	Mounts      []string // SRC:DST
	Privileged  bool
}

// Explain returns the report on the plan for the example, which has no root filesystem.
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

// ExplainBundle returns the report on the plan for the bundle: what createRuntime would do. There is no process to
// check or change.
func ExplainBundle(o Options, bundle string) *report.Report {
	var s state.State
	s.Bundle = bundle
	return explainState(o, s)
}

// ExplainState returns the report on the plan for the container whose state is read from r.
func ExplainState(o Options, r io.Reader) *report.Report {
	s, err := state.Read(r)
	if err != nil {
		return newStart(StageCreateRuntime).unexplained(err)
	}
	return explainState(o, s)
}

// explainState returns the report on the plan for the container with this state.
func explainState(o Options, s state.State) *report.Report {
	container, err := state.Load(s)
	if err != nil {
		start := newStart(StageCreateRuntime)
		start.run.Container.Bundle = s.Bundle
		return start.unexplained(err)
	}
	return explain(o, container, nil, true)
}

// explain returns the report on the plan for the container. flag is a request in Docker's syntax, or nil. Without
// hasRoot the container's root filesystem is not checked.
func explain(o Options, container *state.Container, flag *string, hasRoot bool) *report.Report {
	// The hook knows a rootless podman by the runtime's parent. Here only the flag or the bundle can name the engine.
	container.Identify(cmp.Or(o.Engine, container.Claimed()), nil)
	s := newStart(StageCreateRuntime)
	s.container = container
	s.run.Describe(container)
	check := s.checkRoot
	if !hasRoot {
		check = func() error { return nil }
	}
	s.explain(o, flag, check)
	return s.Report
}

// unexplained returns the report of a container that cannot be read because of err.
func (s *Start) unexplained(err error) *report.Report {
	s.refuse(err)
	s.Report.Explain(nil)
	return s.Report
}

// explain plans, and makes the report of it. check finds the root filesystem.
func (s *Start) explain(o Options, flag *string, check func() error) {
	s.makePlan(o, flag, check)
	if s.root != "" {
		s.draft.Foresee(s.look)
	}
	s.finish()
	if engine := s.container.Engine(); s.isLate() && (engine == "" || engine == state.Podman) {
		s.unseen = append(s.unseen, "podman's precreate stage, at which gpu-hook makes most of what is late: "+
			"gpu-hook doctor says whether podman calls it there")
	}
	s.Report.Explain(s.unseen)
}

// isLate reports whether the plan has edits that createRuntime cannot make.
func (s *Start) isLate() bool {
	is := func(m report.Message) bool { return m.Code == fault.Late || m.Code == fault.LateEdit }
	return slices.ContainsFunc(s.Report.Warnings, is) || slices.ContainsFunc(s.Report.Errors, is)
}

// look finds out which of the edits could not be made in the container, as far as it can be seen from outside.
func (s *Start) look(edits *devices.Edits) (notes []*fault.Error, err error) {
	var result inject.Result
	err = s.target(false).Foresee(edits, &result)
	return result.Skipped, err
}

// ParseAnnotation splits an annotation written as KEY=VALUE. The key must not be empty.
func ParseAnnotation(pair string) (key, value string, err error) {
	key, value, found := strings.Cut(pair, "=")
	if !found || key == "" {
		return "", "", fmt.Errorf("%q is not of the form KEY=VALUE", pair)
	}
	return key, value, nil
}

// Last returns the newest record or, if nameOrID is not "", that of the container with this name or id. The beginning
// of an id is enough if no other begins so. If a container has no record, the error says why. A configuration that
// cannot be read is a warning, because the records of the runs that failed for it are worth reading.
func Last(o Options, view containers.View, nameOrID string) (*report.Report, error) {
	c, configErr := o.Load()
	r, err := last(o, c.RunDir(), view, nameOrID)
	if f := fault.From(configErr); err == nil && f != nil {
		r.Warn(fault.New(fault.ConfigNote, "configuration of now", "%w", f).WithHint("%s", f.Hint()))
	}
	return r, err
}

// last returns the record that [Last] does. A container of that name is meant before one whose id begins so, and one
// that is there before one that is gone; but one of the view's own user always before another's, who can give it any
// name and id.
func last(o Options, runDir string, view containers.View, nameOrID string) (*report.Report, error) {
	if nameOrID == "" {
		return report.Last(runDir, "")
	}
	found, findErr := containers.Find(view, nameOrID)
	isOwn := findErr == nil && found.UID == view.UID
	if isOwn && found.Called(nameOrID) {
		return lastOf(o, runDir, found)
	}
	r, err := report.Last(runDir, nameOrID)
	switch {
	case err == nil:
		return r, nil
	case isOwn:
		return lastOf(o, runDir, found)
	case findErr != nil && !errors.Is(findErr, containers.ErrUnknown):
		return nil, findErr
	}
	if named, err := report.Named(runDir, nameOrID); err == nil {
		return named, nil
	}
	if findErr == nil {
		return lastOf(o, runDir, found)
	}
	if hint := fault.From(findErr).Hint(); strings.HasPrefix(hint, "did you mean") {
		return nil, fault.From(err).WithHint("%s", hint)
	}
	return nil, err
}
