package inject

import (
	"context"
	"testing"
	"time"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Two starts on one root filesystem wait for each other, until their time is over or the first has ended.
func TestLockOfTheRoot(t *testing.T) {
	dir := t.TempDir()
	first, second := rootIn(t, dir), rootIn(t, dir)
	if err := first.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if err := second.lock(ctx); !fault.Is(err, fault.Timeout) {
		t.Errorf("beside the first: %v", err)
	}
	told, end := context.WithCancel(t.Context())
	end()
	if err := second.lock(told); !fault.Is(err, fault.Ended) {
		t.Errorf("told to end: %v", err)
	}
	waits := make(chan error)
	go func() { waits <- second.lock(t.Context()) }()
	first.unlock()
	if err := <-waits; err != nil {
		t.Errorf("after the first: %v", err)
	}
	second.unlock()
	if err := rootIn(t, t.TempDir()).lock(ctx); err != nil {
		t.Errorf("another root: %v", err)
	}
}
