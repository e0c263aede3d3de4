// Package hook runs the stages of gpu-hook: planning for one container, applying the plan to it, rendering a part of
// the plan into its spec, and explaining what would be done.
package hook

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/planner"
	"github.com/gpu-hook/gpu-hook/hook/precedence"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/trust"
	"github.com/gpu-hook/gpu-hook/state"
)

// StageCreateRuntime is the stage of runtime-spec that gpu-hook is registered for.
const StageCreateRuntime = "createRuntime"

// Options come from the command line, which is the administrator's.
type Options = config.Options

// Start is the start of one container, planned.
type Start struct {
	// Report is that of the plan and, after [Start.Apply] or [Start.Render], of its outcome.
	Report *report.Report

	run       report.Run
	config    *config.Config
	container *state.Container
	spec      []byte // as it was read, if there is no container yet
	root      string
	self      *trust.Self // whose hook it would be, if that is not this process; for explain alone
	unseen    []string    // what explain could not look at
	process   *state.Process
	draft     *planner.Draft
	plan      plan.Plan
	givenUp   bool // the time was over before the plan was made
}

func newStart(stage string) *Start {
	return &Start{run: report.NewRun(stage), draft: planner.NewDraft()}
}

// finish makes the plan of the draft, and its report.
func (s *Start) finish() *Start {
	s.plan = s.draft.Plan()
	s.Report = report.Make(s.run, s.plan, nil)
	return s
}

// refuse ends planning with err.
func (s *Start) refuse(err error) *Start {
	s.draft.Fail(err)
	return s.finish()
}

// Plan plans for the container whose state is on stdin, and changes nothing. A container that requests nothing fails
// only if its state cannot be read: nothing else was looked at. [Start.Apply] must follow.
func Plan(o Options, stdin io.Reader) *Start {
	s := newStart(StageCreateRuntime)
	st, err := state.Read(stdin)
	if err != nil {
		return s.refuse(err)
	}
	if err := s.load(o, st); err != nil {
		s.withoutBundle(o, st, err)
		return s.finish()
	}
	s.makePlan(o, nil, s.check)
	return s.finish()
}

// Silent reports whether there is nothing to do and nothing to say: the container requests nothing, or nothing but an
// explicit nothing. [Start.Apply] does nothing then.
func (s *Start) Silent() bool {
	return s.container != nil && !s.givenUp && !s.plan.Failed() && !s.draft.Notable()
}

// load reads the bundle of a state, and finds out which engine the container is of.
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

// withoutBundle ends planning for a container whose config.json cannot be read. That is an error if the state's own
// annotations request something, else a warning, since most containers request nothing.
func (s *Start) withoutBundle(o Options, st state.State, err error) {
	c, _ := o.Load() // if it cannot be read, the built-in prefixes count
	if request.AnnotationAsks(st.Annotations, c.CDI.AnnotationPrefixes) != "" {
		s.draft.Fail(err)
		return
	}
	if errors.Is(err, state.ErrTooLarge) {
		if asked := s.searched(c); asked != "" {
			s.draft.Fail(fault.New(fault.Bundle, "", "%w, and the container asks by %q", err, asked).
				WithHint("a container whose config.json is larger than %d MiB cannot have devices", limits.Config>>20))
			return
		}
	}
	f := fault.From(err)
	s.draft.Warn(fault.New(fault.BundleNote, "", "it is not known whether the container asks for anything, and it "+
		"starts without: %w", err).
		WithHint("%s", f.Hint()))
}

// searched returns what requests something in a config.json that is too large to be decoded, or "".
func (s *Start) searched(c *config.Config) string {
	asks := func(unsafeText string) bool { return request.WordAsks(c, unsafeText) }
	unsafeText, err := state.Search(s.run.Container.Bundle, request.Words(c), asks)
	if err != nil {
		return "" // that it cannot be read is reported
	}
	return unsafeText
}

// checkRoot checks the namespaces of the spec, and finds the root filesystem.
func (s *Start) checkRoot() (err error) {
	if err := s.container.CheckNamespaces(); err != nil {
		return err
	}
	s.root, err = s.container.Root()
	return err
}

// check is checkRoot, and opens the container's process.
func (s *Start) check() (err error) {
	if err := s.checkRoot(); err != nil {
		return err
	}
	s.process, err = s.container.OpenProcess(s.config.Process.CheckParent)
	return err
}

// makePlan drafts the plan for the container. flag is the value of explain's --gpus, or nil. check is called if the
// container requests something, before any Spec is read.
func (s *Start) makePlan(o Options, flag *string, check func() error) {
	s.run.Phase("state")
	var configErr error
	s.config, configErr = o.Load()
	if s.self != nil {
		s.config.Self = *s.self
	}
	s.run.Container.UID = s.config.Self.UID
	s.contest(flag)
	if configErr != nil {
		s.withoutConfig(configErr)
	}
	if s.draft.Failed() || len(s.draft.Won) == 0 {
		return
	}
	if err := check(); err != nil {
		s.draft.FailOrWarn(err)
		return
	}
	s.run.Phase("check")
	p := &planner.Planner{
		Config: s.config, Container: s.container, Root: s.root, Draft: s.draft,
		Stage: s.run.Container.Stage, MakesLate: s.run.Container.Stage == StagePrecreate,
	}
	err := p.Plan()
	s.run.Phase("plan")
	if err != nil {
		s.draft.Fail(err)
	}
}

// withoutConfig notes that there is no usable configuration. That is an error if the built-in sources have found a
// request. Otherwise it is a warning if the file is there and the kernel does not give it: it may name another variable
// or annotation that is a request. A file with mistakes is not worth one for each container that requests nothing.
func (s *Start) withoutConfig(err error) {
	if len(s.draft.Won) > 0 || s.draft.Notable() {
		s.draft.FailOrWarn(err)
		return
	}
	var errno unix.Errno
	if !errors.As(err, &errno) || errno == unix.ENOENT || errno == unix.ENOTDIR {
		return
	}
	f := fault.From(err)
	s.draft.Warn(fault.New(fault.ConfigNote, "", "it is not known whether the container asks for anything, and it "+
		"starts without: %w", err).
		WithHint("%s", f.Hint()))
}

// contest drafts every request of the container, and which of them win.
func (s *Start) contest(flag *string) {
	d := s.draft
	if _, found := s.container.Spec.Annotations[request.AnnotationPlan]; found {
		d.Warn(fault.New(fault.PlanNote, "annotation "+request.AnnotationPlan, "it counts for nothing").
			WithHint("gpu-hook neither writes nor reads it; remove it"))
	}
	d.Requests = request.Gather(s.config, s.container, flag)
	won, warnings, err := precedence.Contest(s.config, s.container, d.Requests)
	d.Won, d.Warnings = won, append(d.Warnings, warnings...)
	if doubt := request.Doubted(s.container); doubt != nil && len(d.Requests) > 0 {
		d.Warn(doubt)
	}
	for _, r := range won {
		if len(r.Asked.Options) > 0 {
			d.Warn(fault.New(fault.Skipped, r.String(), "no driver takes options").WithHint("leave the options out"))
		}
	}
	if err != nil {
		d.Fail(err)
	}
	s.run.Phase("requests")
}
