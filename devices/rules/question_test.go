package rules

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// A question is answered once, and only about its own scope.
func TestQuestion(t *testing.T) {
	const scope, other = "/machine.slice/libpod-1.scope", "/machine.slice/libpod-2.scope"
	b := bus{policy: policy{group: scope, device: "closed"}}
	at := []endpoint{b.start(t)}
	q := ask(t.Context(), at, scope)
	if s, err := q.take(t.Context(), other); s != nil || err != nil {
		t.Errorf("about another scope: %v, %v", s, err)
	}
	s, err := q.take(t.Context(), scope)
	if err != nil || s == nil || s.policy.group != scope {
		t.Fatalf("%+v, %v", s, err)
	}
	defer s.close()
	if s, err := q.take(t.Context(), scope); s != nil || err != nil {
		t.Errorf("a second time: %v, %v", s, err)
	}
	q.Close() // leaves the session open
	if _, err := s.ask(readPolicy("libpod-1.scope")...); err != nil {
		t.Errorf("the session: %v", err)
	}
	var none *Question
	if s, err := none.take(t.Context(), scope); s != nil || err != nil {
		t.Errorf("no question: %v, %v", s, err)
	}
	none.Close()
}

// The time for an answer does not end what is told later, and an answer whose time is over is not used.
func TestQuestionInTime(t *testing.T) {
	const scope = "/machine.slice/libpod-1.scope"
	b := bus{policy: policy{group: scope, device: "closed"}}
	at := []endpoint{b.start(t)}
	ctx, cancel := context.WithCancel(t.Context())
	q := ask(ctx, at, scope)
	s, err := q.take(t.Context(), scope)
	if err != nil || s == nil {
		t.Fatalf("%v, %v", s, err)
	}
	defer s.close()
	cancel()
	if _, err := s.extend("libpod-1.scope", []pair{{"/dev/char/195:0", "rw"}}); err != nil {
		t.Errorf("after the question's time: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	q = ask(ctx, at, scope)
	late := <-q.answer // as if it was not taken until now
	answered := make(chan reply, 1)
	answered <- late
	q.answer = answered
	cancel()
	time.Sleep(10 * time.Millisecond)
	if s, err := q.take(t.Context(), scope); s != nil || err != nil {
		t.Errorf("an old answer: %v, %v", s, err)
	}
}

// Nobody waits for a systemd that does not answer once the question is closed.
func TestQuestionWithoutAnswer(t *testing.T) {
	listener, err := net.Listen("unix", t.TempDir()+"/bus")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	q := ask(t.Context(), []endpoint{{listener.Addr().String(), false}}, "/x.scope")
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q.Close()
	if err := conn.SetDeadline(time.Now().Add(systemdTimeout / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection is open: %v", err)
	}
}
