package report

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// One container floods neither the system's log nor standard error nor its record, whatever it says of itself.
func TestWhatOneStartSaysIsBounded(t *testing.T) {
	p, o := plan.Plan{}, plan.NewOutcome()
	o.Edits, o.Result = devices.NewEdits(), plan.ResultFailed
	long := strings.Repeat("ä", 8<<10)
	for i := range 200 {
		p.Warnings = append(p.Warnings, fault.New(fault.Refused, fmt.Sprint(i), "%s", long).WithHint("%s", long))
		p.Errors = append(p.Errors, fault.New(fault.Request, fmt.Sprint(i), "%s", long))
		o.Warn(fault.New(fault.Late, fmt.Sprint(i), "%s", long))
	}
	run := NewRun("createRuntime")
	run.Container.ID = strings.Repeat("x", 100)
	r := Make(run, p, &o)
	if len(r.Warnings) != limits.Messages+1 || len(r.Errors) != limits.Messages+1 {
		t.Errorf("%d warnings, %d errors", len(r.Warnings), len(r.Errors))
	}
	if last, want := r.Errors[limits.Messages].Message, "168 more messages are left out"; last != want {
		t.Errorf("%q, want %q", last, want)
	}
	if lines := r.Lines(); len(lines) > 2*(limits.Messages+1) || len(strings.Join(lines, "")) > 1<<20 {
		t.Errorf("%d lines", len(lines))
	}
	dir := t.TempDir()
	r.Keep(dir, 1)
	if info, err := filepath.Glob(dir + "/records/*.json"); err != nil || len(info) != 1 {
		t.Errorf("records: %v, %v", info, err)
	}
	if n, bytes := logged(t, r); n != len(r.Warnings)+len(r.Errors) || bytes > n*(limits.LogMessage+len("…")) {
		t.Errorf("%d lines of %d bytes are logged", n, bytes)
	}
}

// As many messages as there may be are all there, and of one more nothing is hidden behind a message that counts it.
func TestMessagesAtTheBound(t *testing.T) {
	for n, want := range map[int]int{limits.Messages: limits.Messages, limits.Messages + 1: limits.Messages + 1} {
		var list []*fault.Error
		for i := range n {
			list = append(list, fault.New(fault.Late, fmt.Sprint(i), "x"))
		}
		if got := messages(list); len(got) != want {
			t.Errorf("%d of %d: %v", len(got), n, got)
		}
	}
}

// logged returns how many lines the report writes to the system's log, and how long they are together.
func logged(t *testing.T, r *Report) (lines, bytes int) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "log")
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	go r.tell(socket)
	line := make([]byte, 1<<20)
	for {
		const patience = 2 * time.Second
		if err := log.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		n, err := log.Read(line)
		if err != nil {
			return lines, bytes
		}
		lines, bytes = lines+1, bytes+n
	}
}
