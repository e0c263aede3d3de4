package rules

import (
	"context"
	"os"

	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// Question is a question to systemd about the container's scope, asked before anything is to be told. A nil Question is
// none.
type Question struct {
	group  string
	cancel context.CancelFunc
	answer <-chan reply // nil once it was taken
}

type reply struct {
	session *session
	err     error
}

// Ask asks systemd what it knows of the devices of the container's scope, if the container seems to be in one, and does
// not wait for the answer: the millisecond that it takes is spent on mounts and nodes. [Target.Allow] makes sure that
// the scope is the container's own before it uses the answer. The caller closes the question.
func (t *Target) Ask(ctx context.Context) *Question {
	if _, err := os.Stat(runtimeDir); err != nil || t.Namespaced {
		return nil
	}
	groups, err := cgroups(t.Process.PID)
	if err != nil {
		return nil
	}
	for _, controller := range []string{"", "devices"} {
		group := groups[controller]
		if unit := t.unitName(group); unit != "" && systemScope(cutAfter(group, unit)) {
			return ask(ctx, endpoints(), cutAfter(group, unit))
		}
	}
	return nil
}

// ask asks about the scope of this cgroup.
func ask(ctx context.Context, at []endpoint, group string) *Question {
	ctx, cancel := context.WithTimeout(ctx, systemdTimeout)
	answers := make(chan reply, 1)
	go func() {
		var r reply
		r.err = fault.Guard(func() (err error) {
			r.session, err = openSession(ctx, at, group)
			return err
		})
		answers <- r
	}()
	return &Question{group, cancel, answers}
}

// take waits for the answer, until ctx ends, if the question is about this cgroup. It returns nil if it is not, or was
// answered too long ago to go on. A question is taken once.
func (q *Question) take(ctx context.Context, group string) (*session, error) {
	if q == nil || q.group != group || q.answer == nil {
		return nil, nil //nolint:nilnil // no answer is no error
	}
	defer q.cancel()
	var a reply
	select {
	case a = <-q.answer:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	q.answer = nil
	if fault.Panicked(a.err) {
		panic(a.err) // of the other goroutine: no answer is a warning, a defect is none
	}
	if a.err != nil || a.session.until(ctx) {
		return a.session, a.err
	}
	a.session.close()
	return nil, nil //nolint:nilnil // no answer is no error
}

// Close ends a question that was not taken.
func (q *Question) Close() {
	if q == nil || q.answer == nil {
		return
	}
	q.cancel()
	if a := <-q.answer; a.err == nil {
		a.session.close()
	}
	q.answer = nil
}
