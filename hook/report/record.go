package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/atomicfile"
	"github.com/gpu-hook/gpu-hook/internal/fault"
	"github.com/gpu-hook/gpu-hook/internal/limits"
	"github.com/gpu-hook/gpu-hook/internal/trust"
)

// validID reports whether runtimes allow id as a container id. Such an id can be a file name.
func validID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-"
	return id != "" && id[0] != '.' && len(id) <= 200 && strings.Trim(id, allowed) == ""
}

// RunDir returns the default directory of records and private bundles: /run/gpu-hook, or for a user's rootless engine
// one in the user's runtime directory, or else one of the user's own below /tmp. A hook in the engine's user namespace
// and the user outside of it get the same directory.
func RunDir(self trust.Self) string {
	if !self.Rootless {
		return "/run/gpu-hook"
	}
	user := fmt.Sprintf("/run/user/%d", self.UID)
	if info, err := os.Stat(user); err == nil && info.IsDir() {
		return user + "/gpu-hook"
	}
	return fmt.Sprintf("/tmp/gpu-hook-%d", self.UID)
}

// Keep writes the report as the record of its container, replacing an older one, and removes all but the keep newest
// records in runDir. A record that cannot be written is a warning: it must not fail a start.
func (r *Report) Keep(runDir string, keep int) {
	dir := recordsIn(runDir)
	if err := r.write(runDir, dir, keep); err != nil {
		r.Warn(fault.New(fault.RecordNote, "record of "+r.Container.ID, "%w", err).
			WithHint("make %s a directory that root alone may write", dir))
		return
	}
	r.kept = true
}

// write writes the record to dir, which is below runDir, and prunes dir.
func (r *Report) write(runDir, dir string, keep int) error {
	if !validID(r.Container.ID) {
		return fmt.Errorf("%q is not a container id", r.Container.ID)
	}
	// In this order: nothing is made in a directory that is not ours.
	if err := trust.PrivateDir(runDir, 0o755); err != nil {
		return err
	}
	if err := trust.PrivateDir(dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(data) > limits.Record {
		if data, err = json.Marshal(r.short()); err != nil {
			return err
		}
	}
	if len(data) > limits.Record {
		if data, err = json.Marshal(r.short().shortest()); err != nil {
			return err
		}
	}
	if len(data) > limits.Record {
		return fmt.Errorf("it is longer than %d bytes", limits.Record)
	}
	name := r.fileName()
	if err := atomicfile.Write(filepath.Join(dir, name), data, 0o600); err != nil {
		return err
	}
	return prune(dir, keep, r.Container.ID, name)
}

// short returns a copy of the report without edits and attempts, and with only the beginning of its longer lists. A
// container that requests very much must not be able to keep its record from being written.
func (r *Report) short() *Report {
	const most = 20
	s := *r
	s.Edits, s.Attempts = devices.NewEdits(), []plan.Attempt{}
	s.Requests = nil
	for _, q := range r.Requests[:min(most, len(r.Requests))] {
		q.Devices = slices.Clone(q.Devices[:min(most, len(q.Devices))])
		s.Requests = append(s.Requests, q)
	}
	s.Grants = r.Grants[:min(most, len(r.Grants))]
	s.CDIDevices = r.CDIDevices[:min(most, len(r.CDIDevices))]
	s.Warnings = append(slices.Clone(r.Warnings[:min(most, len(r.Warnings))]),
		Message{
			Code:    fault.RecordNote,
			Message: "the edits and a part of the rest are left out: they would make the record too long",
		})
	return &s
}

// shortest returns a copy of the report with the beginnings of its first requests and messages, and with nothing that
// was granted.
func (r *Report) shortest() *Report {
	const most = 4
	s := *r
	s.Grants, s.CDIDevices, s.Requests = []plan.Grant{}, []string{}, nil
	for _, q := range r.Requests[:min(most, len(r.Requests))] {
		q.Devices, q.Capabilities = []string{}, []string{}
		q.Value, q.Reason = beginning(q.Value), beginning(q.Reason)
		s.Requests = append(s.Requests, q)
	}
	s.Warnings = beginnings(r.Warnings[max(0, len(r.Warnings)-most):]) // the last says that something is left out
	s.Errors = beginnings(r.Errors[:min(most, len(r.Errors))])
	return &s
}

func beginnings(list []Message) []Message {
	out := []Message{}
	for _, m := range list {
		out = append(out, Message{m.Code, beginning(m.Message), beginning(m.Hint)})
	}
	return out
}

// beginning returns the beginning of a long text.
func beginning(text string) string {
	const most = 1 << 10
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
