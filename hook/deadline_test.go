package hook

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// A panic of the planning goroutine reaches who waits for the plan, who tells it.
func TestPanicWhilePlanningIsPassedOn(t *testing.T) {
	err := fault.Guard(func() error {
		inTime(Options{Config: "/dev/null"}, func() *Start { panic("boom") }, nil)
		return nil
	})
	if !fault.Panicked(err) || !strings.HasPrefix(err.Error(), "panic: boom (hook.TestPanicWhilePlanning") {
		t.Errorf("got %v", err)
	}
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
