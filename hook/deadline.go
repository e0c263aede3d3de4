package hook

import (
	"bytes"
	"io"
	"time"

	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/report"
	"github.com/gpu-hook/gpu-hook/state"
)

const (
	// defaultPatience bounds planning until the configuration says otherwise.
	defaultPatience = 30 * time.Second
	// usual is longer than planning takes where nothing hangs.
	usual = 50 * time.Millisecond
	// lastLook bounds the look, after planning was given up, at whether something was asked for.
	lastLook = time.Second
)

// PlanInTime is [Plan] that is given up once the configured time is over: a host path on a file server that is gone can
// hold it for good. What was asked for is refused with E-TIMEOUT then, a wish is left out with a warning. Planning itself
// cannot be ended and goes on, with a report of its own, until the process ends.
func PlanInTime(o Options, stdin io.Reader) *Start {
	return inTime(o, stdin, stage{StageCreateRuntime, Plan, readState})
}

// PlanSpecInTime is [PlanInTime] for [PlanSpec].
func PlanSpecInTime(o Options, stdin io.Reader) *Start {
	return inTime(o, stdin, stage{StagePrecreate, PlanSpec, readSpec})
}

// stage is how one of the two stages plans, and reads what it is given.
type stage struct {
	name string
	plan func(Options, io.Reader) *Start
	read func(*Start, []byte) error
}

func readState(s *Start, input []byte) error {
	st, err := state.Read(bytes.NewReader(input))
	if err != nil {
		return err
	}
	s.Report.Container.ID, s.Report.Container.Bundle = st.ID, st.Bundle
	s.container, err = state.Load(st)
	return err
}

func readSpec(s *Start, input []byte) (err error) {
	s.container, s.spec, err = state.ReadSpec(bytes.NewReader(input))
	if err == nil && s.container.State.ID == "" {
		s.container.State.ID = newID()
	}
	return err
}

func inTime(o Options, stdin io.Reader, of stage) *Start {
	began := time.Now()
	inputs, planned := make(chan []byte, 1), make(chan func() *Start, 1)
	go func() { planned <- guarded(func() *Start { return of.planOf(o, stdin, inputs) }) }()
	select {
	case start := <-planned:
		return start()
	case <-time.After(usual):
	}
	configs := make(chan *config.Config, 1)
	go func() {
		c, _ := o.load() // what is wrong with it planning says
		configs <- c
	}()
	c := config.Defaults() // as with one that is broken, the built-in rules decide whether something is asked
	patience := defaultPatience
	for {
		select {
		case start := <-planned:
			return start()
		case c = <-configs:
			patience = time.Duration(c.Limits.Timeout)
		case <-time.After(time.Until(began.Add(patience))):
			return giveUp(c, of, inputs, patience)
		}
	}
}

// guarded runs fn and returns what gives its result, or panics as it did, on the goroutine that asks: only there is a panic
// told like any other failure.
func guarded(fn func() *Start) (result func() *Start) {
	defer func() {
		if r := recover(); r != nil {
			result = func() *Start { panic(r) }
		}
	}()
	s := fn()
	return func() *Start { return s }
}

// planOf reads all of stdin, which giveUp needs too, and plans.
func (of stage) planOf(o Options, stdin io.Reader, inputs chan<- []byte) *Start {
	const most = 17 << 20 // more than either stage takes
	input, err := io.ReadAll(io.LimitReader(stdin, most))
	inputs <- input
	if err != nil {
		return of.plan(o, io.MultiReader(bytes.NewReader(input), failing{err}))
	}
	return of.plan(o, bytes.NewReader(input))
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// giveUp is the start of a container whose planning does not end. Where not even what it asks can be found out, it is
// refused: something must have been asked, or no path would be looked at.
func giveUp(c *config.Config, of stage, inputs <-chan []byte, patience time.Duration) *Start {
	err := fault.New(fault.Timeout, "plan for the container", "it was not made within %s: a path of the host does not answer", patience).
		WithHint("see which file server or device does not answer (gpu-hook explain, strace), or raise timeout under [limits]")
	decided := make(chan func() *Start, 1)
	go func() {
		decided <- guarded(func() *Start { return without(c, of, <-inputs, err) })
	}()
	select {
	case start := <-decided:
		return start()
	case <-time.After(lastLook):
	}
	s := &Start{Report: report.New(of.name), config: c}
	s.Report.Container.ID = newID()
	s.Report.Fail(report.ResultRefused, err)
	return s
}

// without decides, by what the container asks alone, what becomes of it without a plan because of err.
func without(c *config.Config, of stage, input []byte, err error) *Start {
	s := &Start{Report: report.New(of.name), config: c}
	if readErr := of.read(s, input); readErr != nil {
		s.Report.Fail(report.ResultRefused, err)
		return s
	}
	s.Report.Describe(s.container)
	s.winners(s.container, nil)
	if !s.Report.Failed() {
		s.useless(err)
	}
	settle(s.Report)
	return s
}
