package hook

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/linux"
	"github.com/gpu-hook/gpu-hook/internal/stack"
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
// hold it for good, and so can a runtime that does not write its state. What was asked for is refused with E-TIMEOUT
// then, and so is a container of which that is not known; a wish is left out with a warning. Planning itself cannot be
// ended and goes on, with a report of its own, until the process ends.
func PlanInTime(o Options, stdin io.Reader) *Start {
	in := newInput(stdin, limits.State)
	plan := func() *Start {
		state, err := in.read()
		if err != nil {
			return newStart(StageCreateRuntime).refuse(fault.New(fault.State, "state on standard input", "%w", err).
				WithHint("start the container again"))
		}
		return Plan(o, bytes.NewReader(state))
	}
	return inTime(o, plan, func(c *config.Config, patience time.Duration) *Start {
		state, ended := in.so()
		if !ended {
			s := newStart(StageCreateRuntime)
			s.config = c
			return s.refuse(fault.New(fault.Timeout, "state on standard input", "it did not end within %s", patience).
				WithHint("gpu-hook createRuntime is run by a container runtime, which writes the state and closes the pipe"))
		}
		return giveUp(o, c, state, patience)
	})
}

// PlanSpecInTime is [PlanInTime] for [PlanSpec]. A plan that is given up leaves the spec as it was read; createRuntime
// gives it up as well, and says so.
func PlanSpecInTime(o Options, stdin io.Reader) (*Start, error) {
	in := newInput(stdin, limits.Searched)
	plan := func() *Start {
		spec, err := in.read()
		if err != nil {
			return newStart(StagePrecreate).refuse(fault.New(fault.Bundle, "spec on standard input", "%w", err).
				WithHint("start the container again"))
		}
		return PlanSpec(o, spec)
	}
	s := inTime(o, plan, func(_ *config.Config, patience time.Duration) *Start {
		s := newStart(StagePrecreate)
		spec, ended := in.so()
		if !ended {
			return s.refuse(fault.New(fault.Timeout, "spec on standard input", "it did not end within %s", patience).
				WithHint("gpu-hook precreate is run by podman, which writes the spec and closes the pipe"))
		}
		s.spec = spec
		return s.finish()
	})
	if s.spec == nil {
		return nil, s.draft.Errors[0]
	}
	return s, nil
}

// input is what is read of standard input.
type input struct {
	from  io.Reader
	most  int64
	mutex sync.Mutex
	data  []byte
	ended bool
}

// newInput returns an input of which most bytes are read at most, and one more by which it shows that it is longer.
func newInput(from io.Reader, most int64) *input { return &input{from: from, most: most} }

// read reads all of the input.
func (in *input) read() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in.from, in.most+1))
	in.mutex.Lock()
	defer in.mutex.Unlock()
	in.data, in.ended = data, true
	return data, err
}

// so returns the input, and whether it has ended.
func (in *input) so() (data []byte, ended bool) {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	return in.data, in.ended
}

// inTime returns what plan does or, where that takes longer than the configuration allows, what instead does.
func inTime(o Options, plan func() *Start, instead func(*config.Config, time.Duration) *Start) *Start {
	began := time.Now()
	planned := make(chan func() *Start, 1)
	go func() {
		stack.Grow()
		planned <- fault.Carry(plan)
	}()
	select {
	case start := <-planned:
		return start()
	case <-time.After(usual):
	}
	configs := make(chan func() *config.Config, 1)
	go func() {
		configs <- fault.Carry(func() *config.Config {
			c, _ := o.Load() // what is wrong with it planning says
			return c
		})
	}()
	c := config.Defaults() // as with one that is broken, the built-in rules decide whether something is asked
	patience := defaultPatience
	for {
		select {
		case start := <-planned:
			return start()
		case loaded := <-configs:
			c = loaded()
			patience = time.Duration(c.Limits.Timeout)
		case <-time.After(time.Until(began.Add(patience))):
			return instead(c, patience)
		}
	}
}

// giveUp is the start of a container whose planning does not end. Where not even what it asks can be found out, it is
// refused: something must have been asked, or no path would be looked at.
func giveUp(o Options, c *config.Config, input []byte, patience time.Duration) *Start {
	err := lateError(patience)
	decided := make(chan func() *Start, 1)
	go func() {
		decided <- fault.Carry(func() *Start { return without(o, c, input, err) })
	}()
	select {
	case start := <-decided:
		return start()
	case <-time.After(lastLook):
	}
	s := newStart(StageCreateRuntime)
	s.config = c
	return s.refuse(err)
}

// lateError is why a plan was given up. It names the files for which planning waits.
func lateError(patience time.Duration) error {
	const most = 2 // whatever comes after them waits for the same server
	what := "plan for the container"
	waits := linux.Waits()
	if len(waits) == 0 {
		return fault.New(fault.Timeout, what, "it was not made within %s", patience).
			WithHint("see what takes so long (gpu-hook explain), or raise timeout under [limits]")
	}
	return fault.New(fault.Timeout, what, "it was not made within %s: %s does not answer", patience,
		strings.Join(waits[:min(most, len(waits))], ", ")).
		WithHint("see which file server or device does not answer, or raise timeout under [limits]")
}

// without decides, by what the container asks alone, what becomes of it without a plan because of err.
func without(o Options, c *config.Config, input []byte, err error) *Start {
	s := newStart(StageCreateRuntime)
	s.config, s.givenUp = c, true
	st, readErr := state.Read(bytes.NewReader(input))
	if readErr == nil {
		readErr = s.load(o, st)
	}
	if readErr != nil {
		return s.refuse(err)
	}
	s.contest(nil)
	switch {
	case s.draft.Failed():
	case s.draft.Notable():
		s.draft.FailOrWarn(err)
	default:
		f := fault.From(err)
		s.draft.Warn(fault.New(fault.TimeoutNote, "", "%w; the container asks for nothing, and starts", f).
			WithHint("%s", f.Hint()))
	}
	return s.finish()
}
