package hook

import (
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/gpu-hook/gpu-hook/fault"
)

// A panic of the planning goroutine reaches who waits for the plan, who tells it.
func TestPanicWhilePlanningIsPassedOn(t *testing.T) {
	defer func() {
		if r := recover(); r != "boom" {
			t.Errorf("recovered %v", r)
		}
	}()
	broken := stage{StageCreateRuntime, func(Options, io.Reader) *Start { panic("boom") }, readState}
	inTime(Options{Config: "/dev/null"}, iotest.ErrReader(io.EOF), broken)
}

func TestBrokenInputIsToldByThePlan(t *testing.T) {
	s := PlanInTime(Options{Config: "/dev/null"}, iotest.ErrReader(errors.New("input is broken")))
	if !s.Report.Failed() || s.Report.Errors[0].Code != fault.State {
		t.Errorf("errors: %+v", s.Report.Errors)
	}
}
