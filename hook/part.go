package hook

import (
	"slices"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/hook/report"
)

// part is a part of a plan that is carried out, or undone, as one: what was asked for, or what was only wished. Its edits
// are in the report's as well.
type part struct {
	requests  []*request
	edits     *devices.Edits
	delegates []inject.Delegate
}

func newPart() part { return part{edits: devices.NewEdits()} }

// empty reports whether there is nothing to carry out. Edits that are present need nothing, but their device rules may.
func (p part) empty() bool { return len(p.requests) == 0 }

// beside reports whether the part is for something beside a vendor's devices, such as NVIDIA_GDS.
func (p part) beside() bool {
	return !slices.ContainsFunc(p.requests, func(r *request) bool { return r.part == "" })
}

// forgo settles wishes that came to nothing because of f: their requests are unserved, with a warning, and nothing of the
// report says that they are given. What carrying them out has settled of their edits stays: a hook that ran has run.
func forgo(r *report.Report, wishes part, f *fault.Error) {
	for _, q := range wishes.requests {
		q.Status, q.Reason = report.Unserved, report.Plain(f.Error())
		r.Warn(fault.New(fault.Weak, describe(q), "the container starts without: %w", f).WithHint("%s", f.Hint))
	}
	r.Grants = slices.DeleteFunc(r.Grants, func(g report.Grant) bool { return r.Requests[g.Request].Status == report.Unserved })
	r.CDIDevices = []string{}
	for _, g := range r.Grants {
		for _, name := range g.CDIDevices {
			if !slices.Contains(r.CDIDevices, name) {
				r.CDIDevices = append(r.CDIDevices, name)
			}
		}
	}
	for _, status := range wishes.edits.Statuses() {
		if *status == devices.Apply {
			*status = devices.Skipped
		}
	}
}
