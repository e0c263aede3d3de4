package report

import (
	"strings"
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

// A container cannot write lines, columns or colours of its own into what last and explain print.
func TestTextOfHostileValues(t *testing.T) {
	const evil = "x\x1b[31m\n  annotation:gpu-hook/gpus  granted\u202e\u2028\r\t"
	r := Make(NewRun(""), plan.Plan{}, nil)
	r.Container.ID, r.Container.Bundle = evil, evil
	r.Requests = []plan.Request{
		{Source: "annotation:" + evil, Value: evil, Vendor: evil, Status: evil, Reason: evil},
		{Source: "env:A  granted", Value: "b"},
	}
	r.Attempts = []plan.Attempt{{Driver: evil, Status: evil, Reason: evil}}
	r.Grants = []plan.Grant{
		{Driver: evil, CDIDevices: []string{evil}},
		{Driver: "d", Delegate: &plan.Delegate{Path: evil, Env: []string{"NVIDIA_MIG_CONFIG_DEVICES=" + evil}}},
	}
	r.Warnings = []Message{{Code: fault.Skipped, Message: evil, Hint: evil}}
	var out strings.Builder
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.ContainsAny(line, "\x1b\r\t\u202e\u2028") || strings.HasPrefix(line, "  annotation:gpu-hook") {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(out.String(), `"env:A  granted"`) {
		t.Errorf("not quoted:\n%s", out.String())
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü 日本": "plain ü 日本", "a\nb": `a\nb`, "\x1b[2J": `\x1b[2J`,
		"\u202eevil": `\u202eevil`, "'": "'", "\x00": `\x00`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
