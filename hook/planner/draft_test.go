package planner

import (
	"slices"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

func drafted(weak ...bool) *Draft {
	d := NewDraft()
	for _, w := range weak {
		r := request.New(request.Env("X"), "all")
		r.Weak = w
		d.Requests, d.Won = append(d.Requests, r), append(d.Won, r)
	}
	return d
}

// A start deserves a record if it made a request, even one that came to nothing by a decision.
func TestNotable(t *testing.T) {
	status := func(statuses ...string) *Draft {
		d := NewDraft()
		for _, s := range statuses {
			r := request.New(request.Env("X"), "")
			r.Status = s
			d.Requests = append(d.Requests, r)
		}
		return d
	}
	misplaced, warned := NewDraft(), NewDraft()
	misplaced.Warn(fault.New(fault.PlanNote, "", "x"))
	warned.Warn(fault.New(fault.Late, "", "x"))
	for name, test := range map[string]struct {
		draft *Draft
		want  bool
	}{
		"nothing":                   {NewDraft(), false},
		"an explicit nothing":       {status(plan.Empty), false},
		"a request":                 {status(""), true},
		"a refused one":             {status(plan.Refused), true},
		"one beside nothing":        {status(plan.Empty, plan.Present), true},
		"a misplaced annotation":    {misplaced, true},
		"a warning is no request":   {warned, false},
		"a wish that was requested": {drafted(true), true},
	} {
		if got := test.draft.Notable(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What has nothing to do with the requests stops a start for which somebody asked. Wishes alone come to nothing, and a
// container without requests has a warning.
func TestFailOrWarn(t *testing.T) {
	err := fault.New(fault.Config, "/f", "broken").WithHint("correct it")
	for name, test := range map[string]struct {
		draft    *Draft
		failed   bool
		code     fault.Code // of the warning, "" for none
		text     string
		statuses []string
		won      int
	}{
		"something was asked for": {drafted(false), true, "", "", []string{""}, 1},
		"beside a wish":           {drafted(true, false), true, "", "", []string{"", ""}, 2},
		"wishes alone": {
			drafted(true, true), false, fault.Weak, `X=all: the container starts without: /f: broken`, []string{
				"unserved", "unserved",
			}, 0,
		},
		"nothing was asked for": {drafted(), false, fault.ConfigNote, "/f: broken", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.draft
			d.FailOrWarn(err)
			var statuses []string
			for _, r := range d.Requests {
				statuses = append(statuses, r.Status)
			}
			if d.Failed() != test.failed || !slices.Equal(statuses, test.statuses) || len(d.Won) != test.won {
				t.Errorf("%v %q, %d won", d.Errors, statuses, len(d.Won))
			}
			if (len(d.Warnings) > 0) != (test.code != "") {
				t.Fatal(d.Warnings)
			}
			for _, f := range d.Warnings {
				if f.Code() != test.code || f.Error() != test.text || f.Hint() != "correct it" {
					t.Errorf("%s %v, hint %s", f.Code(), f, f.Hint())
				}
			}
		})
	}
}

// FromEnv asks of what is granted alone.
func TestFromEnv(t *testing.T) {
	for name, test := range map[string]struct {
		scene
		want bool
	}{
		"nothing":                   {scene{}, false},
		"an annotation":             {scene{gpus: "driver=nvidia"}, false},
		"environment":               {scene{env: []string{"NVIDIA_VISIBLE_DEVICES=0"}}, true},
		"a wish of the environment": {scene{env: []string{"NVIDIA_VISIBLE_DEVICES=all"}}, true},
		"environment that has lost": {scene{gpus: "driver=nvidia", env: []string{"NVIDIA_VISIBLE_DEVICES=1"}}, false},
		"environment of another one": {
			scene{gpus: "driver=nvidia", env: []string{
				"NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_IMEX_CHANNELS=0",
			}, host: spec("nvidia.com/imex-channel", `"0"`, "deviceNodes: [{path: /dev/null}]")}, true,
		},
	} {
		d, _ := test.draft(t)
		if got := d.FromEnv(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
