package hook

import (
	"errors"
	"testing"
	"testing/iotest"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// A panic of the planning goroutine reaches who waits for the plan, who tells it.
func TestPanicWhilePlanningIsPassedOn(t *testing.T) {
	defer func() {
		if r := recover(); r != "boom" {
			t.Errorf("recovered %v", r)
		}
	}()
	inTime(Options{Config: "/dev/null"}, func() *Start { panic("boom") }, nil)
}

func TestBrokenInput(t *testing.T) {
	broken := iotest.ErrReader(errors.New("input is broken"))
	s := PlanInTime(Options{Config: "/dev/null"}, broken)
	if !s.Report.Failed() || s.Report.Errors[0].Code != fault.State {
		t.Errorf("errors: %+v", s.Report.Errors)
	}
	if _, err := PlanSpecInTime(Options{Config: "/dev/null"}, broken); !fault.Is(err, fault.Bundle) {
		t.Errorf("error: %v", err)
	}
}
