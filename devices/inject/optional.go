package inject

import (
	"context"
	"errors"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// astrayError is for a mount that is attached but not found where it should be: the container raced us by renaming path
// components.
type astrayError struct{ error }

func (e astrayError) Unwrap() error { return e.error }

// astray makes err, if there is one, an [astrayError].
func astray(err error) error {
	if err == nil {
		return nil
	}
	return astrayError{err}
}

// leaveOut leaves out an edit that failed with err: it removes what was made for it since the journal had mark entries,
// sets the status to Skipped and adds note to result.
//
// It returns err instead if note is nil, because the edit is required; if a mount was attached in the wrong place; or
// if what was made cannot be removed.
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

// leaveOutHook is leaveOut for a hook, which cannot be undone. It also returns err if ctx has ended: that is why the
// hook failed.
func (t *Target) leaveOutHook(ctx context.Context, h *devices.Hook, err error, result *Result) error {
	note := t.Optional.Note(h, err)
	if note == nil || ctx.Err() != nil {
		return err
	}
	h.Status = devices.Skipped
	result.Skipped = append(result.Skipped, note.WithHint("what it did until then stays; %s", note.Hint()))
	return nil
}

// patience returns the timeout for a hook that asks for the given one (0: none). An optional hook gets at most half of
// the remaining time until our own deadline, so that one that hangs does not make the start fail.
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
