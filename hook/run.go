// Package hook decides what one container gets: it gathers the requests, settles which of them hold, finds a driver for
// each, has the plan carried out and reports all of it.
package hook

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/gpu-hook/gpu-hook/devices"
	"github.com/gpu-hook/gpu-hook/devices/inject"
	"github.com/gpu-hook/gpu-hook/fault"
	"github.com/gpu-hook/gpu-hook/state"
	"github.com/gpu-hook/gpu-hook/trust"
)

// StageCreateRuntime is the stage of runtime-spec that gpu-hook is registered for.
const StageCreateRuntime = "createRuntime"

// Options come from the command line, which is the administrator's.
type Options struct {
	Config   string   // "" for the default
	SpecDirs []string // over the configuration's
}

// load reads the configuration. What of it a run needs before anything is asked for stands in the result also when there
// is an error: the built-in rules then decide whether something is.
func (o Options) load() (*Config, error) {
	config, err := loadConfig(o.Config, trust.Root())
	if err != nil {
		config = defaults()
	}
	if len(o.SpecDirs) > 0 {
		config.CDI.SpecDirs = o.SpecDirs
	}
	return config, err
}

// CreateRuntime serves the container whose state stands on stdin. A container that asks for nothing leaves no trace and
// fails only if its state or config.json cannot be read: nothing else was looked at. For any other the outcome is in the
// report, in its record and, if there was something to say, in the system's log; on failure the container must not start.
func CreateRuntime(ctx context.Context, o Options, stdin io.Reader) *Report {
	report := newReport(StageCreateRuntime)
	s, err := state.Read(stdin)
	var container *state.Container
	if err == nil {
		container, err = state.Load(s)
	}
	if err != nil {
		report.fail(resultRefused, err)
		return report
	}
	report.phase("state")
	report.describe(container)
	config, configErr := o.load()
	won := winners(config, container, nil, report)
	if !report.Failed() && !report.notable() {
		return report
	}
	// Something was asked: from here on everything is said, recorded and logged.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(config.Limits.Timeout))
	defer cancel()
	switch {
	case report.Failed():
	case configErr != nil && len(won) > 0:
		report.fail(resultRefused, configErr)
	case configErr != nil:
		report.warn(fault.From(configErr))
	case len(won) > 0:
		run(ctx, config, container, won, report)
	}
	settle(report)
	keep(config, report)
	tell(report)
	return report
}

// winners gathers the requests into the report and returns those that hold.
func winners(config *Config, container *state.Container, flag *string, report *Report) []*Request {
	report.Requests = append(report.Requests, gather(config, container, flag)...)
	won, warnings, err := contest(report.Requests)
	for _, w := range warnings {
		report.warn(w)
	}
	for _, r := range won {
		if len(r.unused) > 0 {
			report.warn(fault.New(fault.Skipped, describe(r), "no driver takes options: %v", r.unused).WithHint("leave the options out"))
		}
	}
	if err != nil {
		report.fail(resultRefused, err)
	}
	report.phase("requests")
	return won
}

// notable says whether something was asked for that came to nothing by a decision: that is worth a record.
func (r *Report) notable() bool {
	return slices.ContainsFunc(r.Requests, func(q *Request) bool { return q.Status != statusEmpty })
}

// run checks the process, makes the plan for the requests that hold and carries it out.
func run(ctx context.Context, config *Config, container *state.Container, won []*Request, report *Report) {
	root, err := container.Root()
	if err != nil {
		report.fail(resultRefused, err)
		return
	}
	process, err := container.OpenProcess(*config.Process.CheckParent)
	if err != nil {
		report.fail(resultRefused, err)
		return
	}
	defer process.Close()
	report.phase("check")
	p := &planner{config: config, container: container, root: root, owner: trust.Root(), report: report}
	err = p.plan(won)
	report.phase("plan")
	if err != nil {
		report.fail(resultRefused, err)
		return
	}
	if len(report.Grants) == 0 {
		return
	}
	target := &inject.Target{Container: container, Process: process, Root: root, StateJSON: container.State.Raw, RunDir: config.runDir()}
	result, err := target.Apply(ctx, report.Edits, report.delegates)
	report.phase("apply")
	report.Edits.DeviceNodes = append(report.Edits.DeviceNodes, result.Delegated...)
	if result.NoCgroup != nil {
		report.warn(fault.New(fault.CgroupNote, "device rules", "%w", result.NoCgroup).WithHint("if the device cannot be opened, let the runtime make a cgroup for the container"))
	}
	if err == nil && len(report.delegates) > 0 && len(result.Delegated) == 0 {
		report.warn(fault.New(fault.NoNode, "delegate "+report.delegates[0].Path, "it ended well, but no device node has appeared in the container").
			WithHint("look at its own log: debug under [nvidia-container-cli] in %s", config.NVIDIA.RuntimeConfig))
	}
	if err != nil {
		for _, program := range result.Foreign {
			report.warn(fault.New(fault.Leftover, program, "what it did in the container's root filesystem cannot be undone").WithHint("look there before you start the container again"))
		}
		report.fail(resultFailed, err)
		return
	}
	report.Result = resultApplied
}

// settle brings the statuses in line with the end of the run.
func settle(report *Report) {
	if !report.Failed() {
		return
	}
	for _, r := range report.Requests {
		if r.Status == "" || r.Status == statusGranted {
			r.Status, r.Reason = statusUnserved, "the container does not start"
		}
	}
	if report.Result != resultFailed {
		return
	}
	for _, d := range report.Edits.DeviceNodes {
		if d.Status == devices.Applied {
			d.Status = devices.Apply // and taken back
		}
	}
	for _, m := range report.Edits.Mounts {
		if m.Status == devices.Applied {
			m.Status = devices.Apply
		}
	}
}
