package report

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/gpu-hook/gpu-hook/internal/limits"
)

// The system log's socket and RFC 3164 priorities of facility daemon.
const (
	logSocket   = "/dev/log"
	logWarning  = 3<<3 | 4
	logError    = 3<<3 | 3
	logPatience = 100 * time.Millisecond
)

// Tell writes the report's warnings and errors to the system log, if there is one. A log that is missing, full or stuck
// causes no error and hardly a delay: everything is in the record too.
func (r *Report) Tell() { r.tell(logSocket) }

// tell is [Report.Tell] for the system log with this socket.
func (r *Report) tell(socket string) {
	if len(r.Warnings)+len(r.Errors) == 0 {
		return
	}
	log, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer func() { _ = log.Close() }()
	if log.SetWriteDeadline(time.Now().Add(logPatience)) != nil {
		return
	}
	write := func(priority int, m Message) {
		text := m.Message
		if m.Hint != "" {
			text += "; fix: " + m.Hint
		}
		line := fmt.Sprintf("<%d>gpu-hook[%d]: container %q: %s: %s",
			priority, os.Getpid(), r.Container.ID, m.Code, text)
		if len(line) > limits.LogMessage {
			line = strings.ToValidUTF8(line[:limits.LogMessage], "") + "…"
		}
		_, _ = io.WriteString(log, line)
	}
	for _, m := range r.Warnings {
		write(logWarning, m)
	}
	for _, m := range r.Errors {
		write(logError, m)
	}
}
