// Package hook decides what one container gets: it gathers the requests, settles which of them hold, finds a driver for
// each, has the plan carried out and reports all of it.
package hook

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
)

// StageCreateRuntime is the stage of runtime-spec that gpu-hook is registered for.
const StageCreateRuntime = "createRuntime"

// Options come from the command line, which is the administrator's.
type Options struct {
	Config   string   // "" for the default
	SpecDirs []string // over the configuration's
	Engine   string   // whose hook's definition it is, or ""
}

// load reads the configuration. With an error come the built-in rules, which then decide whether something is asked.
func (o Options) load() (*config.Config, error) {
	c, err := config.Load(o.Config)
	if len(o.SpecDirs) > 0 {
		c.CDI.SpecDirs = o.SpecDirs
	}
	return c, err
}

// Start is the start of one container, planned.
type Start struct {
	Report *report.Report

	config    *config.Config
	container *state.Container
	spec      []byte // as it was read, where there is no container yet
	won       []*request
	root      string
	process   *state.Process
	asked     part   // of the plan: what must be carried out
	wishes    []part // what may come to nothing, each by itself
}

// Plan plans for the container whose state stands on stdin, and changes nothing. A container that asks for nothing fails
// only if its state is none: nothing else was looked at. [Start.Apply] must follow.
func Plan(o Options, stdin io.Reader) *Start {
	s := &Start{Report: report.New(StageCreateRuntime)}
	st, err := state.Read(stdin)
	if err != nil {
		s.Report.Fail(report.ResultRefused, err)
		return s
	}
	if err := s.load(o, st); err != nil {
		s.unknown(o, st, err)
		return s
	}
	s.plan(o, nil, s.check)
	return s
}

// load finds the container of a state and settles whose it is.
func (s *Start) load(o Options, st state.State) (err error) {
	s.Report.Container.ID, s.Report.Container.Bundle = st.ID, st.Bundle
	caller := state.CallerOf(os.Getppid())
	if s.container, err = state.Load(st.Located(caller)); err != nil {
		return err
	}
	s.container.Identify(o.Engine, caller)
	s.Report.Describe(s.container)
	return nil
}

// unknown ends a run for a container whose config.json is not to be had: it is an error where the state says that something
// was asked for, else a warning, since most containers ask for nothing.
func (s *Start) unknown(o Options, st state.State, err error) {
	c, _ := o.load() // the prefixes are the built-in ones where it cannot be read
	if asksBy(st.Annotations, c.CDI.AnnotationPrefixes) != "" {
		s.Report.Fail(report.ResultRefused, err)
		return
	}
	f := fault.From(err)
	s.Report.Warn(fault.New(fault.BundleNote, "", "it is not known whether the container asks for anything, and it starts without: %w", err).WithHint("%s", f.Hint))
}

// checkRoot looks at the root filesystem.
func (s *Start) checkRoot() (err error) {
	if err := s.container.CheckNamespaces(); err != nil {
		return err
	}
	s.root, err = s.container.Root()
	return err
}

// check looks at the root filesystem and the process.
func (s *Start) check() (err error) {
	if err := s.checkRoot(); err != nil {
		return err
	}
	s.process, err = s.container.OpenProcess(s.config.Process.CheckParent)
	return err
}

// plan goes from the container to the plan in the report. check is what must hold of a container that asks.
func (s *Start) plan(o Options, flag *string, check func() error) {
	defer settle(s.Report)
	s.Report.Phase("state")
	var configErr error
	s.config, configErr = o.load()
	s.unmask()
	requests := s.contest(flag)
	if configErr != nil && (len(s.won) > 0 || s.notable()) {
		s.useless(configErr)
	}
	if s.Report.Failed() || len(s.won) == 0 {
		return
	}
	if err := check(); err != nil {
		s.useless(err)
		return
	}
	s.Report.Phase("check")
	p := &planner{
		config: s.config, container: s.container, root: s.root, owner: s.config.Self.Owner, report: s.Report, requests: requests,
		asked: newPart(),
	}
	err := p.plan(s.won)
	s.asked, s.wishes = p.asked, p.wishes
	s.Report.Phase("plan")
	switch {
	case err != nil:
		s.Report.Fail(report.ResultRefused, err)
	case len(s.Report.Grants) > 0:
		s.Report.Result = report.ResultPlanned
	}
}

// unmask warns of the annotation by which earlier versions of gpu-hook told one stage of the other. It counts for nothing.
func (s *Start) unmask() {
	if _, found := s.container.Spec.Annotations[AnnotationPlan]; found {
		s.Report.Warn(fault.New(fault.PlanNote, "annotation "+AnnotationPlan, "it counts for nothing").
			WithHint("gpu-hook neither writes nor reads it; remove it"))
	}
}

// contest records every request in the report, stores those that hold in s.won and returns all of them.
func (s *Start) contest(flag *string) []*request {
	requests := gather(s.config, s.container, flag)
	for _, r := range requests {
		s.Report.Requests = append(s.Report.Requests, r.Request)
	}
	won, warnings, err := contest(s.config, requests)
	if err == nil {
		var more []*fault.Error
		won, more, err = findOther(s.config, s.container).leave(requests, won)
		warnings = append(warnings, more...)
	}
	for _, w := range warnings {
		s.Report.Warn(w)
	}
	if doubt := doubted(s.container); doubt != nil && len(requests) > 0 {
		s.Report.Warn(doubt)
	}
	for _, r := range won {
		if len(r.asked.Options) > 0 {
			s.Report.Warn(fault.New(fault.Skipped, describe(r), "no driver takes options").WithHint("leave the options out"))
		}
	}
	if err != nil {
		s.Report.Fail(report.ResultRefused, err)
	}
	s.won = won
	s.Report.Phase("requests")
	return requests
}

// useless ends a run for a reason that has nothing to do with what was asked. Where that was a wish, the container starts
// without.
func (s *Start) useless(err error) {
	f := fault.From(err)
	if slices.ContainsFunc(s.won, func(r *request) bool { return !r.weak }) {
		s.Report.Fail(report.ResultRefused, err)
		return
	}
	if len(s.won) == 0 {
		s.Report.Warn(fault.New(fault.ConfigNote, "", "%w", f).WithHint("%s", f.Hint))
		return
	}
	for _, r := range s.won {
		r.Status, r.Reason = report.Unserved, report.Plain(f.Error())
		s.Report.Warn(fault.New(fault.Weak, describe(r), "the container starts without: %w", f).WithHint("%s", f.Hint))
	}
	s.won = nil
}

// notable reports whether this start deserves a record: it made a request, even one that came to nothing by a decision, or
// carried an annotation of ours that it should not.
func (s *Start) notable() bool {
	masked := slices.ContainsFunc(s.Report.Warnings, func(m report.Message) bool { return m.Code == fault.PlanNote })
	return masked || slices.ContainsFunc(s.Report.Requests, func(q *report.Request) bool { return q.Status != report.Empty })
}

// Apply carries the plan out, until ctx ends or the configured time is over. A container that asks for nothing leaves no
// trace. For any other the outcome is in the report, in its record and, if there was something to say, in the system's
// log; on failure the container must not start.
func (s *Start) Apply(ctx context.Context) {
	if s.process != nil {
		defer s.process.Close()
	}
	if s.container == nil {
		s.Report.Tell()
		return
	}
	if !s.Report.Failed() && !s.notable() {
		return
	}
	if s.Report.Result == report.ResultPlanned {
		ctx, cancel := context.WithDeadline(ctx, s.Report.Time.Add(time.Duration(s.config.Limits.Timeout))) // planning counts
		s.apply(ctx)
		cancel()
		settle(s.Report)
	}
	s.Report.Keep(s.config.RunDir(), s.config.Record.Keep)
	s.Report.Tell()
}

// apply carries out what was asked for and then each wish. A wish that fails is undone, and the container starts without
// it.
func (s *Start) apply(ctx context.Context) {
	if _, err := s.carryOut(ctx, s.asked, false); err != nil {
		s.Report.Fail(report.ResultFailed, err)
		return
	}
	s.Report.Result = report.ResultApplied
	var without *fault.Error // why there are no GPUs, to those wishes that are for something beside them
	for _, w := range s.wishes {
		if without != nil && w.beside() {
			forgo(s.Report, w, without)
			continue
		}
		left, err := s.carryOut(ctx, w, true)
		switch {
		case err == nil:
			continue
		case left != nil:
			s.Report.Fail(report.ResultFailed, errors.Join(err, left))
			return
		case errors.Is(ctx.Err(), context.Canceled): // we were told to end, which is no fault of the wish
			s.Report.Fail(report.ResultFailed, err)
			return
		}
		without = fault.From(err)
		forgo(s.Report, w, without)
	}
	if len(s.Report.Grants) == 0 {
		s.Report.Result = report.ResultNothing
	}
}

// carryOut carries one part of the plan out and puts what there is to say of it into the report. left is what could not be
// undone of a wish that failed.
func (s *Start) carryOut(ctx context.Context, p part, wish bool) (left, err error) {
	if p.empty() {
		return nil, nil
	}
	target := &inject.Target{
		Container: s.container, Process: s.process, Root: s.root, StateJSON: s.container.State.Raw, RunDir: s.config.RunDir(),
		Owner: s.config.Self.Owner, Namespaced: s.config.Self.Namespaced,
		Optional: s.config.CDI.Rule, Wish: wish, NothingInRoot: s.container.Engine() == state.Buildah,
	}
	result, err := target.Apply(ctx, p.edits, p.delegates)
	s.Report.Phase("apply")
	if err == nil || !wish {
		s.Report.Edits.DeviceNodes = append(s.Report.Edits.DeviceNodes, result.Delegated...)
	}
	s.said(p, result.Said)
	for _, f := range result.Skipped {
		s.Report.Warn(f)
	}
	if result.NoCgroup != nil {
		s.Report.Warn(fault.New(fault.CgroupNote, "device rules", "%w", result.NoCgroup).WithHint("if the device cannot be opened, let the runtime make a cgroup for the container"))
	}
	for _, note := range result.Notes {
		s.Report.Warn(note)
	}
	if err != nil {
		for _, program := range result.Foreign {
			s.Report.Warn(fault.New(fault.Leftover, program, "what it did in the container's root filesystem cannot be undone").WithHint("look there before you start the container again"))
		}
		return result.Left, err
	}
	if len(p.delegates) > 0 && len(result.Delegated) == 0 {
		s.Report.Warn(fault.New(fault.NoNode, "delegate "+p.delegates[0].Path, "it ended well, but no new device node has appeared in the container's own /dev; those that were there keep their rules").
			WithHint("look at its own log: debug under [nvidia-container-cli] in %s", s.config.NVIDIA.RuntimeConfig))
	}
	return nil, nil
}

// said puts what the delegates wrote to their grants.
func (s *Start) said(p part, output []string) {
	for i, text := range output {
		for _, g := range s.Report.Grants {
			if g.Delegate != nil && g.Delegate.Path == p.delegates[i].Path {
				g.Delegate.Output = report.Plain(text)
			}
		}
	}
}

// settle brings the statuses in line with the end of the run.
func settle(r *report.Report) {
	if !r.Failed() {
		return
	}
	for _, q := range r.Requests {
		if q.Status == "" || q.Status == report.Granted {
			q.Status, q.Reason = report.Unserved, "the container does not start"
		}
	}
	if r.Result != report.ResultFailed {
		return
	}
	for e := range r.Edits.All() {
		if *e.State() == devices.Applied && e.Undone() {
			*e.State() = devices.Apply
		}
	}
}
