package hook

import (
	"bytes"
	"io"
	"time"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/internal/fault"
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
// hold it for good. What was asked for is refused with E-TIMEOUT then, a wish is left out with a warning. Planning
// itself cannot be ended and goes on, with a report of its own, until the process ends.
func PlanInTime(o Options, stdin io.Reader) *Start {
	const most = 2 << 20 // more than a state may have
	input, err := io.ReadAll(io.LimitReader(stdin, most))
	if err != nil {
		return newStart(StageCreateRuntime).refuse(fault.New(fault.State, "state on standard input", "%w", err).
			WithHint("start the container again"))
	}
	plan := func() *Start { return Plan(o, bytes.NewReader(input)) }
	return inTime(o, plan, func(c *config.Config, patience time.Duration) *Start { return giveUp(o, c, input, patience) })
}

// PlanSpecInTime is [PlanInTime] for [PlanSpec]. A plan that is given up leaves the spec as it was read; createRuntime
// gives it up as well, and says so.
func PlanSpecInTime(o Options, stdin io.Reader) (*Start, error) {
	input, err := io.ReadAll(stdin)
	if err != nil {
		return nil, fault.New(fault.Bundle, "spec on standard input", "%w", err).WithHint("start the container again")
	}
	unchanged := func(*config.Config, time.Duration) *Start {
		s := newStart(StagePrecreate)
		s.spec = input
		return s.finish()
	}
	return inTime(o, func() *Start { return PlanSpec(o, input) }, unchanged), nil
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
	err := fault.New(fault.Timeout, "plan for the container", "it was not made within %s: a path of the host does not "+
		"answer", patience).
		WithHint("see which file server or device does not answer (gpu-hook explain, strace), " +
			"or raise timeout under [limits]")
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

// without decides, by what the container asks alone, what becomes of it without a plan because of err.
func without(o Options, c *config.Config, input []byte, err error) *Start {
	s := newStart(StageCreateRuntime)
	s.config = c
	st, readErr := state.Read(bytes.NewReader(input))
	if readErr == nil {
		readErr = s.load(o, st)
	}
	if readErr != nil {
		return s.refuse(err)
	}
	s.contest(nil)
	if !s.draft.Failed() {
		s.draft.FailOrWarn(err)
	}
	return s.finish()
}
