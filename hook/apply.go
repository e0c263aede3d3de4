package hook

import (
	"context"
	"errors"
	"time"

	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/state"
)

// Apply carries the plan out, until ctx ends or the configured time is over. A container that asks for nothing leaves
// no trace. For any other the outcome is in the report, in its record and, if there was something to say, in the
// system's log; on failure the container must not start.
func (s *Start) Apply(ctx context.Context) {
	if s.process != nil {
		defer s.process.Close()
	}
	if s.Silent() {
		return
	}
	if s.container == nil || !s.plan.Failed() && !s.draft.Notable() {
		s.Report.Tell() // a container that asks for nothing leaves no record
		return
	}
	if s.plan.Ready() {
		// Planning counts.
		ctx, cancel := context.WithDeadline(ctx, s.run.Began().Add(time.Duration(s.config.Limits.Timeout)))
		outcome := s.guardedApply(ctx)
		cancel()
		s.Report = report.Make(s.run, s.plan, &outcome)
	}
	s.name()
	s.Report.Keep(s.config.RunDir(), s.config.Record.Keep)
	s.Report.Tell()
}

// name puts into the report what only a record has: what the engine calls the container and, if it starts, its process.
func (s *Start) name() {
	c := &s.Report.Container
	c.SetNames(s.container)
	if s.Report.Failed() {
		return
	}
	// A process that cannot be identified is that of no container that runs, as far as the record tells.
	c.Process, _ = state.LifetimeOf(s.container.State.Pid)
}

// guardedApply is apply, of which a panic fails the start.
func (s *Start) guardedApply(ctx context.Context) (outcome plan.Outcome) {
	err := fault.Guard(func() error {
		outcome = s.apply(ctx)
		return nil
	})
	if err != nil {
		outcome = plan.NewOutcome()
		outcome.Edits = s.plan.Copy().Edits()
		outcome.Fail(err)
	}
	return outcome
}

// apply carries out what was asked for and then each wish. A wish that fails is undone, and the container starts
// without it.
func (s *Start) apply(ctx context.Context) plan.Outcome {
	p, o := s.plan.Copy(), plan.NewOutcome()
	o.Edits = p.Edits()
	if _, err := s.carryOut(ctx, p.Asked, false, &o); err != nil {
		o.Fail(err)
		return o
	}
	var without *fault.Error // why there are no GPUs, to those wishes that are for something beside them
	for _, w := range p.Wishes {
		if w.Forgone {
			continue
		}
		if without != nil && w.Beside {
			o.Forgo(p, w, without)
			continue
		}
		left, err := s.carryOut(ctx, w, true, &o)
		switch {
		case err == nil:
			continue
		case left != nil:
			o.Fail(errors.Join(err, left))
			return o
		case fault.Panicked(err): // we have a defect, and what else is true of the container is not known
			o.Fail(err)
			return o
		case errors.Is(ctx.Err(), context.Canceled): // we were told to end, which is no fault of the wish
			o.Fail(err)
			return o
		}
		without = fault.From(err)
		o.Forgo(p, w, without)
	}
	if o.Nothing(p) {
		o.Result = plan.ResultNothing
	}
	return o
}

// carryOut carries one part of the plan out and adds to the outcome what there is to say of it. left is what could not
// be undone of a wish that failed.
func (s *Start) carryOut(ctx context.Context, p plan.Part, wish bool, o *plan.Outcome) (left, err error) {
	// Edits that are present need nothing, but their device rules may.
	if len(p.Requests) == 0 {
		return nil, nil
	}
	result, err := s.target(wish).Apply(ctx, p.Edits, delegates(p))
	s.run.Phase("apply")
	if err == nil || !wish {
		o.Delegated = append(o.Delegated, result.Delegated...)
	}
	for i, text := range result.Said {
		o.Output[p.Delegates[i].Path] = text
	}
	o.Warnings = append(o.Warnings, result.Skipped...)
	if result.NoCgroup != nil {
		o.Warn(fault.New(fault.CgroupNote, "device rules", "%w", result.NoCgroup).
			WithHint("if the device cannot be opened, let the runtime make a cgroup for the container"))
	}
	o.Warnings = append(o.Warnings, result.Notes...)
	if err != nil {
		for _, program := range result.Foreign {
			o.Warn(fault.New(fault.Leftover, program, "what it did in the container's root filesystem cannot be undone").
				WithHint("look there before you start the container again"))
		}
		return result.Left, err
	}
	if len(p.Delegates) > 0 && len(result.Delegated) == 0 {
		o.Warn(fault.New(fault.NoNode, "delegate "+p.Delegates[0].Path,
			"it ended well, but no new device node has appeared in the container's own /dev; those that were there keep "+
				"their rules").
			WithHint("look at its own log: debug under [nvidia-container-cli] in %s", s.config.NVIDIA.RuntimeConfig))
	}
	return nil, nil
}

func (s *Start) target(wish bool) *inject.Target {
	return &inject.Target{
		Container: s.container, Process: s.process, Root: s.root, StateJSON: s.container.State.Raw, RunDir: s.config.RunDir(),
		Owner: s.config.Self.Owner, Namespaced: s.config.Self.Namespaced,
		Optional: s.config.CDI.Rule, Wish: wish, NothingInRoot: s.container.Engine() == state.Buildah,
	}
}

func delegates(p plan.Part) []inject.Delegate {
	var out []inject.Delegate
	for _, d := range p.Delegates {
		out = append(out, inject.Delegate{Path: d.Path, Args: d.Args, Files: d.Files})
	}
	return out
}
