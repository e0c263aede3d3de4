package inject

import (
	"context"
	"errors"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// astrayError is why something that is mounted in the container by now does not stand where it should: somebody moves
// paths about there while we work.
type astrayError struct{ error }

func (e astrayError) Unwrap() error { return e.error }

func astray(err error) error {
	if err == nil {
		return nil
	}
	return astrayError{err}
}

// leaveOut has the container do without an edit that failed with err, as note says, and takes away what was made for it
// since the journal held mark entries. Without a note, where something of it went astray, and where what was made cannot
// be taken away, the error stands.
func (r *rootfs) leaveOut(mark int, status *devices.Status, err error, note *fault.Error, result *Result) error {
	if note == nil || errors.As(err, &astrayError{}) {
		return err
	}
	if undoErr := r.undoSince(mark); undoErr != nil {
		return errors.Join(err, undoErr)
	}
	*status = devices.Skipped
	result.Skipped = append(result.Skipped, note)
	return nil
}

// leaveOutHook is leaveOut for a hook that ran. What it did cannot be undone.
func (t *Target) leaveOutHook(ctx context.Context, h *devices.Hook, err error, result *Result) error {
	note := t.Optional.Note(h, err)
	if note == nil || ctx.Err() != nil {
		return err
	}
	h.Status = devices.Skipped
	result.Skipped = append(result.Skipped, note.WithHint("what it did until then stays; %s", note.Hint()))
	return nil
}

// patience bounds the timeout of an optional hook, 0 if it has none: half of what is left of ours, so that one that
// hangs does not take everything else with it.
func (t *Target) patience(ctx context.Context, h *devices.Hook, timeout time.Duration) time.Duration {
	deadline, bounded := ctx.Deadline()
	if !bounded || t.Optional.Of(h) == "" {
		return timeout
	}
	half := time.Until(deadline) / 2
	if timeout == 0 || half < timeout {
		return half
	}
	return timeout
}
