// Package hook decides what one container gets: it gathers the requests, settles which of them hold, finds a driver for
// each, has the plan carried out and reports all of it.
package hook

import (
	"io"
	"os"
	"slices"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/internal/fault"
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
	// Report is that of the plan, and after [Start.Apply] or [Start.Render] of what became of it too.
	Report *report.Report

	run       report.Run
	config    *config.Config
	container *state.Container
	spec      []byte // as it was read, where there is no container yet
	root      string
	process   *state.Process
	draft     *draft
	plan      plan.Plan
}

func newStart(stage string) *Start { return &Start{run: report.NewRun(stage), draft: newDraft()} }

// finish makes the plan of what was drafted, and its report.
func (s *Start) finish() *Start {
	s.plan = s.draft.plan()
	s.Report = report.Make(s.run, s.plan, nil)
	return s
}

// refuse ends planning with err.
func (s *Start) refuse(err error) *Start {
	s.draft.fail(err)
	return s.finish()
}

// Plan plans for the container whose state stands on stdin, and changes nothing. A container that asks for nothing fails
// only if its state is none: nothing else was looked at. [Start.Apply] must follow.
func Plan(o Options, stdin io.Reader) *Start {
	s := newStart(StageCreateRuntime)
	st, err := state.Read(stdin)
	if err != nil {
		return s.refuse(err)
	}
	if err := s.load(o, st); err != nil {
		s.unknown(o, st, err)
		return s.finish()
	}
	s.makePlan(o, nil, s.check)
	return s.finish()
}

// load finds the container of a state and settles whose it is.
func (s *Start) load(o Options, st state.State) (err error) {
	s.run.Container.ID, s.run.Container.Bundle = st.ID, st.Bundle
	caller := state.CallerOf(os.Getppid())
	if s.container, err = state.Load(st.Located(caller)); err != nil {
		return err
	}
	s.container.Identify(o.Engine, caller)
	s.run.Describe(s.container)
	return nil
}

// unknown ends a run for a container whose config.json is not to be had: it is an error where the state says that something
// was asked for, else a warning, since most containers ask for nothing.
func (s *Start) unknown(o Options, st state.State, err error) {
	c, _ := o.load() // the prefixes are the built-in ones where it cannot be read
	if asksBy(st.Annotations, c.CDI.AnnotationPrefixes) != "" {
		s.draft.fail(err)
		return
	}
	f := fault.From(err)
	s.draft.warn(fault.New(fault.BundleNote, "", "it is not known whether the container asks for anything, and it starts without: %w", err).WithHint("%s", f.Hint()))
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

// makePlan goes from the container to the draft of its plan. check is what must hold of a container that asks.
func (s *Start) makePlan(o Options, flag *string, check func() error) {
	s.run.Phase("state")
	var configErr error
	s.config, configErr = o.load()
	s.unmask()
	s.contest(flag)
	if configErr != nil && (len(s.draft.won) > 0 || s.draft.notable()) {
		s.failOrWarn(configErr)
	}
	if s.draft.failed() || len(s.draft.won) == 0 {
		return
	}
	if err := check(); err != nil {
		s.failOrWarn(err)
		return
	}
	s.run.Phase("check")
	p := &planner{
		config: s.config, container: s.container, root: s.root, owner: s.config.Self.Owner, stage: s.run.Container.Stage,
		draft: s.draft,
	}
	err := p.plan(s.draft.won)
	s.run.Phase("plan")
	if err != nil {
		s.draft.fail(err)
	}
}

// unmask warns of the annotation by which earlier versions of gpu-hook told one stage of the other. It counts for nothing.
func (s *Start) unmask() {
	if _, found := s.container.Spec.Annotations[AnnotationPlan]; found {
		s.draft.warn(fault.New(fault.PlanNote, "annotation "+AnnotationPlan, "it counts for nothing").
			WithHint("gpu-hook neither writes nor reads it; remove it"))
	}
}

// contest drafts every request of the container, and which of them hold.
func (s *Start) contest(flag *string) {
	d := s.draft
	d.requests = gather(s.config, s.container, flag)
	won, warnings, err := contest(s.config, d.requests)
	if err == nil {
		var more []*fault.Error
		won, more, err = findOther(s.config, s.container).leave(d.requests, won)
		warnings = append(warnings, more...)
	}
	d.warnings = append(d.warnings, warnings...)
	if doubt := doubted(s.container); doubt != nil && len(d.requests) > 0 {
		d.warn(doubt)
	}
	for _, r := range won {
		if len(r.asked.Options) > 0 {
			d.warn(fault.New(fault.Skipped, describe(r), "no driver takes options").WithHint("leave the options out"))
		}
	}
	if err != nil {
		d.fail(err)
	}
	d.won = won
	s.run.Phase("requests")
}

// failOrWarn ends planning for a reason that has nothing to do with what was asked: with the error or, where all of that are
// wishes, with a warning.
func (s *Start) failOrWarn(err error) {
	d, f := s.draft, fault.From(err)
	if slices.ContainsFunc(d.won, func(r *request) bool { return !r.weak }) {
		d.fail(err)
		return
	}
	if len(d.won) == 0 {
		d.warn(fault.New(fault.ConfigNote, "", "%w", f).WithHint("%s", f.Hint()))
		return
	}
	d.forgo(&part{requests: d.won, edits: devices.NewEdits()}, f)
	d.won = nil
}

// notable reports whether this start deserves a record: it made a request, even one that came to nothing by a decision, or
// carried an annotation of ours that it should not.
func (d *draft) notable() bool {
	masked := slices.ContainsFunc(d.warnings, func(f *fault.Error) bool { return f.Code() == fault.PlanNote })
	return masked || slices.ContainsFunc(d.requests, func(r *request) bool { return r.Status != plan.Empty })
}
